import { X509Certificate } from "node:crypto";
import { parseSubjectAltName } from "./peer-identity.ts";

export interface KeyPair {
	readonly certChainPem: string;
	readonly privateKeyPem: string;
}

interface Described {
	readonly keyType: string;
	/** DNS names in lower case; the common name where there are none (RFC 6125 §6.4.4). */
	readonly names: readonly string[];
}

const described = new Map<string, Described>();
const describedMax = 1024;

/**
 * Of several certificates, those for this server name, or all when none is: exact names first, then wildcards. One of
 * each kind of key: TLS takes the one that the client can check.
 */
export function chooseCertificates<T extends KeyPair>(pairs: readonly T[], serverName: string): readonly T[] {
	if (pairs.length < 2) return pairs;
	const name = serverName.toLowerCase();
	const wildcard = name.includes(".") ? `*${name.slice(name.indexOf("."))}` : "";
	const named = (wanted: string) => (wanted === "" ? [] : pairs.filter(({ certChainPem }) => describe(certChainPem).names.includes(wanted)));
	const exact = named(name);
	const fitting = exact.length > 0 ? exact : named(wildcard);
	const candidates = fitting.length > 0 ? fitting : pairs;
	const byKey = new Map<string, T>();
	for (const pair of candidates) {
		const { keyType } = describe(pair.certChainPem);
		if (!byKey.has(keyType)) byKey.set(keyType, pair);
	}
	return [...byKey.values()];
}

/** Throws on what is no certificate. */
function describe(pem: string): Described {
	const known = described.get(pem);
	if (known !== undefined) return known;
	const certificate = new X509Certificate(pem);
	const { dns } = parseSubjectAltName(certificate.subjectAltName);
	const commonName = /^CN=(.*)$/m.exec(certificate.subject)?.[1];
	const names = (dns.length > 0 ? dns : commonName === undefined ? [] : [commonName]).map((name) => name.toLowerCase());
	const found = { keyType: certificate.publicKey.asymmetricKeyType ?? "", names };
	if (described.size >= describedMax) described.clear();
	described.set(pem, found);
	return found;
}
