/** `overload_manager`: what is measured, and what is done about it; every default filled in. */
export interface OverloadConfig {
	readonly refreshMs: number;
	readonly monitors: readonly ResourceMonitor[];
	readonly actions: readonly OverloadAction[];
	readonly shedPoints: readonly LoadShedPoint[];
	/** Connections to all listeners together; undefined: no limit. */
	readonly connectionsMax: number | undefined;
}

export type ResourceMonitor = { readonly name: string } & (
	| { readonly kind: "fixedHeap"; readonly bytesMax: number }
	/** A file whose content is the pressure, 0 to 1. */
	| { readonly kind: "injected"; readonly path: string }
	| { readonly kind: "connections"; readonly connectionsMax: number }
);

/** In the order of their words in shared memory. */
export const overloadActions = [
	"stop_accepting_requests",
	"disable_http_keepalive",
	"stop_accepting_connections",
	"reject_incoming_connections",
	"reduce_timeouts",
	"shrink_heap",
] as const;

export type OverloadActionName = (typeof overloadActions)[number];

export interface OverloadAction {
	readonly name: OverloadActionName;
	/** The strongest counts. */
	readonly triggers: readonly OverloadTrigger[];
	/** Of `reduce_timeouts`. */
	readonly timers: readonly ScaledTimer[];
}

/** Places where load is shed, as Envoy names them (`envoy.load_shed_points.…`); in the order of their words in shared memory. */
export const loadShedPoints = [
	"tcp_listener_accept",
	"hcm_ondata_creating_codec",
	"http1_server_abort_dispatch",
	"http2_server_go_away_on_dispatch",
	"http2_server_go_away_and_close_on_dispatch",
	"http_connection_manager_decode_headers",
	"http_downstream_filter_check",
	"connection_pool_new_connection",
] as const;

export type LoadShedPointName = (typeof loadShedPoints)[number];

export interface LoadShedPoint {
	readonly name: LoadShedPointName;
	/** The strongest counts. */
	readonly triggers: readonly OverloadTrigger[];
}

export interface OverloadTrigger {
	readonly resource: string;
	/** From here on the action begins, and there it is done in full; the same number: at once. */
	readonly scaling: number;
	readonly saturation: number;
}

export type ScaledTimerKind = "connectionIdle" | "streamIdle" | "transportSocketConnect";

/** What a timeout is shortened to at most; `minShare`: of its own length, 0 to 1. */
export type ScaledTimer = { readonly timer: ScaledTimerKind } & ({ readonly minMs: number } | { readonly minShare: number });

/** What a worker is told of it. */
export interface OverloadInit {
	/** Of `createOverloadBuffer`. */
	readonly buffer: SharedArrayBuffer;
	readonly timers: readonly ScaledTimer[];
	/** Those that are configured. */
	readonly shedPoints: readonly LoadShedPointName[];
	readonly connectionsMax: number | undefined;
}

/** How far an action is done, or with which chance load is shed, in ten thousandths. */
export const overloadScale = 10_000;

/** First words of each kind: those of actions and points are the main thread's, the others the workers'. */
export const overloadWords = {
	actions: 0,
	shedPoints: overloadActions.length,
	/** How often load was shed there. */
	shedCounts: overloadActions.length + loadShedPoints.length,
	/** One a worker: its connections. */
	connections: overloadActions.length + 2 * loadShedPoints.length,
} as const;

export function createOverloadBuffer(workers: number): SharedArrayBuffer {
	return new SharedArrayBuffer((overloadWords.connections + workers) * Int32Array.BYTES_PER_ELEMENT);
}
