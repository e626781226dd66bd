import { existsSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import type { ApplyResult } from "@weft/control-plane";
import { CommandError } from "../output/errors.ts";
import { readMesh, type StatePaths } from "./state.ts";

export interface SourceFile {
	readonly file: string;
	readonly text: string;
}

/** `-f` as kubectl takes it: files, folders (their .yaml, .yml and .json, sorted, with sub-folders), `-` for standard input. */
export function readSources(paths: readonly string[]): SourceFile[] {
	return paths.flatMap((path) => {
		if (path === "-") return [{ file: "-", text: readStandardInput() }];
		if (!existsSync(path)) throw new CommandError(`${path}: no such file or directory`);
		return filesOf(path).map((file) => ({ file, text: readText(file) }));
	});
}

function readText(file: string): string {
	try {
		return readFileSync(file, "utf8");
	} catch (error) {
		throw new CommandError(`${file}: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
	}
}

/** A pipe from another Node process does not block: it says EAGAIN while the other is still writing. */
function readStandardInput(): string {
	const chunks: Buffer[] = [];
	const waiting = new Int32Array(new SharedArrayBuffer(4));
	for (;;) {
		const chunk = Buffer.allocUnsafe(64 * 1024);
		try {
			const bytes = readSync(0, chunk);
			if (bytes === 0) return Buffer.concat(chunks).toString("utf8");
			chunks.push(chunk.subarray(0, bytes));
		} catch (error) {
			const { code } = error as NodeJS.ErrnoException;
			if (code === "EOF") return Buffer.concat(chunks).toString("utf8");
			if (code !== "EAGAIN") throw new CommandError(`-: cannot be read: ${error instanceof Error ? error.message : String(error)}`);
			Atomics.wait(waiting, 0, 0, 10);
		}
	}
}

function filesOf(path: string): string[] {
	if (!statSync(path).isDirectory()) return [path];
	return readdirSync(path, { withFileTypes: true })
		.sort((a, b) => (a.name < b.name ? -1 : 1))
		.flatMap((entry) => {
			const file = join(path, entry.name);
			if (entry.isDirectory()) return filesOf(file);
			return /\.(ya?ml|json)$/.test(entry.name) && entry.name !== "weft.local.yaml" && entry.name !== "package.json" && entry.name !== "tsconfig.json"
				? [file]
				: [];
		});
}

/** Speaks to a running mesh's control plane. */
export interface MeshClient {
	apply(files: readonly SourceFile[], options: { readonly wait: boolean; readonly dryRun: boolean; readonly timeoutMs: number }): Promise<ApplyResult>;
	remove(kind: string, namespace: string, name: string, wait: boolean): Promise<ApplyResult>;
	get(path: string): Promise<unknown>;
	post(path: string): Promise<unknown>;
}

export function connectMesh(paths: StatePaths): MeshClient {
	const mesh = readMesh(paths);
	if (!mesh) throw new CommandError(`no mesh is running with state in ${paths.root}: start one with "weft up -f DIR", or name another with --state-dir`);
	if (mesh.httpAddress === "") throw new CommandError(`the mesh is still starting (${mesh.message}): try again in a moment`);
	return meshClient(mesh.httpAddress, readFileSync(paths.apiToken, "utf8").trim());
}

export function meshClient(httpAddress: string, token: string): MeshClient {
	const call = async (method: string, path: string, body?: unknown): Promise<unknown> => {
		const response = await fetch(`http://${httpAddress}${path}`, {
			method,
			headers: { authorization: `Bearer ${token}` },
			...(body === undefined ? {} : { body: JSON.stringify(body) }),
		}).catch((error: Error) => {
			throw new CommandError(`the control plane at ${httpAddress} does not answer: ${(error.cause as Error | undefined)?.message ?? error.message}`);
		});
		const text = await response.text();
		// 422: refused, with all reasons inside.
		if (!response.ok && response.status !== 422) throw new CommandError(text.trim());
		return JSON.parse(text) as unknown;
	};
	return {
		apply: async (files, { wait, dryRun, timeoutMs }) =>
			(await call("POST", `/api/v1/apply?wait=${wait}&dryRun=${dryRun}&timeoutMs=${timeoutMs}`, { files })) as ApplyResult,
		remove: async (kind, namespace, name, wait) =>
			(await call("DELETE", `/api/v1/config/${[kind, namespace, name].map(encodeURIComponent).join("/")}?wait=${wait}`)) as ApplyResult,
		get: (path) => call("GET", `/api/v1/${path}`),
		post: (path) => call("POST", `/api/v1/${path}`),
	};
}
