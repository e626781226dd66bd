import type { Kind } from "@weft/api";
import { type Backoff, type Clock, createBackoff } from "@weft/runtime";

/** One object's status that is to be written. */
export interface StatusWrite {
	readonly kind: Kind;
	readonly namespace: string;
	readonly name: string;
	/** A successor of the same name must not get it. */
	readonly uid: string | undefined;
	readonly status: object;
}

/** Settled: written, or nothing to write to any more. */
export type WriteOutcome = "settled" | "failed";

interface Entry {
	readonly write: StatusWrite;
	/** Monotonic. */
	readonly dueMs: number;
}

export const writeKey = ({ kind, namespace, name }: Pick<StatusWrite, "kind" | "namespace" | "name">): string => `${kind}/${namespace}/${name}`;

/**
 * What differs from what the cluster says, at most once an object: a newer status takes the place of one that was not written yet,
 * and one that came true meanwhile is not written at all. Bounded by the number of objects.
 */
export class StatusQueue {
	readonly #entries = new Map<string, Entry>();
	/** Being written: never twice at one time. */
	readonly #writing = new Set<string>();
	readonly #backoffs = new Map<string, Backoff>();

	get size(): number {
		return this.#entries.size;
	}

	/** `delayMs` from now at the latest, or earlier when it was due before. */
	offer(write: StatusWrite, nowMs: number, delayMs: number): void {
		const key = writeKey(write);
		const waiting = this.#entries.get(key);
		// What was refused keeps its pause.
		const dueMs = waiting === undefined ? nowMs + delayMs : this.#backoffs.has(key) ? waiting.dueMs : Math.min(waiting.dueMs, nowMs + delayMs);
		this.#entries.set(key, { write, dueMs });
	}

	/** Keeps those alone that `isWanted` still names. */
	retain(isWanted: (key: string) => boolean): void {
		for (const key of this.#entries.keys()) if (!isWanted(key)) this.#entries.delete(key);
		for (const key of this.#backoffs.keys()) if (!this.#entries.has(key) && !this.#writing.has(key)) this.#backoffs.delete(key);
	}

	/** The first that is due; `done` must be called with it. */
	take(nowMs: number): StatusWrite | undefined {
		for (const [key, { write, dueMs }] of this.#entries) {
			if (dueMs > nowMs || this.#writing.has(key)) continue;
			this.#entries.delete(key);
			this.#writing.add(key);
			return write;
		}
		return undefined;
	}

	/** A failure comes again, later and later, unless something newer waits already. */
	done(write: StatusWrite, outcome: WriteOutcome, nowMs: number): void {
		const key = writeKey(write);
		this.#writing.delete(key);
		if (outcome === "settled") return void this.#backoffs.delete(key);
		const backoff = this.#backoffs.get(key) ?? createBackoff({ minMs: 500, maxMs: 60_000 });
		this.#backoffs.set(key, backoff);
		this.#entries.set(key, { write: this.#entries.get(key)?.write ?? write, dueMs: nowMs + backoff.nextMs() });
	}
}

/** So many a second on average, and a few at once. */
export function createRateLimit({ perSecond, burst, clock }: { readonly perSecond: number; readonly burst: number; readonly clock: Clock }) {
	let tokens = burst;
	let atMs = clock.monotonicMs();
	return async function take(signal: AbortSignal): Promise<void> {
		const nowMs = clock.monotonicMs();
		tokens = Math.min(burst, tokens + ((nowMs - atMs) / 1000) * perSecond) - 1;
		atMs = nowMs;
		if (tokens < 0) await clock.sleep((-tokens / perSecond) * 1000, signal);
	};
}
