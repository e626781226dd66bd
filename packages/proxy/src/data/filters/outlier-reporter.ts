import type { OutlierDetection } from "../../config/outlier-detection.ts";
import { clearFailures, countFailure, countOutcome, type FailureKind, noSlot, type SharedWords } from "../../config/shared-state.ts";
import type { HostEntry } from "../lb/host-entry.ts";

/**
 * Counts what each host's answers say of it, over all workers, and asks for its ejection when a threshold is reached
 * (Envoy's outlier detection). What is a matter of rates is looked at once an interval; the decisions are the main thread's, see `lb/outlier-decisions.ts`.
 */
export interface OutlierReporter {
	/** For every response from a host. */
	response(entry: HostEntry, status: number): void;
	/** The proxy could not get an answer: connection refused, timed out, or reset before the head. */
	localFailure(entry: HostEntry, kind: "connectFailure" | "timeout" | "reset"): void;
	/** A connection was made; `isFinal` for TCP, where no response will follow. */
	connected(entry: HostEntry, isFinal: boolean): void;
	/** Its thresholds are others now. */
	follow(outlier: OutlierDetection): void;
}

export function createOutlierReporter(
	outlier: OutlierDetection | undefined,
	words: SharedWords,
	eject: (hostSlot: number, reason: FailureKind) => void,
): OutlierReporter {
	if (!outlier) return { response: () => undefined, localFailure: () => undefined, connected: () => undefined, follow: () => undefined };
	return new Reporter(outlier, words, eject);
}

class Reporter implements OutlierReporter {
	#outlier: OutlierDetection;
	readonly #words: SharedWords;
	readonly #eject: (hostSlot: number, reason: FailureKind) => void;

	constructor(outlier: OutlierDetection, words: SharedWords, eject: (hostSlot: number, reason: FailureKind) => void) {
		this.#outlier = outlier;
		this.#words = words;
		this.#eject = eject;
	}

	follow(outlier: OutlierDetection): void {
		this.#outlier = outlier;
	}

	response(entry: HostEntry, status: number): void {
		const { slot } = entry.host;
		if (slot === noSlot) return;
		countOutcome(this.#words, slot, status < 500, false);
		if (status < 500) {
			clearFailures(this.#words, slot, "consecutive5xx");
			clearFailures(this.#words, slot, "consecutiveGateway");
			return;
		}
		// In Envoy's order: what was ejected for one reason is not looked at for the other.
		if (status >= 502 && status <= 504) this.#count(slot, "consecutiveGateway", this.#outlier.consecutiveGatewayFailure);
		else clearFailures(this.#words, slot, "consecutiveGateway");
		this.#count(slot, "consecutive5xx", this.#outlier.consecutive5xx);
	}

	localFailure(entry: HostEntry, kind: "connectFailure" | "timeout" | "reset"): void {
		const { slot } = entry.host;
		if (slot === noSlot) return;
		// Without the split, a failure of our own making counts like the status that the client gets for it.
		if (!this.#outlier.splitExternalLocalOrigin) this.response(entry, kind === "timeout" ? 504 : 503);
		else {
			countOutcome(this.#words, slot, false, true);
			this.#count(slot, "localOrigin", this.#outlier.consecutiveLocalOriginFailure);
		}
	}

	connected(entry: HostEntry, isFinal: boolean): void {
		const { slot } = entry.host;
		if (slot === noSlot) return;
		if (this.#outlier.splitExternalLocalOrigin) {
			countOutcome(this.#words, slot, true, true);
			clearFailures(this.#words, slot, "localOrigin");
		} else if (isFinal) this.response(entry, 200);
	}

	/** Asks once per threshold: the count starts over, whatever is decided. */
	#count(slot: number, kind: FailureKind, threshold: number): void {
		if (threshold <= 0 || countFailure(this.#words, slot, kind) !== threshold) return;
		clearFailures(this.#words, slot, kind);
		this.#eject(slot, kind);
	}
}
