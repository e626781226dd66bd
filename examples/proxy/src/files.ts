import { generateKeyPairSync, type KeyObject, randomBytes, sign, X509Certificate } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildLeafTemplate, buildRootTemplate, encodePrivateKey, encodePublicKey, type Signer, signCertificate, signSelf } from "@weft/pki";
import type { Example } from "./example.ts";

/**
 * A folder of its own with the example's files, and the certificates and tokens that it wants. `ports`: written instead of
 * those in the files.
 */
export function writeFiles(example: Example, ports: ReadonlyMap<number, number>): string {
	const folder = mkdtempSync(join(tmpdir(), `weft-example-${example.name}-`));
	cpSync(example.folder, folder, { recursive: true });
	for (const file of readdirSync(folder, { recursive: true, encoding: "utf8" })) {
		if (!file.endsWith(".yaml")) continue;
		const text = readFileSync(join(folder, file), "utf8");
		writeFileSync(
			join(folder, file),
			text.replace(/port_value: (\d+)/g, (all, port) => (ports.has(Number(port)) ? `port_value: ${ports.get(Number(port))}` : all)),
		);
	}
	if (Object.keys(example.certificates).length > 0) writeCertificates(join(folder, "certs"), example.certificates);
	if (example.tokenIssuer !== undefined) writeToken(folder, example.tokenIssuer);
	return folder;
}

const serialNumber = (): Uint8Array => Uint8Array.from(randomBytes(16), (byte, i) => (i === 0 ? (byte & 0x7f) | 1 : byte));
const newKeys = () => generateKeyPairSync("ec", { namedCurve: "prime256v1" });

function writeCertificates(folder: string, wanted: Example["certificates"]): void {
	mkdirSync(folder);
	const keys = newKeys();
	const nowMs = Date.now();
	const root = buildRootTemplate({ trustDomain: "example", publicKeyDer: encodePublicKey(keys.publicKey), serialNumber: serialNumber(), nowMs });
	const caPem = signSelf(root, keys.privateKey);
	writeFileSync(join(folder, "ca.crt"), caPem);
	const signer: Signer = { certificate: new X509Certificate(caPem), privateKey: keys.privateKey };
	for (const [name, dnsNames] of Object.entries(wanted)) {
		const own = newKeys();
		const template = buildLeafTemplate({
			subjectAltNames: { uris: [], dnsNames, ipAddresses: [] },
			publicKeyDer: encodePublicKey(own.publicKey),
			serialNumber: serialNumber(),
			nowMs,
			ttlMs: 0,
			signerNotAfterMs: signer.certificate.validToDate.getTime(),
		});
		if (!template.ok) throw new Error(template.reason);
		writeFileSync(join(folder, `${name}.crt`), signCertificate(template.value, signer));
		writeFileSync(join(folder, `${name}.key`), encodePrivateKey(own.privateKey), { mode: 0o600 });
	}
}

/** A key set with one key, and a token signed by it (RFC 7519) that says who asks. */
function writeToken(folder: string, issuer: string): void {
	const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
	const jwk = publicKey.export({ format: "jwk" });
	writeFileSync(join(folder, "jwks.json"), JSON.stringify({ keys: [{ ...jwk, kid: "key-1", alg: "RS256", use: "sig" }] }));
	const now = Math.floor(Date.now() / 1000);
	writeFileSync(join(folder, "token.txt"), signToken({ iss: issuer, sub: "alice", iat: now, exp: now + 86_400 }, privateKey));
}

function signToken(claims: object, key: KeyObject): string {
	const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
	const body = `${encode({ alg: "RS256", typ: "JWT", kid: "key-1" })}.${encode(claims)}`;
	return `${body}.${sign("sha256", Buffer.from(body), key).toString("base64url")}`;
}
