import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type LocalMesh, launchMesh, type SourceFile, statePaths, type StatePaths } from "@weft/cli";
import { systemClock } from "@weft/runtime";
import { call, type HttpAnswer, type HttpCall } from "./http.ts";

export interface TestMeshOptions {
	readonly files?: readonly string[];
	readonly yaml?: string;
	readonly imageFiles?: readonly string[];
	readonly concurrency?: number;
	readonly certificateTtl?: string;
	readonly meshConfig?: string;
	readonly envoy?: string;
	readonly sources?: readonly SourceFile[];
}

export interface TestMesh extends LocalMesh {
	readonly paths: StatePaths;
	/** Applies YAML and returns when it is in force everywhere; throws on any diagnostic of severity error or refusal. */
	applyYaml(yaml: string): Promise<void>;
	/** Loopback address of `service[.namespace][:port]`. */
	addressOf(service: string): string;
	/** Calls a service from the laptop's sidecar. */
	call(service: string, path: string, options?: HttpCall): Promise<HttpAnswer>;
}

/** A whole mesh of real processes in a folder of its own; `stop` ends all of them and removes the folder. */
export async function startTestMesh(options: TestMeshOptions): Promise<TestMesh> {
	const folder = mkdtempSync(join(tmpdir(), "weft-mesh-"));
	const paths = statePaths(join(folder, "state"));
	const stopping = new AbortController();
	const meshConfigFile = options.meshConfig === undefined ? undefined : join(folder, "mesh.yaml");
	if (meshConfigFile !== undefined) writeFileSync(meshConfigFile, options.meshConfig ?? "");
	const sources = [...(options.sources ?? []), ...(options.yaml === undefined ? [] : [{ file: "test.yaml", text: options.yaml }])];
	const mesh = await launchMesh({
		paths,
		sources,
		imageFiles: options.imageFiles ?? [],
		meshConfigFile,
		concurrency: options.concurrency ?? 1,
		certificateTtl: options.certificateTtl,
		envoy: options.envoy,
		clock: systemClock,
		signal: stopping.signal,
		progress: () => undefined,
	}).catch((error: unknown) => {
		stopping.abort();
		const logs = readLogs(paths.logs);
		rmSync(folder, { recursive: true, force: true });
		throw new Error(`${error instanceof Error ? error.message : String(error)}\n${logs}`, { cause: error });
	});
	const addressOf = (service: string) => resolveAddress(mesh.addresses(), service);
	return {
		...mesh,
		paths,
		addressOf,
		call: (service, path, callOptions) => call(addressOf(service), path, callOptions),
		applyYaml: (yaml) => applyYaml(mesh, yaml),
		async stop() {
			stopping.abort();
			await mesh.stop();
			rmSync(folder, { recursive: true, force: true });
		},
	};
}

/** The end of every process's log: the folder is gone by the time somebody would look. */
function readLogs(directory: string): string {
	if (!existsSync(directory)) return "";
	return readdirSync(directory)
		.map((file) => ({ file, text: readFileSync(join(directory, file), "utf8").slice(-2_000).trim() }))
		.filter(({ text }) => text !== "")
		.map(({ file, text }) => `--- ${file}\n${text}`)
		.join("\n");
}

async function applyYaml(mesh: LocalMesh, text: string): Promise<void> {
	const result = await mesh.client.apply([{ file: "test.yaml", text }], { wait: true, dryRun: false, timeoutMs: 20_000 });
	const errors = result.diagnostics.filter((d) => d.severity === "error").map((d) => d.message);
	const refusals = (result.refusals ?? []).map((r) => `${r.proxy}: ${r.message}`);
	const pending = (result.pending ?? []).map((p) => `${p}: not in force`);
	const problems = [...errors, ...refusals, ...pending];
	if (problems.length > 0) throw new Error(problems.join("\n"));
}

function resolveAddress(addresses: Readonly<Record<string, string>>, service: string): string {
	const [host = "", port] = service.split(":");
	const found = Object.entries(addresses).find(([key]) => {
		const [name = "", keyPort] = key.split(":");
		return (name === host || name.startsWith(`${host}.`)) && (port === undefined || port === keyPort);
	});
	if (!found) throw new Error(`the mesh offers no ${service}; it offers ${Object.keys(addresses).join(", ")}`);
	return found[1];
}
