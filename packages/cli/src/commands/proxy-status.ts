import { readFileSync } from "node:fs";
import { type ClusterOptions, openCluster, runningPods } from "../kube/cluster.ts";
import { CommandError } from "../output/errors.ts";
import { renderValue } from "../output/format.ts";
import { renderTable } from "../output/table.ts";

export interface ProxyStatusOptions extends ClusterOptions {
	readonly namespace?: string;
	readonly verbosity: string;
	readonly file?: string;
	readonly output: "table" | "json" | "yaml";
	readonly istioNamespace: string;
}

/** One entry of `/debug/syncz`, as Istio's tools read it: nonces, absent where nothing was sent or acknowledged. */
export type SyncStatus = {
	readonly proxy: string;
	readonly cluster_id?: string;
	/** Of the proxy. */
	readonly istio_version?: string;
} & { readonly [Field in `${(typeof types)[number][1]}_${"sent" | "acked"}`]?: string };

/** A proxy, and the control plane that serves it. */
export interface ProxyStatus {
	readonly istiod: string;
	readonly status: SyncStatus;
}

const types = [
	["CDS", "cluster"],
	["LDS", "listener"],
	["EDS", "endpoint"],
	["RDS", "route"],
	["ECDS", "extensionconfig"],
] as const;

export async function proxyStatusCommand(pod: string | undefined, options: ProxyStatusOptions): Promise<void> {
	const all = await readStatus(options);
	const wanted = pod === undefined || pod.includes(".") || options.namespace === undefined ? pod : `${pod}.${options.namespace}`;
	const shown = wanted === undefined ? all : all.filter(({ status }) => status.proxy === wanted || status.proxy.startsWith(`${wanted}.`));
	if (wanted !== undefined && shown.length === 0) throw new CommandError(`no proxy ${wanted} is connected to a control plane in ${options.istioNamespace}`);
	const sorted = [...shown].sort((a, b) => (a.status.proxy < b.status.proxy ? -1 : 1));
	process.stdout.write(
		options.output === "table"
			? renderProxyStatus(sorted, options.verbosity !== "0")
			: renderValue(
					sorted.map(({ status, istiod }) => ({ ...status, istiod })),
					options.output,
				),
	);
}

export function renderProxyStatus(proxies: readonly ProxyStatus[], isVerbose: boolean): string {
	if (isVerbose) {
		const head = ["NAME", "CLUSTER", "ISTIOD", "VERSION", ...types.map(([name]) => name)];
		return renderTable(
			head,
			proxies.map(({ status, istiod }) => [
				...identity(status, istiod),
				...types.map(([, field]) => syncOf(status[`${field}_sent`], status[`${field}_acked`])),
			]),
		);
	}
	return renderTable(
		["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"],
		proxies.map(({ status, istiod }) => {
			const subscribed = types.filter(([, field]) => (status[`${field}_sent`] ?? "") !== "").map(([name]) => name);
			return [...identity(status, istiod), `${subscribed.length} (${subscribed.join(",")})`];
		}),
	);
}

function identity(status: SyncStatus, istiod: string): string[] {
	return [status.proxy, status.cluster_id ?? "", istiod, status.istio_version ?? ""];
}

function syncOf(sent = "", acked = ""): string {
	if (sent === "") return "NOT SENT";
	if (sent === acked) return "SYNCED";
	return acked === "" ? "STALE (Never Acknowledged)" : "STALE";
}

async function readStatus(options: ProxyStatusOptions): Promise<readonly ProxyStatus[]> {
	if (options.file !== undefined) {
		const { file } = options;
		try {
			return parseSyncz(readFileSync(file, "utf8"), file).map((status) => ({ istiod: "", status }));
		} catch (error) {
			throw error instanceof CommandError ? error : new CommandError(`${file}: ${error instanceof Error ? error.message : String(error)}`);
		}
	}
	const cluster = await openCluster(options);
	const istiods = await runningPods(cluster, options.istioNamespace, "app=istiod");
	if (istiods.length === 0)
		throw new CommandError(`there is no control plane (label app=istiod) in namespace ${options.istioNamespace}: weft install, or name it by -i`);
	const answers = await Promise.all(
		istiods.map(async (pod) => parseSyncz(await cluster.get(pod, 15_014, "/debug/syncz"), pod.name).map((status) => ({ istiod: pod.name, status }))),
	);
	return answers.flat();
}

function parseSyncz(text: string, source: string): readonly SyncStatus[] {
	const value: unknown = JSON.parse(text);
	if (!Array.isArray(value)) throw new CommandError(`${source}: this is no answer of /debug/syncz: expected a list`);
	return value as readonly SyncStatus[];
}
