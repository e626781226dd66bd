import { X509Certificate } from "node:crypto";
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
	const chainPem = response.slice(0, -1).flatMap(splitCertificates);
	if (chainPem.length > chainLengthMax) return refused(`the answer has ${chainPem.length} certificates: at most ${chainLengthMax} are accepted`);
	const chain = checkedCall("unreadable certificate", () => chainPem.map((pem) => new X509Certificate(pem)));
	if (!chain.ok) return chain;
	const [leaf] = chain.value;
	if (leaf === undefined) return refused("the answer has no certificate");
	if (!leaf.checkPrivateKey(keys.privateKey)) return refused("the certificate is not for our key");
	const verified = verifyChain({ chain: chain.value, roots: bundle.value.roots, nowMs });
	if (!verified.ok) return verified;
	const identity = spiffeIdOfCertificate(leaf);
	if (!identity.ok) return identity;
	return accepted({
		certChainPem: chainPem.join(""),
		privateKeyPem: encodePrivateKey(keys.privateKey),
		rootsPem: bundle.value.pem,
		expiresAtMs: Math.min(...chain.value.map((certificate) => certificate.validToDate.getTime())),
		spiffeId: formatSpiffeId(identity.value),
	});
}
