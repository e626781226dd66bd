import { accepted, type Checked, decodeTrustBundle } from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import { decodeGivenCertificate, type GivenCertificate, type WorkloadCertificate } from "./workload-certificate.ts";
import { type IdentityListener, unionOf, type WorkloadIdentity } from "./workload-identity.ts";

/** Who gives certificates that are not asked of a certificate authority: mounted files, another's SDS socket. */
export interface CertificateSource {
	/** For logs and errors, such as `unix:/run/spire/agent.sock`. */
	readonly name: string;
	/** Hands over each certificate that there is, and again when it changes, until `signal` aborts. What `take` refuses stays out of force. */
	run(take: (given: GivenCertificate) => Checked<true>, signal: AbortSignal): Promise<void>;
}

export interface GivenIdentityOptions {
	readonly source: CertificateSource;
	readonly clock: Clock;
	readonly logger: Logger;
}

/** How often the end of a certificate is looked at: a clock that was set is noticed, too. */
const expiryCheckMsMax = 10_000;

/** An identity that another renews. It is in force until it expires, and then nothing is served until another one comes. */
export function createGivenIdentity(options: GivenIdentityOptions): WorkloadIdentity {
	return new GivenIdentity(options);
}

class GivenIdentity implements WorkloadIdentity {
	readonly #options: GivenIdentityOptions;
	readonly #listeners = new Set<IdentityListener>();
	/** As it was given; `#certificate` trusts the roots of the control plane besides. */
	#given: WorkloadCertificate | undefined;
	#certificate: WorkloadCertificate | undefined;
	#toldRootsPem = "";

	constructor(options: GivenIdentityOptions) {
		this.#options = options;
	}

	get current(): WorkloadCertificate | undefined {
		return this.#certificate !== undefined && this.#options.clock.nowMs() < this.#certificate.expiresAtMs ? this.#certificate : undefined;
	}

	subscribe(listener: IdentityListener): () => void {
		this.#listeners.add(listener);
		const { current } = this;
		if (current !== undefined) listener(current);
		return () => void this.#listeners.delete(listener);
	}

	ready(signal?: AbortSignal): Promise<WorkloadCertificate> {
		return new Promise((resolve, reject) => {
			if (this.current !== undefined) return resolve(this.current);
			const abort = () => {
				leave();
				reject(new Error("stopped before a certificate was given", { cause: signal?.reason }));
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

	/** Beside the roots that come with the certificate: whoever gives it knows nothing of a rotation in the mesh. */
	trust(rootsPem: string): Checked<true> {
		const told = decodeTrustBundle(rootsPem);
		if (!told.ok) return told;
		this.#toldRootsPem = told.value.pem;
		if (this.#given !== undefined && this.current !== undefined) this.#put(this.#given);
		return accepted(true as const);
	}

	renewNow(): Promise<WorkloadCertificate> {
		return Promise.reject(new Error(`${this.#options.source.name} renews the certificate, it cannot be asked to`));
	}

	async run(signal: AbortSignal): Promise<void> {
		const { source, clock } = this.#options;
		const running = source.run((given) => this.#take(given), signal);
		while (!signal.aborted) {
			this.#expire();
			const leftMs = this.#certificate === undefined ? expiryCheckMsMax : this.#certificate.expiresAtMs - clock.nowMs();
			await clock.sleep(Math.max(1, Math.min(leftMs, expiryCheckMsMax)), signal);
		}
		await running;
	}

	#take(given: GivenCertificate): Checked<true> {
		const { clock, logger, source } = this.#options;
		const decoded = decodeGivenCertificate(given, clock.nowMs());
		if (!decoded.ok) return decoded;
		const { spiffeId, expiresAtMs } = decoded.value;
		this.#given = decoded.value;
		logger.info("workload certificate taken", { from: source.name, spiffeId, expires: new Date(expiresAtMs).toISOString() });
		this.#put(decoded.value);
		return accepted(true as const);
	}

	#put(given: WorkloadCertificate): void {
		this.#certificate = this.#toldRootsPem === "" ? given : { ...given, rootsPem: unionOf(given.rootsPem, this.#toldRootsPem) };
		this.#publish(this.#certificate);
	}

	#expire(): void {
		if (this.#certificate === undefined || this.current !== undefined) return;
		this.#options.logger.error("workload certificate has expired, nothing is served until another one comes", { from: this.#options.source.name });
		this.#certificate = undefined;
		this.#given = undefined;
		this.#publish(undefined);
	}

	#publish(certificate: WorkloadCertificate | undefined): void {
		for (const listener of this.#listeners) {
			try {
				listener(certificate);
			} catch (error) {
				this.#options.logger.error("identity subscriber failed", { error });
			}
		}
	}
}
