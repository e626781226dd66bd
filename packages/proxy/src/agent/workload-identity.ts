import type { X509Certificate } from "node:crypto";
import { join } from "node:path";
import {
	accepted,
	buildCsr,
	type Checked,
	decodeChain,
	decodeTrustBundle,
	generateKeys,
	type KeyAlgorithm,
	planRenewal,
	type RenewalPlan,
	renewalWaitMs,
	verifyChain,
} from "@weft/pki";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { CertificateInForce, type IdentityListener } from "./certificate-in-force.ts";
import { controlPlaneServerName, type CreateCertificate } from "./certificate-client.ts";
import { certificateFileNames } from "./output-certificates.ts";
import { readTextSource, type TextSource } from "./text-source.ts";
import { decodeWorkloadCertificate, type WorkloadCertificate } from "./workload-certificate.ts";

export interface WorkloadIdentityOptions {
	/** host:port of the certificate authority. */
	readonly caAddress: string;
	/** Roots that the authority's own certificate must lead to, PEM. */
	readonly rootCert: TextSource;
	readonly token: TextSource;
	/** PROV_CERT: a directory with a certificate that is shown for the first one of ours; then no token is needed. */
	readonly provisionedDirectory?: string;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly logger: Logger;
	/** Default 0: as long as the authority gives by itself (DEFAULT_WORKLOAD_CERT_TTL, 24 h). */
	readonly ttlMs?: number;
	/** Default `istiod.istio-system.svc`. */
	readonly serverName?: string;
	/** Default `Kubernetes`, as Istio's. */
	readonly clusterId?: string;
	/** `spiffe://…` that requests ask for until there is a certificate: authorities that pass requests on compare it with the caller. */
	readonly requestedId?: string;
	/** Which of the authority's signers (ISTIO_META_CERT_SIGNER). */
	readonly certSigner?: string;
	/** Default `ecdsa-p256`. */
	readonly keyAlgorithm?: KeyAlgorithm;
	readonly createCertificate: CreateCertificate;
}

export interface WorkloadIdentity {
	/** The certificate in force; undefined before the first and after the last has expired: then nothing may be served. */
	readonly current: WorkloadCertificate | undefined;
	/** The listener hears of the present certificate at once, if there is one. Returns the way out. */
	subscribe(listener: IdentityListener): () => void;
	/** The certificate in force, waiting for the first one. Rejects when `signal` aborts. */
	ready(signal?: AbortSignal): Promise<WorkloadCertificate>;
	/** Obtains, renews at half life, retries with back-off, and lets an expired certificate go, until `signal` aborts. */
	run(signal: AbortSignal): Promise<void>;
	/**
	 * Trusts these roots (PEM) from now on: those that came with the certificate give way, unless its own root is not among
	 * them. A certificate that is obtained later adds what it brings. Refuses what is no bundle.
	 */
	trust(rootsPem: string): Checked<true>;
	/** Renews at once; concurrent calls share one request. Rejects with the reason and keeps what there is. */
	renewNow(): Promise<WorkloadCertificate>;
}

// Istio starts at 50 ms. Without a certificate the ceiling is what an authority that comes back may take to be noticed;
// with one there are hours, and a fleet must not drum on an authority that is down.
const emptyBackoffMs = { minMs: 50, maxMs: 4_000 };
const heldBackoffMs = { minMs: 50, maxMs: 60_000 };
const retryMsNearEnd = 500;
// An authority that lost the request is asked anew soon. One that asks somebody else to sign may take a minute, so whoever was
// not answered in time waits twice as long the next time.
const timeoutMs = { min: 10_000, max: 80_000 };

/**
 * The identity of one workload, its key born in memory.
 *
 *   waiting ──obtained──▶ valid ──half life──▶ renewing ──obtained──▶ valid
 *                                                 └──expired──▶ expired (fails closed) ──obtained──▶ valid
 */
export function createWorkloadIdentity(options: WorkloadIdentityOptions): WorkloadIdentity {
	return new CurrentIdentity(options);
}

class CurrentIdentity implements WorkloadIdentity {
	readonly #options: WorkloadIdentityOptions;
	readonly #inForce: CertificateInForce;
	#plan: RenewalPlan | undefined;
	#pending: Promise<WorkloadCertificate> | undefined;
	/** As the control plane told; undefined: it never did. */
	#toldRootsPem: string | undefined;
	/** How long the next request may take. */
	#patienceMs: number = timeoutMs.min;

