import { renderValue } from "../output/format.ts";
import { type ClusterOptions, openCluster, runningPods } from "../kube/cluster.ts";
import { CommandError } from "../output/errors.ts";
import { version } from "../version.ts";
import type { SyncStatus } from "./proxy-status.ts";

export interface VersionOptions extends ClusterOptions {
	readonly remote: boolean;
	readonly short?: boolean;
	readonly output: "table" | "json" | "yaml";
	readonly istioNamespace: string;
}

interface Versions {
	readonly clientVersion: string;
	/** Version → how many. */
	readonly controlPlanes?: Readonly<Record<string, number>>;
	readonly proxies?: Readonly<Record<string, number>>;
}

export async function versionCommand(options: VersionOptions): Promise<void> {
	let versions: Versions = { clientVersion: version };
	let problem: string | undefined;
	if (options.remote) {
		try {
			versions = { ...versions, ...(await remoteVersions(options)) };
		} catch (error) {
			// A program without a cluster still has a version.
			problem = error instanceof Error ? error.message : String(error);
		}
	}
	process.stdout.write(options.output === "table" ? renderVersions(versions) : renderValue(versions, options.output));
	if (problem !== undefined) process.stderr.write(`control plane: ${problem}\n`);
}

export function renderVersions({ clientVersion, controlPlanes = {}, proxies = {} }: Versions): string {
	const lines = [`client version: ${clientVersion}`];
	const counted = Object.entries(controlPlanes).sort();
	for (const [found] of counted) lines.push(`control plane version: ${found}`);
	const data = Object.entries(proxies).sort();
	if (counted.length > 0) {
		lines.push(
			`data plane version: ${data.length === 0 ? "none" : data.map(([found, count]) => `${found} (${count} ${count === 1 ? "proxy" : "proxies"})`).join(", ")}`,
		);
	}
	return `${lines.join("\n")}\n`;
}

async function remoteVersions(options: VersionOptions): Promise<Omit<Versions, "clientVersion">> {
	const cluster = await openCluster(options);
	const istiods = await runningPods(cluster, options.istioNamespace, "app=istiod");
	if (istiods.length === 0) throw new CommandError(`none in namespace ${options.istioNamespace}`);
	const answers = await Promise.all(
		istiods.map(async (pod) => ({
			own: (await cluster.get(pod, 15_014, "/version")).trim(),
			proxies: JSON.parse(await cluster.get(pod, 15_014, "/debug/syncz")) as readonly SyncStatus[],
		})),
	);
	return {
		controlPlanes: count(answers.map(({ own }) => own)),
		proxies: count(answers.flatMap(({ proxies }) => proxies.map((status) => status.istio_version ?? "unknown"))),
	};
}

function count(values: readonly string[]): Readonly<Record<string, number>> {
	const counts: Record<string, number> = {};
	for (const value of values) counts[value] = (counts[value] ?? 0) + 1;
	return counts;
}
