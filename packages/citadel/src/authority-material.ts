import { createPrivateKey, randomBytes, type X509Certificate } from "node:crypto";
import {
	accepted,
	buildRootTemplate,
	type Checked,
	checkedCall,
	decodeChain,
	decodeTrustBundle,
	encodePrivateKey,
	encodePublicKey,
	generateKeys,
	type KeyAlgorithm,
	refused,
	type Signer,
	signSelf,
	splitPem,
	type TrustBundle,
} from "@weft/pki";

/** The four PEM texts that make an authority, under the file names of Istio's `cacerts` Secret. */
export interface AuthorityPem {
	readonly caKeyPem: string;
	readonly caCertPem: string;
	/** Intermediates between ca-cert and root; empty for a self-signed root. */
	readonly certChainPem: string;
	readonly rootCertPem: string;
	/** Revocation lists of a plugged-in CA (ca-crl.pem), for proxies to hold peers against. */
	readonly crlPem?: string;
}

export interface AuthorityMaterial {
	readonly signer: Signer;
	/** PEM each, from the signer upwards, without the root. */
	readonly intermediatesPem: readonly string[];
	readonly trustBundle: TrustBundle;
	readonly notAfterMs: number;
}

export interface SelfSignedParams {
	readonly trustDomain: string;
	readonly keyAlgorithm: KeyAlgorithm;
	readonly nowMs: number;
}

/** A new root with its key; ten years, O = trust domain. */
export async function buildSelfSignedAuthority({ trustDomain, keyAlgorithm, nowMs }: SelfSignedParams): Promise<AuthorityPem> {
	const keys = await generateKeys(keyAlgorithm);
	const template = buildRootTemplate({
		trustDomain,
		publicKeyDer: encodePublicKey(keys.publicKey),
		serialNumber: randomBytes(16),
		nowMs,
	});
	const pem = signSelf(template, keys.privateKey);
	return { caKeyPem: encodePrivateKey(keys.privateKey), caCertPem: pem, certChainPem: "", rootCertPem: pem };
}

/** Whether the signer is its own root: ours to renew and to replace. */
export const isSelfSigned = ({ signer, trustBundle }: AuthorityMaterial): boolean =>
	trustBundle.roots.some((root) => root.fingerprint256 === signer.certificate.fingerprint256);

/** As Istio's: a root is renewed in the last fifth of its life. */
const graceShare = 0.2;

/**
 * The same root for another ten years, with the same key and name, so that whoever trusts the old certificate trusts what is
 * signed under the new one. Undefined while it is not due, or where the CA is not ours.
 */
export function renewSelfSignedAuthority(material: AuthorityMaterial, pem: AuthorityPem, trustDomain: string, nowMs: number): AuthorityPem | undefined {
	const { certificate, privateKey } = material.signer;
	if (!isSelfSigned(material)) return undefined;
	const [fromMs, toMs] = [certificate.validFromDate.getTime(), certificate.validToDate.getTime()];
	if (nowMs < toMs - (toMs - fromMs) * graceShare) return undefined;
	const organization = /^O=(.*)$/m.exec(certificate.subject)?.[1] ?? trustDomain;
	const template = buildRootTemplate({ trustDomain: organization, publicKeyDer: encodePublicKey(certificate.publicKey), serialNumber: randomBytes(16), nowMs });
	const fresh = signSelf(template, privateKey);
	return { ...pem, caCertPem: fresh, rootCertPem: fresh };
}

/** Reads the four texts and checks that they belong together; the refusal names the file to look at. */
export function decodeAuthority(pem: AuthorityPem, nowMs: number): Checked<AuthorityMaterial> {
	const certificate = decodeChain(pem.caCertPem);
	if (!certificate.ok) return refused(`ca-cert.pem: ${certificate.reason}`);
	const key = checkedCall("ca-key.pem: unreadable private key", () => createPrivateKey(pem.caKeyPem));
	if (!key.ok) return key;
	const trustBundle = decodeTrustBundle(pem.rootCertPem);
	if (!trustBundle.ok) return refused(`root-cert.pem: ${trustBundle.reason}`);
	const above = pem.certChainPem.trim() === "" ? accepted([]) : decodeChain(pem.certChainPem);
	if (!above.ok) return refused(`cert-chain.pem: ${above.reason}`);
	const crl = pem.crlPem ?? "";
	if (crl.trim() !== "" && !splitPem(crl).some(({ label }) => label === "X509 CRL")) return refused("ca-crl.pem: no PEM block X509 CRL");
	const path = withoutRepeats([...certificate.value, ...above.value]);
	const [ca] = path;
	if (ca === undefined || !ca.checkPrivateKey(key.value)) return refused("ca-key.pem is not the key of ca-cert.pem");
	const sound = checkPath(path, trustBundle.value.roots, nowMs);
	if (!sound.ok) return sound;
	return accepted({
		signer: { certificate: ca, privateKey: key.value },
		intermediatesPem: path.filter((c) => !c.verify(c.publicKey)).map((c) => c.toString()),
		trustBundle: trustBundle.value,
		notAfterMs: Math.min(...path.map((c) => c.validToDate.getTime())),
	});
}

function withoutRepeats(path: readonly X509Certificate[]): readonly X509Certificate[] {
	return [...new Map(path.map((c) => [c.fingerprint256, c])).values()];
}

function checkPath(path: readonly X509Certificate[], roots: readonly X509Certificate[], nowMs: number): Checked<true> {
	for (const [i, certificate] of path.entries()) {
		if (!certificate.ca) return refused(`${certificate.subject} is not an authority (basicConstraints CA)`);
		if (certificate.validToDate.getTime() <= nowMs) return refused(`${certificate.subject} has expired at ${certificate.validTo}`);
		const issuers = [...roots, ...path.slice(i + 1, i + 2)];
		if (!issuers.some((issuer) => certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey))) {
			return refused(`${certificate.subject} is issued neither by a root of root-cert.pem nor by the next of cert-chain.pem`);
		}
	}
	const top = path.at(-1);
	const anchored = top !== undefined && roots.some((root) => top.checkIssued(root) && top.verify(root.publicKey));
	return anchored ? accepted(true as const) : refused("cert-chain.pem does not lead to a root of root-cert.pem");
}
