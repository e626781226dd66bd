import { accepted, type Checked, decodeTrustBundle } from "@weft/pki";
import type { Clock, Logger } from "@weft/runtime";
import { decodeGivenCertificate, type GivenCertificate, type WorkloadCertificate } from "./workload-certificate.ts";
import { CertificateInForce, type IdentityListener } from "./certificate-in-force.ts";
import { unionOf, type WorkloadIdentity } from "./workload-identity.ts";

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
	readonly #inForce: CertificateInForce;
	/** As it was given; what is in force trusts the roots of the control plane besides. */
	#given: WorkloadCertificate | undefined;
	#toldRootsPem = "";

	constructor(options: GivenIdentityOptions) {
		this.#options = options;
		this.#inForce = new CertificateInForce(options.clock, options.logger);
	}

	get current(): WorkloadCertificate | undefined {
		return this.#inForce.current;
	}

	subscribe(listener: IdentityListener): () => void {
		return this.#inForce.subscribe(listener);
	}

	ready(signal?: AbortSignal): Promise<WorkloadCertificate> {
		return this.#inForce.ready(signal);
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
			await clock.sleep(Math.max(1, Math.min(this.#inForce.leftMs ?? expiryCheckMsMax, expiryCheckMsMax)), signal);
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
		this.#inForce.put(this.#toldRootsPem === "" ? given : { ...given, rootsPem: unionOf(given.rootsPem, this.#toldRootsPem) });
	}

	#expire(): void {
		if (!this.#inForce.expire()) return;
		this.#options.logger.error("workload certificate has expired, nothing is served until another one comes", { from: this.#options.source.name });
		this.#given = undefined;
	}
}
