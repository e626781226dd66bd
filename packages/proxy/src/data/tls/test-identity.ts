import { generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto";
import { buildLeafTemplate, buildRootTemplate, encodePrivateKey, encodePublicKey, type Signer, signCertificate, signSelf } from "@weft/pki";

/** Test helper: a certificate authority, and identities it vouches for. */
export interface TestAuthority {
	readonly caPem: string;
	issue(uri: string): { readonly certChainPem: string; readonly privateKeyPem: string };
}

function createSerial(): Uint8Array {
	const bytes = randomBytes(16);
	bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 1;
	return bytes;
}

export function createTestAuthority(trustDomain = "test"): TestAuthority {
	const keys = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
	const nowMs = Date.now();
	const caPem = signSelf(
		buildRootTemplate({ trustDomain, publicKeyDer: encodePublicKey(keys.publicKey), serialNumber: createSerial(), nowMs }),
		keys.privateKey,
	);
	const signer: Signer = { certificate: new X509Certificate(caPem), privateKey: keys.privateKey };
	return {
		caPem,
		issue(uri) {
			const own = generateKeyPairSync("ec", { namedCurve: "prime256v1" });
			const template = buildLeafTemplate({
				subjectAltNames: { uris: [uri], dnsNames: [], ipAddresses: [] },
				publicKeyDer: encodePublicKey(own.publicKey),
				serialNumber: createSerial(),
				nowMs,
				ttlMs: 0,
				signerNotAfterMs: signer.certificate.validToDate.getTime(),
			});
			if (!template.ok) throw new Error(template.reason);
			return { certChainPem: signCertificate(template.value, signer), privateKeyPem: encodePrivateKey(own.privateKey) };
		},
	};
}

export function createTestIdentity(uri: string): { readonly certChainPem: string; readonly privateKeyPem: string } {
	return createTestAuthority().issue(uri);
}
