import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { parseAllDocuments } from "yaml";
import { findHelm } from "../../scripts/peers-find.mjs";

const root = join(import.meta.dirname, "../..");
const helm = findHelm();

/** Why charts cannot be rendered here, or false. */
export const helmMissing = helm === undefined ? "no helm: set WEFT_HELM, or put it on PATH (https://helm.sh/docs/intro/install)" : false;

export type ChartName = "base" | "control-plane" | "gateway";

export interface Rendered {
	readonly apiVersion: string;
	readonly kind: string;
	readonly metadata: {
		readonly name: string;
		readonly namespace?: string;
		readonly labels?: Readonly<Record<string, string>>;
		readonly annotations?: Readonly<Record<string, string>>;
	};
	readonly [field: string]: unknown;
}

export interface RenderOptions {
	readonly release?: string;
	readonly namespace?: string;
	readonly set?: readonly string[];
}

export function runHelm(...args: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string } {
	return spawnSync(helm ?? "helm", args, { cwd: root, encoding: "utf8", maxBuffer: 64 << 20, timeout: 60_000 });
}

export function tryRender(chart: ChartName, { release = "weft", namespace = "istio-system", set = [] }: RenderOptions = {}): ReturnType<typeof runHelm> {
	return runHelm("template", release, `charts/${chart}`, "-n", namespace, ...set.flatMap((value) => ["--set", value]));
}

/** The objects of a chart. Throws with helm's own words. */
export function render(chart: ChartName, options: RenderOptions = {}): Rendered[] {
	const { status, stdout, stderr } = tryRender(chart, options);
	if (status !== 0) throw new Error(stderr);
	return parseAllDocuments(stdout)
		.map((document) => document.toJS() as Rendered | null)
		.filter((object): object is Rendered => object !== null);
}

/** The one object of a kind (and name). */
export function only(objects: readonly Rendered[], kind: string, name?: string): Rendered {
	const found = objects.filter((object) => object.kind === kind && (name === undefined || object.metadata.name === name));
	const [first] = found;
	if (!first || found.length > 1) throw new Error(`${found.length} objects are ${kind} ${name ?? ""}`);
	return first;
}

/** Reads a value by a path of keys and numbers. */
export function at(value: unknown, ...path: readonly (string | number)[]): unknown {
	return path.reduce<unknown>((inner, key) => (inner as Readonly<Record<string | number, unknown>> | undefined)?.[key], value);
}
