import type { ServerCredentials } from "@grpc/grpc-js";
import { planRenewal, renewalWaitMs, type SpiffeId } from "@weft/pki";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import { issueKeyedLeaf, type KeyedLeaf, type LeafIssuer } from "./certificate-authority.ts";
import { createCertificateProvider, createServerCredentials } from "./certificate-provider.ts";

export interface ServerIdentityOptions {
	readonly authority: Pick<LeafIssuer, "trustDomain" | "trustBundlePem" | "issueLeaf" | "onChanged">;
	readonly clock: Clock;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly logger: Logger;
	/** Default: service account `istiod` in `istio-system` of the authority's trust domain. */
	readonly identity?: SpiffeId;
	/** Default: istiod's service names and `localhost`. */
	readonly dnsNames?: readonly string[];
	/** Default: 127.0.0.1. */
	readonly ipAddresses?: readonly string[];
	/** Default: the authority's. */
	readonly ttlMs?: number;
	/** Which of the authority's signers; undefined: the usual one. */
	readonly certSigner?: string;
}

export interface ServerIdentity {
	/** TLS with the current certificate; clients may present one of the authority's, and need not. Renewals reach open servers. */
	readonly credentials: ServerCredentials;
	/** Renews at half life until `signal` aborts; failures are retried and logged, the old certificate stays meanwhile. */
	run(signal: AbortSignal): Promise<void>;
	/** Renews at once. */
	rotate(): Promise<void>;
	readonly serialNumber: string;
	/** What is served with now. */
	readonly leaf: KeyedLeaf;
	/** Called after each renewal. Returns the way to stop. */
	onRotated(listener: (leaf: KeyedLeaf) => void): () => void;
}

const defaultDnsNames = ["istiod.istio-system.svc", "istiod.istio-system.svc.cluster.local", "localhost"];

/** The control plane's own TLS server certificate, issued by the authority it serves. */
export async function createServerIdentity(options: ServerIdentityOptions): Promise<ServerIdentity> {
	const { authority, clock, random, logger } = options;
	const provider = createCertificateProvider(() => authority.trustBundlePem);
	let current = await issue(options);
	provider.update(current);
	const plan = () => planRenewal({ nowMs: clock.nowMs(), monotonicMs: clock.monotonicMs(), notAfterMs: current.notAfterMs, random });
	let renewal = plan();
	const listeners = new Set<(leaf: KeyedLeaf) => void>();
	const rotate = async () => {
		current = await issue(options);
		renewal = plan();
		provider.update(current);
		for (const listener of listeners) listener(current);
		logger.info("server certificate rotated", { serial: current.serialNumber, notAfter: new Date(current.notAfterMs).toISOString() });
	};
	authority.onChanged(({ roots, signer }) => {
		if (roots) provider.updateRoots();
		// Under the new root from now on; it is trusted everywhere already. A failure is the loop's to mend.
		if (signer) {
			rotate().catch((error: unknown) => {
				logger.error("server certificate could not be rotated", { error });
				renewal = { dueMs: clock.nowMs(), dueMonotonicMs: clock.monotonicMs() };
			});
		}
	});
	return {
		credentials: createServerCredentials(provider),
		rotate,
		get serialNumber() {
			return current.serialNumber;
		},
		get leaf() {
			return current;
		},
		onRotated(listener) {
			listeners.add(listener);
			return () => void listeners.delete(listener);
		},
		async run(signal) {
			const backoff = createBackoff({ minMs: 1_000, maxMs: 60_000, random });
			while (!signal.aborted) {
				const waitMs = renewalWaitMs(renewal, clock.nowMs(), clock.monotonicMs());
				if (waitMs > 0) {
					await clock.sleep(waitMs, signal);
					continue;
				}
				try {
					await rotate();
					backoff.reset();
				} catch (error) {
					logger.error("server certificate could not be rotated", { error });
					await clock.sleep(backoff.nextMs(), signal);
				}
			}
		},
	};
}

async function issue({ authority, identity, dnsNames, ipAddresses, ttlMs, certSigner }: ServerIdentityOptions): Promise<KeyedLeaf> {
	const leaf = await issueKeyedLeaf(authority, {
		identity: identity ?? { trustDomain: authority.trustDomain, namespace: "istio-system", serviceAccount: "istiod" },
		dnsNames: dnsNames ?? defaultDnsNames,
		ipAddresses: ipAddresses ?? ["127.0.0.1"],
		ttlMs: ttlMs ?? 0,
		certSigner,
	});
	if (!leaf.ok) throw new Error(`server certificate: ${leaf.reason}`);
	return leaf.value;
}
