import type { WorkerLogger } from "../../config/loggers.ts";
import type { FromWorker } from "../../config/worker-messages.ts";
import type { NodeInfo } from "../../config/runtime-config.ts";
import type { RuntimeValues } from "../../config/runtime-values.ts";
import type { SharedWords } from "../../config/shared-state.ts";
import type { Lookup } from "../dns/lookup.ts";
import type { FormatterEnvironment } from "../headers/formatter.ts";
import type { IstioTelemetry } from "../http/istio-telemetry.ts";
import type { Hash64 } from "../lb/hash.ts";
import type { OutboundQueue } from "../http2/outbound.ts";
import type { LogServiceStreams } from "../log/log-service-stream.ts";
import type { ConnectionCeilings } from "../listener/connection-ceilings.ts";
import type { OverloadState } from "../overload/overload-state.ts";
import type { StatsRegistry } from "../stats/registry.ts";
import type { VirtualClusters } from "../stats/virtual-clusters.ts";
import type { TlsEngine } from "../tls/engine.ts";
import type { Transport } from "../transport/connection.ts";
import type { Output } from "../transport/output.ts";
import type { Tracers } from "../tracing/tracer.ts";
import type { TimerWheel } from "../transport/timers.ts";
import type { Snapshot } from "./snapshot.ts";
import type { WantedOfWorker } from "./wanted-names.ts";

/** What everything in one worker shares. Clock, random and transport come in from outside. */
export interface WorkerContext {
	readonly node: NodeInfo;
	/** Name of the cluster that this proxy is a host of (`local_cluster_name`); "": unknown. */
	readonly localCluster: string;
	readonly serverName: string;
	readonly workerIndex: number;
	readonly reusePort: boolean;
	readonly transport: Transport;
	readonly tls: TlsEngine;
	readonly output: Output;
	/** Where HTTP/2 puts what it sends. */
	readonly outbounds: OutboundQueue;
	readonly wheel: TimerWheel;
	readonly stats: StatsRegistry;
	/** Istio's standard metrics. */
	readonly istio: IstioTelemetry;
	readonly tracers: Tracers;
	readonly logServices: LogServiceStreams;
	/** What requests and connections wait for. */
	readonly wanted: WantedOfWorker;
	readonly virtualClusters: VirtualClusters;
	readonly words: SharedWords;
	readonly runtime: RuntimeValues;
	readonly ceilings: ConnectionCeilings;
	/** undefined: there is no overload manager. */
	readonly overload: OverloadState | undefined;
	/** Token buckets that all workers draw from. */
	readonly buckets: SharedArrayBuffer;
	readonly hash64: Hash64;
	readonly lookup: Lookup;
	readonly environment: FormatterEnvironment;
	/** Of a network interface that is not the loopback one; 127.0.0.1 where there is none. */
	readonly machineAddress: string;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	/** A random UUID, version 4. */
	readonly createRequestId: () => string;
	/** Monotonic milliseconds; the same during one event. */
	readonly nowMs: () => number;
	/** Epoch milliseconds. */
	readonly wallMs: () => number;
	/** Replaced as a whole by each update. */
	snapshot: Snapshot;
	/** The drain under way, if any. */
	drain: DrainState | undefined;
	healthcheckFailed: boolean;
	/** Sends what was put out, and lets time move on. Ends every entry from the event loop. */
	readonly afterEvent: () => void;
	log(logger: WorkerLogger, level: "debug" | "info" | "warn" | "error", message: string, fields?: Readonly<Record<string, unknown>>): void;
	/** Whether lines of debug are written: before much is put together for one. */
	debugs(logger: WorkerLogger): boolean;
	post(message: FromWorker): void;
}

export interface DrainState {
	readonly inboundOnly: boolean;
	readonly startedAt: number;
	readonly deadlineMs: number;
	readonly graceful: boolean;
}
