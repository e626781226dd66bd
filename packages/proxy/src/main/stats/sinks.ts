import type { SocketAddress } from "../../config/sockets.ts";
import type { StatsSettings, StatsSink } from "../../config/stats-config.ts";
import type { AdminContext } from "../admin/routes.ts";
import type { ConfigStore } from "../config-store.ts";
import type { OutlierManager } from "../outlier-manager.ts";
import { gatherStats } from "./gather.ts";
import { formatStatsd, StatsDeltas } from "./statsd-lines.ts";
import { DatagramSender, type LineSender, StreamSender } from "./statsd-senders.ts";

interface Sink {
	readonly config: StatsSink;
	readonly sender: LineSender;
}

const connectTimeoutMsDefault = 5_000;

/** Sends statistics to every sink once an interval, until `signal` aborts. Gives what sends the rest at once, at the end. */
export function startStatsSinks(
	{ sinks, flushMs }: StatsSettings,
	context: AdminContext,
	hosts: { readonly store: ConfigStore; readonly outliers: OutlierManager },
	signal: AbortSignal,
): () => Promise<void> {
	if (sinks.length === 0) return async () => undefined;
	const open: readonly Sink[] = sinks.map((config) => ({ config, sender: openSender(config, hosts) }));
	const deltas = new StatsDeltas();
	const flush = async () => {
		const stats = await gatherStats(context);
		const delta = deltas.next(stats);
		for (const { config, sender } of open) {
			const format = { prefix: config.prefix, hasTags: config.kind === "dogStatsd" };
			const { dropped, error } = await sender.send(formatStatsd(delta, stats, format, context.statsView));
			if (dropped > 0 || error !== undefined) context.logger.warn("statistics did not all go out", { sink: describe(config), dropped, error: error?.message });
		}
	};
	void (async () => {
		while (!signal.aborted) {
			await context.clock.sleep(flushMs, signal);
			if (!signal.aborted) await flush();
		}
	})();
	return async () => {
		await flush();
		for (const { sender } of open) sender.close();
	};
}

const describe = ({ kind, target }: StatsSink): string => `${kind} ${target.kind === "tcp" ? target.cluster : JSON.stringify(target.address)}`;

function openSender(
	{ target, datagramBytesMax }: StatsSink,
	{ store, outliers }: { readonly store: ConfigStore; readonly outliers: OutlierManager },
): LineSender {
	if (target.kind === "udp") return new DatagramSender(target.address, datagramBytesMax);
	const { cluster } = target;
	const choose = (): SocketAddress | undefined => {
		const hosts = (store.hostsOf(cluster)?.priorities ?? []).flat().flatMap((locality) => locality.hosts);
		const healthy = hosts.filter((host) => outliers.standingOf(host) === "healthy");
		return (healthy[0] ?? hosts[0])?.address;
	};
	return new StreamSender(choose, store.clusterOf(cluster)?.connectTimeoutMs ?? connectTimeoutMsDefault);
}
