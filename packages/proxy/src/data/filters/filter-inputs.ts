import type { Histogram } from "../stats/histogram.ts";
import type { WorkerContext } from "../worker/context.ts";

/** What a filter of a connection manager is compiled with. */
export interface FilterInputs {
	readonly context: WorkerContext;
	/** Its place in the connection manager's list. */
	readonly index: number;
	readonly direction: "unspecified" | "inbound" | "outbound";
	/** What could not be compiled; the listener is not taken then. */
	readonly errors: string[];
	readonly statPrefix: string;
	/** Runs when the connection manager is no more. */
	onClose(close: () => void): void;
	/** A counter `http.<stat prefix>.<name>`; counts one, or `by`. */
	counter(name: string): Counter;
	/** A counter with a prefix of its own. */
	rootCounter(prefix: string, name: string): Counter;
	rootGauge(prefix: string, name: string): Gauge;
	rootHistogram(prefix: string, name: string): Histogram;
}

export type Counter = (by?: number) => void;

export interface Gauge {
	add(by: number): void;
	set(value: number): void;
}
