export type LiveState = "PRE_INITIALIZING" | "INITIALIZING" | "LIVE" | "DRAINING";

export interface ServerStateOptions {
	readonly startedMs: number;
	/** Type URLs of what must have come before the server is ready. */
	readonly expected: readonly string[];
}

/**
 * PRE_INITIALIZING ──static configuration in force──▶ INITIALIZING ──CDS and LDS in force──▶ LIVE ──drain──▶ DRAINING
 */
export class ServerState {
	readonly startedMs: number;
	readonly #missing: Set<string>;
	readonly #waiting = new Map<string, readonly (() => void)[]>();
	readonly #listening = new Map<string, string>();
	#isStaticDone = false;
	#isDraining = false;
	isHealthCheckFailed = false;
	/** Is there a stream to the management server? By the prefix of the statistics. */
	readonly connected = new Map<string, boolean>();
	/** Of the control plane, so far. */
	responses = 0;

	constructor({ startedMs, expected }: ServerStateOptions) {
		this.startedMs = startedMs;
		this.#missing = new Set(expected);
	}

	get live(): LiveState {
		if (this.#isDraining || this.isHealthCheckFailed) return "DRAINING";
		if (!this.#isStaticDone) return "PRE_INITIALIZING";
		return this.#missing.size > 0 ? "INITIALIZING" : "LIVE";
	}

	/** Listener names to bound addresses. */
	get addresses(): ReadonlyMap<string, string> {
		return this.#listening;
	}

	ready(): void {
		this.#isStaticDone = true;
	}

	received(typeUrl: string): void {
		this.responses++;
		this.giveUp(typeUrl);
	}

	/** It is not waited for any longer. */
	giveUp(typeUrl: string): void {
		if (this.#missing.delete(typeUrl)) for (const callback of this.#waiting.get(typeUrl) ?? []) callback();
	}

	/** Calls back once the type has come, or is not waited for; at once where it is not expected. */
	whenHeard(typeUrl: string, callback: () => void): void {
		if (this.#missing.has(typeUrl)) this.#waiting.set(typeUrl, [...(this.#waiting.get(typeUrl) ?? []), callback]);
		else callback();
	}

	listening(listener: string, address: string): void {
		this.#listening.set(listener, address);
	}

	drain(): void {
		this.#isDraining = true;
	}
}
