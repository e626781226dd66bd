import type { Clock, Logger } from "@weft/runtime";
import type { WorkloadCertificate } from "./workload-certificate.ts";

/** Called with each new certificate, and with undefined once the last one has expired without a successor. */
export type IdentityListener = (certificate: WorkloadCertificate | undefined) => void;

/** A workload's certificate, whoever it comes from: in force until it expires, and whoever subscribed hears of each change. */
export class CertificateInForce {
	readonly #clock: Clock;
	readonly #logger: Logger;
	readonly #listeners = new Set<IdentityListener>();
	#certificate: WorkloadCertificate | undefined;

	constructor(clock: Clock, logger: Logger) {
		this.#clock = clock;
		this.#logger = logger;
	}

	/** Undefined before the first, and after the last has expired: then nothing may be served. */
	get current(): WorkloadCertificate | undefined {
		return this.#certificate !== undefined && this.#clock.nowMs() < this.#certificate.expiresAtMs ? this.#certificate : undefined;
	}

	/** Until it ends; undefined: there is none. It may have expired without anybody having looked. */
	get leftMs(): number | undefined {
		return this.#certificate === undefined ? undefined : this.#certificate.expiresAtMs - this.#clock.nowMs();
	}

	/** The listener hears of the present certificate at once, if there is one. Returns the way out. */
	subscribe(listener: IdentityListener): () => void {
		this.#listeners.add(listener);
		const { current } = this;
		if (current !== undefined) listener(current);
		return () => void this.#listeners.delete(listener);
	}

	/** Waits for the first one. Rejects when `signal` aborts. */
	ready(signal?: AbortSignal): Promise<WorkloadCertificate> {
		return new Promise((resolve, reject) => {
			if (this.current !== undefined) return resolve(this.current);
			const abort = () => {
				leave();
				reject(new Error("stopped before there was a certificate", { cause: signal?.reason }));
			};
			const leave = this.subscribe((certificate) => {
				if (certificate === undefined) return;
				leave();
				signal?.removeEventListener("abort", abort);
				resolve(certificate);
			});
			signal?.addEventListener("abort", abort, { once: true });
			if (signal?.aborted) abort();
		});
	}

	put(certificate: WorkloadCertificate): void {
		this.#certificate = certificate;
		this.#publish();
	}

	/** Lets go of a certificate that has expired; true when it did. */
	expire(): boolean {
		if (this.#certificate === undefined || this.current !== undefined) return false;
		this.#certificate = undefined;
		this.#publish();
		return true;
	}

	#publish(): void {
		for (const listener of this.#listeners) {
			try {
				listener(this.#certificate);
			} catch (error) {
				// A subscriber's fault must neither cost the others their certificate nor look like one of the authority's.
				this.#logger.error("identity subscriber failed", { error });
			}
		}
	}
}
