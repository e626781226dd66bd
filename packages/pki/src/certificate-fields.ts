import type { X509Certificate } from "node:crypto";
import { accepted, type Checked, refused } from "./checked.ts";
import { childrenOf, contentsOf, contextOf, decodeDer, type DerNode, encodeDer, oidOf, tags } from "./der.ts";
import { oids } from "./oids.ts";
import { decodeSpiffeId, type SpiffeId } from "./spiffe-id.ts";

/** What node:crypto's X509Certificate does not tell, or tells only as escaped text. */
export interface CertificateFields {
	readonly subjectDer: Buffer;
	readonly subjectEmpty: boolean;
	readonly publicKeyDer: Buffer;
	readonly uris: readonly string[];
	readonly dnsNames: readonly string[];
	/** Raw address octets in hexadecimal. */
	readonly ipAddresses: readonly string[];
	/** SANs of any further kind: e-mail, directory names, other names. */
	readonly otherNames: number;
	readonly sanCritical: boolean;
	readonly authority: boolean;
	/** basicConstraints pathLenConstraint: how many intermediates may follow. */
	readonly pathLength: number | undefined;
	/** First octet of keyUsage, bit 0 (digitalSignature) as the most significant; undefined without the extension. */
	readonly keyUsage: number | undefined;
	readonly extKeyUsages: readonly string[];
	readonly subjectKeyId: Buffer | undefined;
	/** Of the issuer's signature. */
	readonly signatureAlgorithm: string;
	/** Critical extensions that nobody here looks at: whoever relies on the certificate must refuse it (RFC 5280 §4.2). */
	readonly unknownCritical: readonly string[];
}

/** The last four narrow what an authority may sign; OpenSSL holds peers to them in the handshake. */
const knownExtensions: ReadonlySet<string> = new Set([
	oids.subjectKeyIdentifier,
	oids.keyUsage,
	oids.subjectAltName,
	oids.basicConstraints,
	oids.authorityKeyIdentifier,
	oids.extKeyUsage,
	oids.nameConstraints,
	oids.certificatePolicies,
	oids.policyConstraints,
	oids.inhibitAnyPolicy,
]);

/** keyCertSign and cRLSign in the first octet of keyUsage. */
export const authorityUsages = 0x06;

export interface Extension {
	readonly critical: boolean;
	readonly value: DerNode;
}

/** Decodes the parts of a certificate that identity rests on. Errors: not canonical DER, not X.509 v3, an extension twice. */
export function readCertificate(certificate: X509Certificate): Checked<CertificateFields> {
	const root = decodeDer(certificate.raw);
	if (!root.ok) return refused(`certificate is ${root.reason}`);
	const tbs = childrenOf(childrenOf(root.value, tags.sequence)?.[0], tags.sequence) ?? [];
	const [version, , algorithm, , , subject, spki] = tbs;
	if (version === undefined || contextOf(version)?.number !== 0 || subject === undefined || spki === undefined) {
		return refused("certificate is not X.509 version 3");
	}
	const explicit = tbs
		.slice(7)
		.map(contextOf)
		.find((node) => node?.number === 3);
	const extensions = readExtensions("certificate", childrenOf(explicit?.items?.[0], tags.sequence) ?? []);
	if (!extensions.ok) return extensions;
	const get = (oid: string) => extensions.value.get(oid);
	return accepted({
		subjectDer: encodeDer(subject),
		subjectEmpty: childrenOf(subject, tags.sequence)?.length === 0,
		publicKeyDer: encodeDer(spki),
		...readNames(get(oids.subjectAltName)),
		...readBasicConstraints(get(oids.basicConstraints)),
		keyUsage: contentsOf(get(oids.keyUsage)?.value, tags.bitString)?.[1],
		extKeyUsages: (childrenOf(get(oids.extKeyUsage)?.value, tags.sequence) ?? []).map((node) => oidOf(node) ?? ""),
		subjectKeyId: contentsOf(get(oids.subjectKeyIdentifier)?.value, tags.octetString),
		signatureAlgorithm: oidOf(childrenOf(algorithm, tags.sequence)?.[0]) ?? "",
		unknownCritical: [...extensions.value].flatMap(([oid, { critical }]) => (critical && !knownExtensions.has(oid) ? [oid] : [])),
	});
}

/** `where`: for the words of a refusal. */
export function readExtensions(where: "certificate" | "CSR", nodes: readonly DerNode[]): Checked<ReadonlyMap<string, Extension>> {
	const found = new Map<string, Extension>();
	for (const node of nodes) {
		const items = childrenOf(node, tags.sequence) ?? [];
		const oid = oidOf(items[0]) ?? "";
		const octets = contentsOf(items.at(-1), tags.octetString);
		const value = octets === undefined ? refused("without octets") : decodeDer(octets);
		if (!value.ok) return refused(`${where} extension ${oid} is unreadable: ${value.reason}`);
		if (found.has(oid)) return refused(`${where} extension ${oid} stands twice`);
		found.set(oid, { critical: contentsOf(items[1], tags.boolean)?.[0] === 0xff, value: value.value });
	}
	return accepted(found);
}

/** The names of a subjectAltName extension; none without it. */
export function readNames(extension: Extension | undefined) {
	const names = (childrenOf(extension?.value, tags.sequence) ?? []).map(contextOf);
	const texts = (number: number) => names.flatMap((name) => (name?.number === number && name.bytes ? [name.bytes.toString("latin1")] : []));
	const uris = texts(6);
	const dnsNames = texts(2);
	const ipAddresses = texts(7).map((octets) => Buffer.from(octets, "latin1").toString("hex"));
	const otherNames = names.length - uris.length - dnsNames.length - ipAddresses.length;
	return { uris, dnsNames, ipAddresses, otherNames, sanCritical: extension?.critical === true };
}

function readBasicConstraints(extension: Extension | undefined) {
	const items = childrenOf(extension?.value, tags.sequence) ?? [];
	const length = contentsOf(items[1], tags.integer);
	return {
		authority: contentsOf(items[0], tags.boolean)?.[0] === 0xff,
		pathLength: length === undefined ? undefined : Number.parseInt(length.toString("hex"), 16),
	};
}

/**
 * The identity of a leaf whose chain the caller has verified. SPIFFE X509-SVID §2 and §4: exactly one URI SAN, not an authority.
 * Common name and DNS names are never identities.
 */
export function spiffeIdOfCertificate(certificate: X509Certificate): Checked<SpiffeId> {
	const fields = readCertificate(certificate);
	if (!fields.ok) return fields;
	const { uris, authority, keyUsage = 0 } = fields.value;
	if (authority || (keyUsage & authorityUsages) !== 0) return refused("an authority's certificate is no workload identity");
	if (uris.length !== 1 || uris[0] === undefined) return refused(`certificate has ${uris.length} URI SANs: an identity has exactly one`);
	return decodeSpiffeId(uris[0]);
}
