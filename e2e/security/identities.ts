import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import {
	buildLeafTemplate,
	buildRootTemplate,
	encodePrivateKey,
	encodePublicKey,
	type Signer,
	type SubjectAltNames,
	signCertificate,
	signSelf,
} from "@weft/pki";

export interface KeyedCertificate {
	readonly certChainPem: string;
	readonly privateKeyPem: string;
}

export interface Authority {
	readonly caPem: string;
	/** A workload's certificate for one SPIFFE id. */
	issue(uri: string): KeyedCertificate;
	/** A certificate for any names; `bornMs`: how long ago it was made, a day's validity. */
	issueFor(names: Partial<SubjectAltNames>, bornMs?: number): KeyedCertificate;
}

function createSerial(): Uint8Array {
	const bytes = randomBytes(16);
	bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 1;
	return bytes;
}

const newKeys = () => generateKeyPairSync("ec", { namedCurve: "prime256v1" });

export function createAuthority(trustDomain: string): Authority {
	const keys = newKeys();
	const nowMs = Date.now();
	const caPem = signSelf(
		buildRootTemplate({ trustDomain, publicKeyDer: encodePublicKey(keys.publicKey), serialNumber: createSerial(), nowMs }),
		keys.privateKey,
	);
	const signer: Signer = { certificate: new X509Certificate(caPem), privateKey: keys.privateKey };
	return {
		caPem,
		issue(uri) {
			return this.issueFor({ uris: [uri] });
		},
		issueFor(names, bornMs = 0) {
			const own = newKeys();
			const template = buildLeafTemplate({
				subjectAltNames: { uris: [], dnsNames: [], ipAddresses: [], ...names },
				publicKeyDer: encodePublicKey(own.publicKey),
				serialNumber: createSerial(),
				nowMs: nowMs - bornMs,
				ttlMs: 0,
				signerNotAfterMs: signer.certificate.validToDate.getTime(),
			});
			if (!template.ok) throw new Error(template.reason);
			return { certChainPem: signCertificate(template.value, signer), privateKeyPem: encodePrivateKey(own.privateKey) };
		},
	};
}

/** A DownstreamTlsContext that wants a client certificate from this authority. */
export function requireClientCertificate({ certChainPem, privateKeyPem }: KeyedCertificate, caPem: string): Readonly<Record<string, unknown>> {
	return {
		require_client_certificate: true,
		common_tls_context: {
			tls_certificates: [{ certificate_chain: { inline_string: certChainPem }, private_key: { inline_string: privateKeyPem } }],
			validation_context: { trusted_ca: { inline_string: caPem } },
			alpn_protocols: ["http/1.1"],
		},
	};
}
