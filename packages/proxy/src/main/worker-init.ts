import type { WorkerInit } from "../config/worker-messages.ts";
import { transportKind } from "../data/transport/transport.ts";
import { workerLevels } from "./loggers.ts";
import type { ServerOptions } from "./server-options.ts";

const accessLogFlushMsDefault = 1_000;

/** What all workers count in. */
export interface SharedMemory {
	readonly shared: SharedArrayBuffer;
	readonly buckets: SharedArrayBuffer;
	readonly overload: SharedArrayBuffer | undefined;
	readonly balance: WorkerInit["balance"];
}

export function workerInit(
	{ config, concurrency, logger, accessLogFlushMs = accessLogFlushMsDefault }: ServerOptions,
	workerIndex: number,
	{ shared, buckets, overload, balance }: SharedMemory,
): WorkerInit {
	return {
		kind: "init",
		workerIndex,
		workers: concurrency,
		node: config.node,
		shared,
		buckets,
		balance,
		overload: overload && {
			buffer: overload,
			timers: config.overload?.actions.flatMap(({ timers }) => timers) ?? [],
			shedPoints: config.overload?.shedPoints.map(({ name }) => name) ?? [],
			connectionsMax: config.overload?.connectionsMax,
		},
		accessLogFlushMs,
		options: {
			transport: transportKind(process.env),
			logLevels: workerLevels(logger),
			reusePort: concurrency > 1,
			localCluster: config.localCluster,
			histogramBounds: config.stats.config.histogramBounds,
			serverName: "envoy",
		},
	};
}
