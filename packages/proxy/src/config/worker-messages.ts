/**
 * The protocol between the main thread and the data-path workers. Plain values only: everything here crosses a
 * `postMessage`. The main thread owns configuration and decisions; a worker owns connections.
 */
import type { LogLevel } from "@weft/runtime";
import type { HostCounts } from "../data/lb/host-entry.ts";
import type { StatsDump } from "../data/stats/registry.ts";
import type { TransportKind } from "../data/transport/connection.ts";
import type { ProbeResult } from "./health-check.ts";
import type { LogLevels, WorkerLogger } from "./loggers.ts";
import type { OverloadInit } from "./overload.ts";
import type { HistogramBounds } from "./stats-config.ts";
import type { ConfigUpdate, NodeInfo } from "./runtime-config.ts";

/** Given as `workerData` when the worker starts. */
export interface WorkerInit {
	readonly kind: "init";
	readonly workerIndex: number;
	readonly workers: number;
	readonly node: NodeInfo;
	/** The shared counters of breakers and hosts, see `shared-state.ts`. */
	readonly shared: SharedArrayBuffer;
	/** The token buckets of rate limits, see `shared-buckets.ts`. */
	readonly buckets: SharedArrayBuffer;
	/** undefined: there is no overload manager. */
	readonly overload?: OverloadInit | undefined;
	/** undefined: one worker alone, which has every connection. */
	readonly balance?: BalanceInit | undefined;
	readonly accessLogFlushMs: number;
	readonly options: WorkerOptions;
}

/** For listeners that want their connections even among the workers. */
export interface BalanceInit {
	/** Of this process's workers among all that might share its memory. */
	readonly id: string;
	readonly workers: number;
	/** See `shared-balance.ts`. */
	readonly counts: SharedArrayBuffer;
}

export interface WorkerOptions {
	readonly transport: TransportKind;
	readonly logLevels: LogLevels;
	/** Listen with SO_REUSEPORT, so that several workers share one port. */
	readonly reusePort: boolean;
	/** `local_cluster_name`, for zone-aware routing. */
	readonly localCluster?: string;
	/** Of Istio's standard metrics; the others are cut into buckets when they are shown. */
	readonly histogramBounds?: readonly HistogramBounds[];
	/** Value of `server` when a connection manager names none. */
	readonly serverName: string;
}

export type ToWorker =
	| { readonly kind: "update"; readonly update: ConfigUpdate }
	| { readonly kind: "scrape"; readonly id: number }
	/** What was counted of each host. */
	| { readonly kind: "countHosts"; readonly id: number }
	| { readonly kind: "probe"; readonly id: number; readonly cluster: string; readonly address: string }
	/** The host failed its active health checks just now. */
	| { readonly kind: "hostFailed"; readonly cluster: string; readonly address: string }
	/** `untilIdle`: the process ends: quiet connections are closed at once, and it is over as soon as nothing is under way. */
	| { readonly kind: "drain"; readonly graceful: boolean; readonly inboundOnly: boolean; readonly deadlineMs: number; readonly untilIdle?: boolean }
	/** Other workers have come: clients of HTTP are asked to connect anew, so that the kernel spreads them over all. */
	| { readonly kind: "spread" }
	| { readonly kind: "stop" }
	/** An action of the overload manager began, ended, or is done to another degree. */
	| { readonly kind: "overload" }
	| { readonly kind: "shrinkHeap" }
	/** Of what was wanted: what exists is in force. */
	| { readonly kind: "answered"; readonly what: WantedKind; readonly names: readonly string[] }
	| { readonly kind: "resetCounters" }
	| { readonly kind: "reopenLogs" }
	| { readonly kind: "logLevels"; readonly levels: LogLevels }
	| { readonly kind: "healthcheckFail"; readonly fail: boolean };

/** What is asked for when it is wanted: a virtual host by `table/host`, a cluster by its name, a scope's route table by its own. */
export type WantedKind = "host" | "cluster" | "routes";

/** Cluster → address → what one worker, or all, counted; hosts that nothing was asked of are left out. */
export type HostsOfClusters = ReadonlyMap<string, ReadonlyMap<string, HostCounts & { rq_active: number }>>;

/** Requests that came to no host of a cluster: over a limit or dropped (`drop_overloads`), and dropped alone. */
export interface DropCounts {
	total: number;
	overload: number;
}

export interface CountedLoad {
	readonly hosts: HostsOfClusters;
	/** By cluster; those that dropped nothing are left out. */
	readonly drops: ReadonlyMap<string, DropCounts>;
}

export interface ResourceError {
	readonly resource: string;
	readonly message: string;
	/** It is in force all the same, but for an address that could not be bound. Otherwise what was there before stays. */
	readonly isUnbound?: true;
}

/** Why a worker asks the main thread to eject a host. */
export type EjectReason = "consecutive5xx" | "consecutiveGateway" | "localOrigin";

export type FromWorker =
	| { readonly kind: "ready" }
	/** Sent once the update is in force: new requests use it, and its new listeners are bound. */
	| { readonly kind: "updated"; readonly id: number; readonly errors: readonly ResourceError[] }
	| { readonly kind: "scraped"; readonly id: number; readonly stats: StatsDump }
	| { readonly kind: "hostsCounted"; readonly id: number; readonly load: CountedLoad }
	| { readonly kind: "probed"; readonly id: number; readonly result: ProbeResult }
	/** An answer of this host's said that it must not be used. */
	| { readonly kind: "immediateFail"; readonly cluster: string; readonly hostSlot: number }
	| { readonly kind: "eject"; readonly cluster: string; readonly hostSlot: number; readonly reason: EjectReason }
	| {
			readonly kind: "log";
			readonly logger: WorkerLogger;
			readonly level: Exclude<LogLevel, "none">;
			readonly message: string;
			readonly fields: Readonly<Record<string, unknown>>;
	  }
	/** Somebody waits for this. */
	| { readonly kind: "want"; readonly what: WantedKind; readonly name: string }
	| { readonly kind: "drained" }
	/** `address` as `ip:port` or a path; `port` is the bound one, of use when port 0 was asked for. */
	| { readonly kind: "listening"; readonly listener: string; readonly address: string; readonly port: number }
	| { readonly kind: "listenerError"; readonly listener: string; readonly message: string };
