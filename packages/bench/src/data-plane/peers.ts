import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { findEnvoy, findProgram } from "../../../../scripts/peers-find.mjs";

export const peerNames = ["nginx", "haproxy", "envoy", "weft-proxy"] as const;
export type PeerName = (typeof peerNames)[number];

/** A proxy that can be measured here. */
export type Peer = {
	readonly name: PeerName;
	readonly version: string;
	/** The command that runs a configuration file in the foreground, as one process. */
	readonly command: (configFile: string, folder: string) => readonly string[];
	/** What it is started with beside the benchmark's own environment. */
	readonly environment?: Readonly<Record<string, string>>;
	/** What makes it a TCP proxy too, where it is none here. */
	readonly tcpFix?: string;
	/** The file of nginx's stream module, where that is not built in. */
	readonly streamModule?: string;
};

export type MissingPeer = { readonly name: string; readonly fix: string };

export type Peers = { readonly found: readonly Peer[]; readonly missing: readonly MissingPeer[] };

/** Finds the wanted peers; those that are not there come back with what installs them. */
export function findPeers(repository: string, wanted: readonly PeerName[]): Peers {
	const found: Peer[] = [];
	const missing: MissingPeer[] = [];
	for (const name of wanted) {
		const peer = finders[name](repository);
		if ("command" in peer) found.push(peer);
		else missing.push(peer);
	}
	return { found, missing };
}

const finders: Readonly<Record<PeerName, (repository: string) => Peer | MissingPeer>> = {
	nginx: () => {
		const program = findProgram("nginx");
		if (program === undefined) return { name: "nginx", fix: "apt-get install nginx-light" };
		const version = firstLine(program, ["-v"]).replace("nginx version: nginx/", "");
		return { name: "nginx", version, command: (file, folder) => [program, "-p", folder, "-c", file, "-g", "daemon off;"], ...findStreamModule(program) };
	},
	haproxy: () => {
		const program = findProgram("haproxy");
		if (program === undefined) return { name: "haproxy", fix: "apt-get install haproxy" };
		const version = /version (\S+)/.exec(firstLine(program, ["-v"]))?.[1] ?? "unknown";
		return { name: "haproxy", version, command: (file) => [program, "-db", "-f", file] };
	},
	envoy: () => {
		const program = findEnvoy();
		if (program === undefined) return { name: "envoy", fix: "npm run peers, or WEFT_ENVOY=/path/to/envoy" };
		const version = /\/(\d+\.\d+\.\d+)\//.exec(firstLine(program, ["--version"]))?.[1] ?? "unknown";
		const flags = ["--concurrency", "1", "--disable-hot-restart", "-l", "error"];
		return { name: "envoy", version, command: (file) => [program, "-c", file, ...flags] };
	},
	"weft-proxy": (repository) => {
		const folder = join(repository, "packages", "proxy");
		const main = [join(folder, "dist", "weft-proxy.mjs"), join(folder, "src", "main.ts")].find((file) => existsSync(file));
		if (main === undefined) return { name: "weft-proxy", fix: "npm run build (packages/proxy has no entry point yet)" };
		const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8")) as {
			readonly version: string;
			readonly weft: { readonly nodeArguments: readonly string[]; readonly environment: Readonly<Record<string, string>> };
		};
		const version = `${manifest.version} (${main.endsWith(".ts") ? "source" : "bundle"}, Node ${process.versions.node})`;
		// One worker thread beside the main thread; a bigger young generation buys no speed and costs memory.
		const flags = ["--concurrency", "1", "-l", "error"];
		return {
			name: "weft-proxy",
			version,
			command: (file) => [process.execPath, ...manifest.weft.nodeArguments, main, "-c", file, ...flags],
			environment: manifest.weft.environment,
		};
	},
};

/** nginx proxies TCP with a module that is built in, a file beside it, or not there. */
export function findStreamModule(program: string): Pick<Peer, "streamModule" | "tcpFix"> {
	const flags = printed(program, ["-V"]);
	if (/--with-stream(\s|$)/.test(flags)) return {};
	const folder = /--modules-path=(\S+)/.exec(flags)?.[1] ?? "/usr/lib/nginx/modules";
	const streamModule = join(folder, "ngx_stream_module.so");
	return existsSync(streamModule) ? { streamModule } : { tcpFix: "apt-get install libnginx-mod-stream" };
}

/** First line a program prints. */
function firstLine(program: string, args: readonly string[]): string {
	return (
		printed(program, args)
			.split("\n")
			.find((line) => line.trim() !== "") ?? ""
	);
}

/** What a program prints, wherever it prints it: nginx writes its version to stderr. */
function printed(program: string, args: readonly string[]): string {
	const words = [program, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(" ");
	return execFileSync("/bin/sh", ["-c", `${words} 2>&1`], { encoding: "utf8", timeout: 10_000 });
}
