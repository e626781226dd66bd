/** `overload_manager`: what is measured, and what is done about it; every default filled in. */
export interface OverloadConfig {
	readonly refreshMs: number;
	readonly monitors: readonly ResourceMonitor[];
	readonly actions: readonly OverloadAction[];
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
	readonly connectionsMax: number | undefined;
}

/** How far an action is done, in ten thousandths. */
export const overloadScale = 10_000;

/** Words: one an action, written by the main thread; then one a worker, its connections. */
export function createOverloadBuffer(workers: number): SharedArrayBuffer {
	return new SharedArrayBuffer((overloadActions.length + workers) * Int32Array.BYTES_PER_ELEMENT);
}
