import { createPrivateKey, type KeyObject, X509Certificate } from "node:crypto";
import {
	accepted,
	chainLengthMax,
	type Checked,
	checkedCall,
	decodeTrustBundle,
	encodePrivateKey,
	formatSpiffeId,
	type KeyPair,
	refused,
	spiffeIdOfCertificate,
	splitCertificates,
	type TrustBundle,
	verifyChain,
} from "@weft/pki";

/** What a workload shows to its peers and holds against them. It lives in memory only. */
export interface WorkloadCertificate {
	/** Leaf and intermediates. */
	readonly certChainPem: string;
	readonly privateKeyPem: string;
	readonly rootsPem: string;
	readonly expiresAtMs: number;
	/** `spiffe://…` */
	readonly spiffeId: string;
}

/** Holds an authority's answer against our key and the roots it names, before anyone is served with it. */
export function decodeWorkloadCertificate(response: readonly string[], keys: KeyPair, nowMs: number): Checked<WorkloadCertificate> {
	const rootsText = response.at(-1);
	// Istio's agents refuse it too: without roots of its own the answer cannot be checked or served.
	if (rootsText === undefined || response.length < 2) return refused("the answer has no root bundle after its certificates");
	const bundle = decodeTrustBundle(rootsText);
	if (!bundle.ok) return bundle;
	return checkWorkloadCertificate(response.slice(0, -1).flatMap(splitCertificates), keys.privateKey, bundle.value, nowMs);
}

/** What another gives as PEM: a mounted file, an SDS server. */
export interface GivenCertificate {
	/** Leaf first. */
	readonly certChainPem: string;
	readonly privateKeyPem: string;
	readonly rootsPem: string;
}

/** Holds a certificate against the key and the roots that come with it: nothing is served of what does not belong together. */
export function decodeGivenCertificate({ certChainPem, privateKeyPem, rootsPem }: GivenCertificate, nowMs: number): Checked<WorkloadCertificate> {
	const bundle = decodeTrustBundle(rootsPem);
	if (!bundle.ok) return bundle;
	const key = checkedCall("unreadable private key", () => createPrivateKey(privateKeyPem));
	return key.ok ? checkWorkloadCertificate(splitCertificates(certChainPem), key.value, bundle.value, nowMs) : key;
}

function checkWorkloadCertificate(chainPem: readonly string[], privateKey: KeyObject, bundle: TrustBundle, nowMs: number): Checked<WorkloadCertificate> {
	if (chainPem.length > chainLengthMax) return refused(`the answer has ${chainPem.length} certificates: at most ${chainLengthMax} are accepted`);
	const chain = checkedCall("unreadable certificate", () => chainPem.map((pem) => new X509Certificate(pem)));
	if (!chain.ok) return chain;
	const [leaf] = chain.value;
	if (leaf === undefined) return refused("the answer has no certificate");
	if (!leaf.checkPrivateKey(privateKey)) return refused("the certificate is not for our key");
	const verified = verifyChain({ chain: chain.value, roots: bundle.roots, nowMs });
	if (!verified.ok) return verified;
	const identity = spiffeIdOfCertificate(leaf);
	if (!identity.ok) return identity;
	return accepted({
		certChainPem: chainPem.join(""),
		privateKeyPem: encodePrivateKey(privateKey),
		rootsPem: bundle.pem,
		expiresAtMs: Math.min(...chain.value.map((certificate) => certificate.validToDate.getTime())),
		spiffeId: formatSpiffeId(identity.value),
	});
}
