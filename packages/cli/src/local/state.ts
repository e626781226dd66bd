import { randomBytes } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { PodStatus } from "./pod-status.ts";

/** Folders and files of one local mesh. */
export interface StatePaths {
	readonly root: string;
	/** What users applied: one file an object. */
	readonly config: string;
	/** Pods and EndpointSlices that the launcher reports. */
	readonly runtime: string;
	readonly ca: string;
	readonly logs: string;
	readonly mesh: string;
	readonly status: string;
	readonly ports: string;
	readonly tokenKey: string;
	readonly apiToken: string;
	readonly tokens: string;
	/** Unix sockets by which applications get their certificates; for the own user alone. */
	readonly sockets: string;
}

/** What a running launcher tells other commands. */
export interface MeshFile {
	readonly pid: number;
	readonly status: "starting" | "running" | "failed";
	readonly message: string;
	readonly httpAddress: string;
	readonly discoveryAddress: string;
	/** Where instances register themselves. */
	readonly httpsAddress: string;
	readonly startedAt: string;
}

export function statePaths(directory: string): StatePaths {
	const root = resolve(directory);
	const at = (name: string) => join(root, name);
	return {
		root,
		config: at("config/applied"),
		runtime: at("config/runtime"),
		ca: at("ca"),
		logs: at("logs"),
		mesh: at("mesh.json"),
		status: at("status.json"),
		ports: at("ports.json"),
		tokenKey: at("keys/token.key"),
		apiToken: at("keys/api.token"),
		tokens: at("keys/tokens"),
		sockets: at("sockets"),
	};
}

export function createState(paths: StatePaths): void {
	for (const directory of [paths.config, paths.runtime, paths.logs]) mkdirSync(directory, { recursive: true });
	for (const directory of [paths.ca, join(paths.root, "keys"), paths.tokens, paths.sockets]) mkdirSync(directory, { recursive: true, mode: 0o700 });
	if (!existsSync(paths.tokenKey)) writeSecret(paths.tokenKey, randomBytes(32));
	if (!existsSync(paths.apiToken)) writeSecret(paths.apiToken, randomBytes(24).toString("base64url"));
}

// sockaddr_un holds 108 bytes on Linux and 104 on macOS, the final NUL among them.
const socketPathMax = 103;

/** Where a pod's sidecar serves the SPIFFE Workload API; undefined where the folder is too deep for a Unix socket. */
export function workloadSocket(paths: StatePaths, pod: { readonly namespace: string; readonly name: string }): string | undefined {
	const path = join(paths.sockets, `${pod.namespace}.${pod.name}`);
	return Buffer.byteLength(path) > socketPathMax ? undefined : path;
}

export function writeSecret(file: string, content: string | Uint8Array): void {
	writeFileSync(file, content, { mode: 0o600 });
	chmodSync(file, 0o600);
}

/** Replaces a file as a whole: a reader sees the old one or the new one. */
export function writeAtomic(file: string, content: string): void {
	const temporary = `${file}.${process.pid}.tmp`;
	writeFileSync(temporary, content);
	renameSync(temporary, file);
}

export function readMesh(paths: StatePaths): MeshFile | undefined {
	if (!existsSync(paths.mesh)) return undefined;
	const mesh = JSON.parse(readFileSync(paths.mesh, "utf8")) as MeshFile;
	return isAlive(mesh.pid) ? mesh : undefined;
}

/** What the launcher knows and the control plane does not; written on every change. */
export interface StatusFile {
	readonly controlPlanePid: number | undefined;
	readonly proxyAddress: string;
	readonly addresses: Readonly<Record<string, string>>;
	readonly pods: readonly PodStatus[];
}

export function readStatus(paths: StatePaths): StatusFile | undefined {
	return existsSync(paths.status) ? (JSON.parse(readFileSync(paths.status, "utf8")) as StatusFile) : undefined;
}

export function isAlive(pid: number): boolean {
	try {
		process.kill(pid, 0);
		return true;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "EPERM";
	}
}
