import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { text } from "node:stream/consumers";
import { stringify } from "yaml";
import { CommandError } from "../output/errors.ts";
import type { Component } from "./plan.ts";

export interface HelmOptions {
	readonly kubeconfig?: string;
	readonly context?: string;
	/** The folder that holds the charts, else those that came with this program. */
	readonly manifests?: string;
}

/** The helm program and the charts. */
export interface Helm {
	/** YAML of a component, made without a cluster. */
	template(component: Component): Promise<string>;
	/** Installs or upgrades; with `wait`, until its pods are ready. Rejects with helm's own words. */
	apply(component: Component, options: { readonly wait: boolean; readonly timeout: string }): Promise<void>;
	/** False where there is no such release. */
	remove(release: string, namespace: string): Promise<boolean>;
	/** Releases of our charts in a namespace. */
	list(namespace: string): Promise<readonly { readonly name: string; readonly chart: string }[]>;
}

/** Whatever became of them. Helm 4 has no --all: it lists all where no state is named, which Helm 3 does not. */
const anyState = ["--deployed", "--failed", "--pending", "--uninstalled", "--uninstalling"];

const help = "weft install uses helm, as its charts do: get it from https://helm.sh/docs/intro/install, or name it in WEFT_HELM";

/** Throws a CommandError that says how to get helm, or where the charts were looked for. */
export function findHelm(options: HelmOptions): Helm {
	const program = helmProgram();
	const charts = chartsFolder(options.manifests);
	const cluster = [...(options.kubeconfig ? ["--kubeconfig", options.kubeconfig] : []), ...(options.context ? ["--kube-context", options.context] : [])];
	const chartOf = ({ chart }: Component) => join(charts, chart);
	return {
		template: (component) =>
			withValues(component, (file) =>
				run(program, ["template", component.release, chartOf(component), "--namespace", component.namespace, "--values", file, "--no-hooks"]),
			),
		async apply(component, { wait, timeout }) {
			const target = ["upgrade", "--install", component.release, chartOf(component), "--namespace", component.namespace, "--create-namespace"];
			await withValues(component, (file) => run(program, [...target, "--values", file, "--timeout", timeout, ...(wait ? ["--wait"] : []), ...cluster]));
		},
		async remove(release, namespace) {
			const output = await run(program, ["uninstall", release, "--namespace", namespace, "--ignore-not-found", "--wait", ...cluster]);
			return !output.includes("not found");
		},
		async list(namespace) {
			const releases = JSON.parse(await run(program, ["list", "--namespace", namespace, ...anyState, "--output", "json", ...cluster])) as {
				readonly name: string;
				readonly chart: string;
			}[];
			return releases.filter(({ chart }) => /^(base|control-plane|gateway)-\d/.test(chart));
		},
	};
}

function helmProgram(): string {
	const named = process.env["WEFT_HELM"];
	if (named !== undefined && named !== "") {
		if (!existsSync(named)) throw new CommandError(`WEFT_HELM names ${named}, which is not there`);
		return named;
	}
	const names = process.platform === "win32" ? ["helm.exe"] : ["helm"];
	const folders = (process.env["PATH"] ?? "").split(delimiter).filter((folder) => folder !== "");
	const found = folders.flatMap((folder) => names.map((name) => join(folder, name))).find((path) => existsSync(path));
	if (found === undefined) throw new CommandError(`there is no helm on PATH: ${help}`);
	return found;
}

/** Beside the bundle, or at the root of a checkout. */
function chartsFolder(manifests: string | undefined): string {
	const places = manifests === undefined ? [join(import.meta.dirname, "charts"), join(import.meta.dirname, "../../../../charts")] : [manifests];
	const found = places.find((folder) => existsSync(join(folder, "control-plane", "Chart.yaml")));
	if (found === undefined)
		throw new CommandError(`no charts in ${places.join(" or ")}: expected base, control-plane and gateway; name their folder by --manifests`);
	return found;
}

async function withValues<T>({ values }: Component, use: (file: string) => Promise<T>): Promise<T> {
	const folder = mkdtempSync(join(tmpdir(), "weft-install-"));
	try {
		const file = join(folder, "values.yaml");
		writeFileSync(file, stringify(values), { mode: 0o600 });
		return await use(file);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

async function run(program: string, args: readonly string[]): Promise<string> {
	const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
	const closed = new Promise<number | null>((resolve, reject) => {
		child.once("error", (error) => reject(new CommandError(`${program}: ${error.message}; ${help}`)));
		child.once("close", resolve);
	});
	const [output, errors, status] = await Promise.all([text(child.stdout), text(child.stderr), closed]);
	if (status === 0)
		return (
			output +
			errors
				.split("\n")
				.filter((line) => line.includes("not found"))
				.join("\n")
		);
	// Helm 4 logs before it says what is wrong.
	const reason = errors.trim().replace(/^(?:level=.*\n)*Error: /, "");
	const hint = /deadline exceeded|timed out/.test(reason) ? "; it is not ready yet: kubectl get pods -A, and kubectl describe the one that waits" : "";
	throw new CommandError(`helm ${args[0]}: ${reason}${hint}`);
}
