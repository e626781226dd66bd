import { X509Certificate } from "node:crypto";
import { readCertificate } from "./certificate-fields.ts";
import { accepted, type Checked, checkedCall, refused } from "./checked.ts";
import { decodePublicKey } from "./keys.ts";
import { oids } from "./oids.ts";
import { splitCertificates } from "./pem.ts";
import { isAcceptedSignature } from "./signature.ts";

/** Longest chain that is looked at, leaf and root included: as OpenSSL's verifiers are commonly set. */
export const chainLengthMax = 10;

/** The certificates of a PEM text in their order, at most `limit`; an empty text is refused. */
export function decodeChain(pem: string, limit = chainLengthMax): Checked<readonly X509Certificate[]> {
	const parts = splitCertificates(pem);
	if (parts.length === 0) return refused("no PEM block CERTIFICATE");
	if (parts.length > limit) return refused(`${parts.length} certificates: at most ${limit} are accepted`);
	return checkedCall("unreadable certificate", () => parts.map((part) => new X509Certificate(part)));
}

export interface ChainParams {
	/** Leaf first, then intermediates in issuing order; the root may stand last or be left out. */
	readonly chain: readonly X509Certificate[];
	readonly roots: readonly X509Certificate[];
	readonly nowMs: number;
	/** What the leaf is used as: its extended key usage, if it has one, must allow that. */
	readonly purpose?: "client" | "server";
}

/** Verifies a leaf up to one of the roots with node:crypto: issuers, signatures, validity, CA flags, path lengths. Value: the root. */
export function verifyChain({ chain, roots, nowMs, purpose }: ChainParams): Checked<X509Certificate> {
	const [leaf, ...above] = chain;
	if (leaf === undefined) return refused("the chain is empty");
	if (chain.length > chainLengthMax) return refused(`${chain.length} certificates: at most ${chainLengthMax} are accepted`);
	if (leaf.ca) return refused("the leaf is an authority");
	const sound = checkContents(chain, roots, purpose);
	if (!sound.ok) return sound;
	let current = leaf;
	let intermediates = 0;
	for (const next of above) {
		const outside = isValidAt(current, nowMs);
		if (!outside.ok) return outside;
		if (roots.some((root) => isIssuer(root, current, intermediates))) break;
		if (!isIssuer(next, current, intermediates)) return refused(`the certificate after ${nameOf(current)} did not issue it`);
		current = next;
		intermediates++;
	}
	const inTime = isValidAt(current, nowMs);
	if (!inTime.ok) return inTime;
	const anchors = roots.filter((root) => root.raw.equals(current.raw) || isIssuer(root, current, intermediates));
	if (anchors.length === 0) return refused(`${nameOf(current)} is not issued by any trusted root`);
	const alive = anchors.find((root) => isValidAt(root, nowMs).ok);
	return alive === undefined ? refused("the trusted root has expired or is not valid yet") : accepted(alive);
}

const purposes = { client: oids.clientAuth, server: oids.serverAuth } as const;

/** What X509Certificate.verify passes over: strength of keys and signatures, critical extensions that nobody reads, and the leaf's purpose. */
function checkContents(chain: readonly X509Certificate[], roots: readonly X509Certificate[], purpose: ChainParams["purpose"]): Checked<true> {
	for (const [i, certificate] of chain.entries()) {
		const fields = readCertificate(certificate);
		if (!fields.ok) return refused(`${nameOf(certificate)}: ${fields.reason}`);
		const { publicKeyDer, signatureAlgorithm, unknownCritical, extKeyUsages } = fields.value;
		const key = decodePublicKey(publicKeyDer);
		if (!key.ok) return refused(`${nameOf(certificate)}: ${key.reason}`);
		// Whose signature is on a trusted root does not matter.
		const isRoot = roots.some((root) => root.raw.equals(certificate.raw));
		if (!isRoot && !isAcceptedSignature(signatureAlgorithm))
			return refused(`${nameOf(certificate)}: signature algorithm ${signatureAlgorithm} is not accepted`);
		if (unknownCritical.length > 0) return refused(`${nameOf(certificate)}: critical extension ${unknownCritical.join(", ")} is not understood`);
		if (i === 0 && purpose !== undefined && extKeyUsages.length > 0 && !extKeyUsages.includes(purposes[purpose])) {
			return refused(`${nameOf(certificate)} is not for use as a ${purpose}`);
		}
	}
	return accepted(true as const);
}

function isValidAt(certificate: X509Certificate, nowMs: number): Checked<true> {
	if (nowMs < certificate.validFromDate.getTime()) return refused(`${nameOf(certificate)} is not valid before ${certificate.validFrom}`);
	if (nowMs > certificate.validToDate.getTime()) return refused(`${nameOf(certificate)} has expired at ${certificate.validTo}`);
	return accepted(true as const);
}

// RFC 5280 §6.1.4: an issuer is a CA with keyCertSign (which checkIssued looks at), and its path length covers the intermediates below.
function isIssuer(issuer: X509Certificate, subject: X509Certificate, intermediatesBelow: number): boolean {
	if (!issuer.ca || !subject.checkIssued(issuer) || !subject.verify(issuer.publicKey)) return false;
	const fields = readCertificate(issuer);
	return fields.ok && (fields.value.pathLength === undefined || intermediatesBelow <= fields.value.pathLength);
}

const nameOf = (certificate: X509Certificate): string => certificate.subjectAltName ?? (certificate.subject || "the certificate");
