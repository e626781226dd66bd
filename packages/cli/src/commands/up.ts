import { spawn } from "node:child_process";
import { existsSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { systemClock } from "@weft/runtime";
import { type LocalMesh, launchMesh } from "../local/launcher.ts";
import { readSources } from "../local/mesh-client.ts";
import { type StatePaths, readMesh } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";
import { renderStatus, statusOf } from "./status.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

export interface UpOptions extends StateOptions {
	readonly filename: readonly string[];
	readonly detach?: boolean;
	readonly images?: readonly string[];
	readonly meshConfig?: string;
	readonly concurrency: string;
	readonly certificateTtl?: string;
	readonly envoy?: string;
}

export async function upCommand(options: UpOptions): Promise<void> {
	const paths = pathsOf(options);
	if (options.detach) return detach(paths);
	const stopping = new AbortController();
	const stopped = new Promise<void>((resolve) => {
		for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve(stopping.abort()));
	});
	const mesh = await launch(options, paths, stopping.signal);
	process.stdout.write(`\n${renderStatus(await statusOf(mesh))}\nThe mesh runs until Ctrl-C${process.stdout.isTTY ? "" : " (or weft down)"}.\n`);
	await stopped;
	process.stdout.write("stopping…\n");
	await mesh.stop();
}

function launch(options: UpOptions, paths: StatePaths, signal: AbortSignal): Promise<LocalMesh> {
	const concurrency = Number(options.concurrency);
	if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > 64)
		throw new CommandError(`--concurrency: "${options.concurrency}" is not a number from 1 to 64`, 2);
	return launchMesh({
		paths,
		sources: readSources(options.filename),
		imageFiles: options.images ?? findImageFiles(options.filename),
		meshConfigFile: options.meshConfig,
		concurrency,
		certificateTtl: options.certificateTtl,
		envoy: options.envoy ?? process.env["WEFT_ENVOY"],
		clock: systemClock,
		signal,
		progress: (line) => process.stdout.write(`${line}\n`),
	});
}

/** `weft.local.yaml` here, and beside or above each file given (nearest first wins over farther ones). */
export function findImageFiles(filenames: readonly string[]): string[] {
	const found = new Set<string>();
	for (const start of [...filenames.filter((f) => f !== "-"), "."]) {
		for (let folder = resolve(start), up = 0; up < 8; up++, folder = dirname(folder)) {
			const file = join(folder, "weft.local.yaml");
			if (existsSync(file)) found.add(file);
		}
	}
	return [...found].reverse();
}

/** Starts the same command in the background, shows its progress, and returns when the mesh runs. */
async function detach(paths: StatePaths): Promise<void> {
	mkdirSync(paths.logs, { recursive: true });
	const file = join(paths.logs, "up.log");
	const log = openSync(file, "w");
	const args = process.argv.slice(1).filter((arg) => arg !== "--detach" && arg !== "-d");
	const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", log, log] });
	const ended = new Promise<number>((resolve) => child.once("exit", (code) => resolve(code ?? 1)));
	child.unref();
	let shown = 0;
	const show = () => {
		const text = readFileSync(file, "utf8");
		process.stdout.write(text.slice(shown));
		shown = text.length;
	};
	for (;;) {
		const status = await Promise.race([ended, sleep(50, undefined)]);
		show();
		if (status !== undefined) throw new CommandError(`the mesh ended while it started (exit status ${status}); see ${file}`);
		if (readMesh(paths)?.status === "running" && readMesh(paths)?.pid === child.pid) break;
	}
	await sleep(100);
	show();
	process.stdout.write('stop it with "weft down"\n');
	process.exit(0);
}
