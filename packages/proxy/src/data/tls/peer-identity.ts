import { createHash, type X509Certificate } from "node:crypto";
import type { PeerValidation, SanMatch } from "../../config/tls.ts";
import type { TlsInfo } from "../log/stream-info.ts";
import type { CompileContext } from "../match/compile-context.ts";
import { compileStringMatch } from "../match/string-match.ts";
import type { Secured } from "./engine.ts";

export interface SubjectAltNames {
	readonly uri: readonly string[];
	readonly dns: readonly string[];
	readonly ip: readonly string[];
	readonly email: readonly string[];
}

const kinds: ReadonlyMap<string, keyof SubjectAltNames> = new Map([
	["URI", "uri"],
	["DNS", "dns"],
	["IP Address", "ip"],
	["email", "email"],
]);

/**
 * Reads Node's text form of the extension. Names that could be mistaken for a list are JSON strings in it (CVE-2021-44532);
 * what does not fit the grammar leaves no names at all, so that a peer with odd names is nobody.
 */
export function parseSubjectAltName(text: string | undefined): SubjectAltNames {
	const names = { uri: [] as string[], dns: [] as string[], ip: [] as string[], email: [] as string[] };
	if (text === undefined || text === "") return names;
	const item = /([A-Za-z][A-Za-z0-9 ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;
	let at = 0;
	while (at < text.length) {
		item.lastIndex = at;
		const match = item.exec(text);
		if (match === null) return { uri: [], dns: [], ip: [], email: [] };
		at = item.lastIndex;
		const kind = kinds.get(match[1] as string);
		const value = unquote(match[2] as string);
		if (kind !== undefined && value !== undefined && !value.includes("\0")) names[kind].push(value);
	}
	return names;
}

function unquote(value: string): string | undefined {
	if (!value.startsWith('"')) return value;
	try {
		const parsed: unknown = JSON.parse(value);
		return typeof parsed === "string" ? parsed : undefined;
	} catch {
		return undefined;
	}
}

export type PeerVerdict =
	/** `stat`: what would have refused it where untrusted peers were not accepted. */
	| { readonly kind: "accepted"; readonly stat: "ssl.fail_verify_error" | undefined }
	| {
			readonly kind: "refused";
			readonly reason: string;
			readonly stat: "ssl.fail_verify_no_cert" | "ssl.fail_verify_error" | "ssl.fail_verify_san" | "ssl.fail_verify_cert_hash";
	  };

export interface PeerCheck {
	readonly certificate: X509Certificate | undefined;
	/** undefined: OpenSSL found the chain good. */
	readonly chainError: string | undefined;
}

export type PeerVerifier = (peer: PeerCheck, extraDnsName: string) => PeerVerdict;

const acceptedVerdict: PeerVerdict = { kind: "accepted", stat: undefined };
const acceptedUntrusted: PeerVerdict = { kind: "accepted", stat: "ssl.fail_verify_error" };
/** In Envoy's words, which logs are searched for. */
const tlsError = (what: string): string =>
	`TLS_error:|268435581:SSL routines:OPENSSL_internal:CERTIFICATE_VERIFY_FAILED:verify cert failed: ${what}:TLS_error_end`;

/** OpenSSL's names of what is wrong with a chain → its words. */
const chainErrors: ReadonlyMap<string, string> = new Map([
	["CERT_HAS_EXPIRED", "certificate has expired"],
	["CERT_NOT_YET_VALID", "certificate is not yet valid"],
	["CERT_REVOKED", "certificate revoked"],
	["UNABLE_TO_GET_CRL", "unable to get certificate CRL"],
	["DEPTH_ZERO_SELF_SIGNED_CERT", "self signed certificate"],
	["SELF_SIGNED_CERT_IN_CHAIN", "self signed certificate in certificate chain"],
	["UNABLE_TO_GET_ISSUER_CERT", "unable to get issuer certificate"],
	["UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "unable to get local issuer certificate"],
	["UNABLE_TO_VERIFY_LEAF_SIGNATURE", "unable to get local issuer certificate"],
]);
const chainErrorWords = (code: string): string => `X509_verify_cert: certificate verification error at depth 0: ${chainErrors.get(code) ?? code}`;

/** undefined validation: nothing was asked to be verified. `extraDnsName` ("" : none) must be among the peer's DNS names (auto SAN validation). */
export function compilePeerVerifier(validation: PeerValidation | undefined, isRequired: boolean, context: CompileContext): PeerVerifier {
	const sans = (validation?.sans ?? []).map((san) => compileSan(san, context));
	return ({ certificate, chainError }, extraDnsName) => {
		if (certificate === undefined)
			return isRequired ? { kind: "refused", reason: "peer did not return a certificate", stat: "ssl.fail_verify_no_cert" } : acceptedVerdict;
		if (validation === undefined) return acceptedVerdict;
		if (chainError !== undefined && !validation.acceptUntrusted)
			return { kind: "refused", reason: tlsError(chainErrorWords(chainError)), stat: "ssl.fail_verify_error" };
		if (!hashesMatch(certificate, validation)) return { kind: "refused", reason: tlsError("cert hash and spki"), stat: "ssl.fail_verify_cert_hash" };
		const names = parseSubjectAltName(certificate.subjectAltName);
		const unsound = validation.acceptUntrusted ? undefined : unsoundSpiffeId(names, certificate);
		if (unsound !== undefined) return { kind: "refused", reason: tlsError(unsound), stat: "ssl.fail_verify_san" };
		const isNamed =
			(sans.length === 0 || sans.some((matches) => matches(names))) && (extraDnsName === "" || names.dns.some((name) => matchesDnsName(name, extraDnsName)));
		// Where nothing but a hash is asked for, there is no authority to distrust.
		const isUntrusted = chainError !== undefined && hasTrust(validation);
		if (isNamed) return isUntrusted ? acceptedUntrusted : acceptedVerdict;
		const shown = `[${[...names.uri, ...names.dns, ...names.ip, ...names.email].join(", ")}]`;
		const isAuto = sans.length === 0;
		const words = isAuto ? `verify SAN list, expected SANs: [${extraDnsName}], certificate SANs: ${shown}` : `SAN matcher, certificate SANs are ${shown}`;
		return { kind: "refused", reason: tlsError(words), stat: "ssl.fail_verify_san" };
	};
}

/**
 * Why a certificate with a SPIFFE ID is none that a workload may show: whoever reads another of its names, or none, would take
 * the peer for somebody else. Envoy looks at this only with its SPIFFE validator.
 * https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md#5-validation
 */
function unsoundSpiffeId({ uri }: SubjectAltNames, certificate: X509Certificate): string | undefined {
	if (!uri.some((name) => name.startsWith("spiffe://"))) return undefined;
	if (uri.length > 1) return `a SPIFFE certificate has one URI SAN, this one has ${uri.length}`;
	return certificate.ca || mayCertify(certificate.raw) ? "the SPIFFE certificate is an authority's" : undefined;
}

/** Beginning of the extension keyUsage: its OID, then in most certificates that it is critical. */
const keyUsageOid = Buffer.from("0603551d0f", "hex");
const criticalDer = Buffer.from("0101ff", "hex");
/** keyCertSign and cRLSign. */
const certifyingUsages = 0x06;

/** Node tells of the extended usages only. Bytes that merely look like the extension can refuse a certificate, never admit one. */
function mayCertify(raw: Buffer): boolean {
	for (let at = raw.indexOf(keyUsageOid); at !== -1; at = raw.indexOf(keyUsageOid, at + 1)) {
		let value = at + keyUsageOid.length;
		if (raw.subarray(value, value + criticalDer.length).equals(criticalDer)) value += criticalDer.length;
		// OCTET STRING and BIT STRING with their lengths, the count of unused bits, the first octet.
		if (raw[value] === 0x04 && raw[value + 2] === 0x03 && ((raw[value + 5] ?? 0) & certifyingUsages) !== 0) return true;
	}
	return false;
}

const hasTrust = ({ trust }: PeerValidation): boolean => trust.kind !== "inline" || trust.caPem !== "";

function compileSan(san: SanMatch, context: CompileContext): (names: SubjectAltNames) => boolean {
	const matches = compileStringMatch(san.match, context);
	if (san.type === "any") return (names) => [...names.uri, ...names.dns, ...names.ip, ...names.email].some(matches);
	const { type } = san;
	if (type === "dns" && san.match.kind === "exact") {
		const wanted = san.match.value;
		return (names) => names.dns.some((name) => matchesDnsName(name, wanted));
	}
	return (names) => names[type].some(matches);
}

/** RFC 6125 §6.4.3: a wildcard stands for one whole first label. */
function matchesDnsName(pattern: string, name: string): boolean {
	const [wanted, actual] = [pattern.toLowerCase(), name.toLowerCase()];
	if (!wanted.startsWith("*.")) return wanted === actual;
	const dot = actual.indexOf(".");
	return dot > 0 && actual.slice(dot) === wanted.slice(1) && wanted.indexOf(".", 2) > 0;
}

function hashesMatch(certificate: X509Certificate, { certificateHashes, spkiHashes }: PeerValidation): boolean {
	if (certificateHashes.length === 0 && spkiHashes.length === 0) return true;
	const fingerprint = certificate.fingerprint256.replaceAll(":", "").toLowerCase();
	if (certificateHashes.some((hash) => hash.replaceAll(":", "").toLowerCase() === fingerprint)) return true;
	const spki = createHash("sha256")
		.update(certificate.publicKey.export({ type: "spki", format: "der" }))
		.digest("base64");
	return spkiHashes.includes(spki);
}

/** The names in a certificate that this proxy serves with or shows to servers. */
export interface LocalIdentity {
	readonly names: SubjectAltNames;
	readonly subject: string;
}

export function readLocalIdentity(certificate: X509Certificate | undefined): LocalIdentity {
	return { names: parseSubjectAltName(certificate?.subjectAltName), subject: formatName(certificate?.subject) };
}

/** Read once per connection; what few print, only when somebody does. `known`: the local certificate, where there is no choice of one. */
export function readTlsInfo(secured: Secured, known: LocalIdentity | undefined, certificate = secured.certificate): TlsInfo {
	const names = parseSubjectAltName(certificate?.subjectAltName);
	const ours = known ?? readLocalIdentity(secured.localCertificate());
	return {
		version: secured.version,
		cipher: secured.cipher,
		sessionId: "",
		peerUriSans: names.uri,
		peerDnsSans: names.dns,
		peerIpSans: names.ip,
		peerEmailSans: names.email,
		peerSubject: formatName(certificate?.subject),
		peerIssuer: formatName(certificate?.issuer),
		peerSerial: (certificate?.serialNumber ?? "").toLowerCase(),
		peerFingerprint256: (certificate?.fingerprint256 ?? "").replaceAll(":", "").toLowerCase(),
		get peerFingerprint1() {
			return (certificate?.fingerprint ?? "").replaceAll(":", "").toLowerCase();
		},
		get peerCertificatePem() {
			return certificate?.toString() ?? "";
		},
		get peerValidFromMs() {
			return certificate === undefined ? Number.NaN : Date.parse(certificate.validFrom);
		},
		get peerValidToMs() {
			return certificate === undefined ? Number.NaN : Date.parse(certificate.validTo);
		},
		localUriSans: ours.names.uri,
		localDnsSans: ours.names.dns,
		localIpSans: ours.names.ip,
		localEmailSans: ours.names.email,
		localSubject: ours.subject,
	};
}

/** Envoy prints RFC 2253: last attribute first, joined by commas. */
function formatName(lines: string | undefined): string {
	return (lines ?? "")
		.split("\n")
		.filter((line) => line !== "")
		.reverse()
		.join(",");
}
