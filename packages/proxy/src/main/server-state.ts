import { typeUrls } from "@weft/xds";

export type LiveState = "PRE_INITIALIZING" | "INITIALIZING" | "LIVE" | "DRAINING";

export interface ServerStateOptions {
	readonly startedMs: number;
	/** Ready only once the control plane has sent clusters and listeners. */
	readonly isXdsExpected: boolean;
}

/**
 * PRE_INITIALIZING ──static configuration in force──▶ INITIALIZING ──CDS and LDS in force──▶ LIVE ──drain──▶ DRAINING
 */
export class ServerState {
	readonly startedMs: number;
	readonly #missing: Set<string>;
	readonly #listening = new Map<string, string>();
	#isStaticDone = false;
	#isDraining = false;
	isHealthCheckFailed = false;
	/** undefined: there is none to be connected to. */
	isControlPlaneConnected: boolean | undefined;
	/** Of the control plane, so far. */
	responses = 0;

	constructor({ startedMs, isXdsExpected }: ServerStateOptions) {
		this.startedMs = startedMs;
		if (isXdsExpected) this.isControlPlaneConnected = false;
		this.#missing = new Set(isXdsExpected ? [typeUrls.cds, typeUrls.lds] : []);
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
		this.#missing.delete(typeUrl);
	}

	listening(listener: string, address: string): void {
		this.#listening.set(listener, address);
	}

	drain(): void {
		this.#isDraining = true;
	}
}