	constructor(options: WorkloadIdentityOptions) {
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

	trust(rootsPem: string): Checked<true> {
		const told = decodeTrustBundle(rootsPem);
		if (!told.ok) return told;
		this.#toldRootsPem = told.value.pem;
		const { current } = this;
		if (current === undefined) return accepted(true as const);
		const isCovered = leadsTo(current.certChainPem, told.value.roots, this.#options.clock.nowMs());
		const trusted = isCovered ? told.value.pem : unionOf(current.rootsPem, told.value.pem);
		if (trusted === current.rootsPem) return accepted(true as const);
		this.#options.logger.info("trusted roots changed", { roots: told.value.roots.length });
		this.#inForce.put({ ...current, rootsPem: trusted });
		return accepted(true as const);
	}

	renewNow(): Promise<WorkloadCertificate> {
		return this.#renew(undefined);
	}

	async run(signal: AbortSignal): Promise<void> {
		const { clock, logger, random } = this.#options;
		const empty = createBackoff({ ...emptyBackoffMs, random });
		const held = createBackoff({ ...heldBackoffMs, random });
		while (!signal.aborted) {
			this.#expire();
			const waitMs = this.#plan === undefined ? 0 : renewalWaitMs(this.#plan, clock.nowMs(), clock.monotonicMs());
			if (waitMs > 0) {
				await clock.sleep(waitMs, signal);
				continue;
			}
			try {
				await this.#renew(signal);
				empty.reset();
				held.reset();
			} catch (error) {
				if (signal.aborted) return;
				const backoff = this.current === undefined ? empty : held;
				const retryMs = Math.min(backoff.nextMs(), this.#retryMsMax());
				logger.warn("workload certificate not obtained", { error, retryMs: Math.round(retryMs) });
				await clock.sleep(retryMs, signal);
			}
		}
	}

	/** A quarter of what is left: a certificate of a minute must not end while the back-off of a day's one sleeps. */
	#retryMsMax(): number {
		const { leftMs } = this.#inForce;
		if (leftMs === undefined) return Number.POSITIVE_INFINITY;
		return Math.max(1, Math.min(leftMs, Math.max(leftMs / 4, retryMsNearEnd)));
	}

	/** Half of what is left of a certificate, so that there is time for another try. */
	#timeoutMs(): number {
		const { leftMs = Number.POSITIVE_INFINITY } = this.#inForce;
		return Math.max(timeoutMs.min, Math.min(this.#patienceMs, leftMs / 2));
	}

	#expire(): void {
		if (!this.#inForce.expire()) return;
		this.#options.logger.error("workload certificate has expired, nothing is served until a new one is obtained");
		this.#plan = undefined;
	}

	#renew(signal: AbortSignal | undefined): Promise<WorkloadCertificate> {
		this.#pending ??= this.#obtain(signal).finally(() => {
			this.#pending = undefined;
		});
		return this.#pending;
	}

	async #obtain(signal: AbortSignal | undefined): Promise<WorkloadCertificate> {
		const { clock, random, logger, createCertificate, ttlMs = 0 } = this.#options;
		const { caAddress, serverName = controlPlaneServerName, clusterId = "Kubernetes", keyAlgorithm, certSigner } = this.#options;
		const held = this.current;
		// Roots learnt from the authority count beside the configured ones, or a rotated root would lock us out.
		const rootsPem = (await readTextSource(this.#options.rootCert)) + (held === undefined ? "" : `\n${held.rootsPem}`);
		const provisioned = held === undefined ? await this.#readProvisioned() : undefined;
		const token = await this.#readToken(provisioned !== undefined);
		const keys = await generateKeys(keyAlgorithm);
		const asked = held?.spiffeId ?? this.#options.requestedId;
		const csrPem = buildCsr({ keys, uris: asked === undefined ? [] : [asked] });
		const call = {
			rootsPem,
			csrPem,
			certSigner,
			ttlMs,
			timeoutMs: this.#timeoutMs(),
			signal,
			clusterId,
			serverName,
			address: caAddress,
			client: held ?? provisioned,
		};
		const startedMs = clock.monotonicMs();
		const response = await createCertificate({ ...call, bearerToken: token === "" ? undefined : token }).catch((error: unknown) => {
			if (clock.monotonicMs() - startedMs >= call.timeoutMs) this.#patienceMs = Math.min(2 * call.timeoutMs, timeoutMs.max);
			throw error;
		});
		this.#patienceMs = timeoutMs.min;
		const decoded = decodeWorkloadCertificate(response, keys, clock.nowMs());
		if (!decoded.ok) throw new Error(`certificate authority ${caAddress}: ${decoded.reason}`);
		const { expiresAtMs, spiffeId } = decoded.value;
		// A replica that is behind must not take a root away that another has told of already.
		const told = this.#toldRootsPem;
		const certificate = told === undefined ? decoded.value : { ...decoded.value, rootsPem: unionOf(decoded.value.rootsPem, told) };
		this.#plan = planRenewal({ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs(), notAfterMs: expiresAtMs, random });
		const expires = new Date(expiresAtMs).toISOString();
		logger.info("workload certificate obtained", { spiffeId, expires, renewal: new Date(this.#plan.dueMs).toISOString() });
		this.#inForce.put(certificate);
		return certificate;
	}

	async #readToken(isOptional: boolean): Promise<string> {
		try {
			return (await readTextSource(this.#options.token)).trim();
		} catch (error) {
			if (isOptional) return "";
			throw error;
		}
	}

	/** Undefined: there is none that could be shown; an expired one would only break the handshake. */
	async #readProvisioned(): Promise<{ readonly certChainPem: string; readonly privateKeyPem: string } | undefined> {
		const { provisionedDirectory: directory, clock, logger } = this.#options;
		if (directory === undefined) return undefined;
		const file = (name: string) => readTextSource({ file: join(directory, name) });
		try {
			const certChainPem = await file(certificateFileNames.certChain);
			const privateKeyPem = await file(certificateFileNames.privateKey);
			const chain = decodeChain(certChainPem);
			if (!chain.ok) throw new Error(chain.reason);
			const leaf = chain.value[0];
			if (leaf !== undefined && leaf.validToDate.getTime() <= clock.nowMs()) throw new Error(`expired at ${leaf.validTo}`);
			return { certChainPem, privateKeyPem };
		} catch (error) {
			logger.warn("provisioned certificate is not shown (PROV_CERT)", { directory, error });
			return undefined;
		}
	}
}

function leadsTo(chainPem: string, roots: readonly X509Certificate[], nowMs: number): boolean {
	const chain = decodeChain(chainPem);
	return chain.ok && verifyChain({ chain: chain.value, roots, nowMs }).ok;
}

/** Both bundles (PEM that has been read before) as one, without repeats. */
export function unionOf(a: string, b: string): string {
	const union = decodeTrustBundle(`${a}\n${b}`);
	return union.ok ? union.value.pem : a;
}
