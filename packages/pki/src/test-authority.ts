import { X509Certificate } from "node:crypto";
import { type Signer, signCertificate, signSelf } from "./certificate.ts";
import { encodePublicKey, generateKeys, type KeyAlgorithm } from "./keys.ts";
import { type CertificateTemplate, clockSkewMs } from "./template.ts";

/** Noon of a day, so that tests meet no daylight and no rounding. */
export const testNowMs = Date.UTC(2027, 0, 15, 12);

/** A template for tests, to be broken at will. */
export async function buildTestTemplate(change: Partial<CertificateTemplate> = {}, algorithm?: KeyAlgorithm) {
	const keys = await generateKeys(algorithm);
	const template: CertificateTemplate = {
		kind: "leaf",
		serialNumber: Uint8Array.of(0x12, 0x34),
		organization: change.kind === "authority" ? "cluster.local" : undefined,
		notBeforeMs: testNowMs - clockSkewMs,
		notAfterMs: testNowMs + 3_600_000,
		publicKeyDer: encodePublicKey(keys.publicKey),
		subjectAltNames: { uris: ["spiffe://cluster.local/ns/default/sa/web"], dnsNames: [], ipAddresses: [] },
		...change,
	};
	return { keys, template };
}

/** An authority: self-signed, or issued by `parent`. */
export async function createTestAuthority(organization: string, parent?: Signer, change: Partial<CertificateTemplate> = {}): Promise<Signer> {
	const { keys, template } = await buildTestTemplate({ kind: "authority", organization, notAfterMs: testNowMs + 86_400_000, ...change });
	const pem = parent === undefined ? signSelf(template, keys.privateKey) : signCertificate(template, parent);
	return { certificate: new X509Certificate(pem), privateKey: keys.privateKey };
}
