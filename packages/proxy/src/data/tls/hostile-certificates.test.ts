import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { once } from "node:events";
import type { AddressInfo } from "node:net";
import { after, before, describe, test } from "node:test";
import { connect, createServer } from "node:tls";
import { encodePrivateKey, encodePublicKey, type Signer } from "@weft/pki";
import { type DerNode, der } from "../../../../pki/src/der.ts";
import { oids } from "../../../../pki/src/oids.ts";
import { createTestAuthority as createRoot } from "../../../../pki/src/test-authority.ts";
import { type RawCertificate, rawExtension, rawExtensions as ext, signRawCertificate } from "../../../../pki/src/test-certificate.ts";
import type { DownstreamTls, PeerValidation, SanMatch, UpstreamTls } from "../../config/tls.ts";
import { answerHeads, get, ok, type RecordingUpstream, startUpstream, statusOf } from "../http/test-peers.ts";
import {
	chainOf,
	clusterOf,
	forwardTo,
	hostsOf,
	listenerOf,
	managerOf,
	routeOf,
	type Standalone,
	startStandalone,
	tableOf,
	updateOf,
} from "../worker/standalone.ts";
import { createTestAuthority } from "./test-identity.ts";

// Certificates under a root that the mesh trusts, which nobody may be taken for: shown to the proxy by a client and by a server.

const good = "spiffe://test/ns/a/sa/web";
const hourMs = 3_600_000;
const nowMs = Date.now();
const lasting = { notBeforeMs: nowMs - hourMs, notAfterMs: nowMs + hourMs };
const both = ext.usages(oids.serverAuth, oids.clientAuth);
const leafUsage = ext.keyUsage(0xa0, 5);
const signing = ext.keyUsage(0x06, 1);
const usual: readonly DerNode[] = [leafUsage, both, ext.authority(false)];
const named: readonly DerNode[] = [...usual, ext.uris(good)];
const authorityUpTo = (pathLength: number): DerNode =>
	rawExtension(oids.basicConstraints, true, der.sequence(der.boolean(true), der.integer(Uint8Array.of(pathLength))));
/** URIs of this host only, or none of it. */
const constrained = (kind: "permitted" | "excluded", host: string): DerNode => {
	const subtree = der.sequence(der.contextBytes(6, Buffer.from(host)));
	return rawExtension(oids.nameConstraints, true, der.sequence(der.context(kind === "permitted" ? 0 : 1, subtree)));
};

interface Credentials {
	readonly cert: string;
	readonly key: string;
}
interface Keys {
	readonly publicKey: KeyObject;
	readonly privateKey: KeyObject;
}

const ec = (namedCurve = "prime256v1"): Keys => generateKeyPairSync("ec", { namedCurve });
const rsa = (modulusLength: number): Keys => generateKeyPairSync("rsa", { modulusLength });

let root: Signer;
let authorities = 0;

/** A leaf as it has to be, but for what is said; `above`: what goes with it in the handshake. */
function leaf(change: Partial<RawCertificate> = {}, keys = ec(), above: readonly X509Certificate[] = []): Credentials {
	const certificate = signRawCertificate({ issuer: root, publicKeyDer: encodePublicKey(keys.publicKey), extensions: named, ...lasting, ...change });
	return { cert: [certificate, ...above].map((each) => each.toString()).join(""), key: encodePrivateKey(keys.privateKey) };
}

function middle(extensions: readonly DerNode[], issuer = root, keys = ec(), change: Partial<RawCertificate> = {}): Signer {
	const certificate = signRawCertificate({
		issuer,
		publicKeyDer: encodePublicKey(keys.publicKey),
		extensions,
		commonName: `ca ${++authorities}`,
		...lasting,
		...change,
	});
	return { certificate, privateKey: keys.privateKey };
}

const under = (...signers: readonly Signer[]): Credentials => {
	const [issuer] = signers;
	assert.ok(issuer);
	return leaf(
		{ issuer },
		ec(),
		signers.map(({ certificate }) => certificate),
	);
};
const signedBy = (oid: string, digest: string): Credentials => {
	const keys = rsa(2048);
	const signer = middle([signing, ext.authority(true)], root, keys);
	return leaf({ issuer: signer, signature: { oid, digest, key: keys.privateKey } }, ec(), [signer.certificate]);
};

const accepted: Readonly<Record<string, () => Credentials>> = {
	"the one that all others are changed from": () => leaf(),
	"RSA of 2048 bits": () => leaf({}, rsa(2048)),
	"P-384": () => leaf({}, ec("secp384r1")),
	"under an intermediate": () => under(middle([signing, authorityUpTo(0)])),
	"under two": () => {
		const upper = middle([signing, authorityUpTo(1)]);
		return under(middle([signing, authorityUpTo(0)], upper), upper);
	},
	"under an authority for its trust domain": () => under(middle([signing, ext.authority(true), constrained("permitted", "test")])),
	"a SHA-256 signature of an RSA key": () => signedBy(oids.sha256WithRSAEncryption, "sha256"),
	"an unknown extension that is not critical": () => leaf({ extensions: [...named, rawExtension("1.2.3.4.5", false, der.null())] }),
	"DNS names beside the identity": () =>
		leaf({
			extensions: [
				...usual,
				rawExtension(oids.subjectAltName, true, der.sequence(der.contextBytes(6, Buffer.from(good)), der.contextBytes(2, Buffer.from("web.test")))),
			],
		}),
};

const refused: Readonly<Record<string, () => Credentials>> = {
	"a NUL at the end of the URI": () => leaf({ extensions: [...usual, ext.uris(`${good}\0`)] }),
	"a NUL within the URI": () => leaf({ extensions: [...usual, ext.uris(`${good}\0.evil.example`)] }),
	"a NUL before the trust domain": () => leaf({ extensions: [...usual, ext.uris(`spiffe://evil.example/\0${good}`)] }),
	"two URIs, the good one first": () => leaf({ extensions: [...usual, ext.uris(good, "spiffe://test/ns/a/sa/admin")] }),
	"two URIs, the good one last": () => leaf({ extensions: [...usual, ext.uris("spiffe://test/ns/a/sa/admin", good)] }),
	"two URIs, one of the web": () => leaf({ extensions: [...usual, ext.uris("https://test/", good)] }),
	"the SAN extension twice": () => leaf({ extensions: [...named, ext.uris("spiffe://test/ns/a/sa/admin")] }),
	"no SAN": () => leaf({ extensions: usual }),
	"the identity as DNS name": () => leaf({ extensions: [...usual, ext.dnsNames(good)] }),
	"the identity as common name": () => leaf({ extensions: usual, commonName: good }),
	"a DNS name that reads as a list of names": () => leaf({ extensions: [...usual, ext.dnsNames(`x, URI:${good}`)] }),
	"a URI that reads as a list of names": () => leaf({ extensions: [...usual, ext.uris(`https://x, URI:${good}`)] }),
	"another trust domain": () => leaf({ extensions: [...usual, ext.uris("spiffe://test.evil/ns/a/sa/web")] }),
	"only for e-mail": () => leaf({ extensions: [leafUsage, ext.usages("1.3.6.1.5.5.7.3.4"), ext.authority(false), ext.uris(good)] }),
	"not valid yet": () => leaf({ notBeforeMs: nowMs + hourMs / 2 }),
	expired: () => leaf({ notAfterMs: nowMs - 1_000 }),
	"a critical extension that nobody knows": () => leaf({ extensions: [...named, rawExtension("1.2.3.4.5", true, der.null())] }),
	"a critical extension that nobody knows, of its issuer": () => under(middle([signing, ext.authority(true), rawExtension("1.2.3.4.5", true, der.null())])),
	"an authority": () => leaf({ extensions: [signing, ext.authority(true), ext.uris(good)] }),
	"an authority that may sign messages, too": () => leaf({ extensions: [ext.keyUsage(0xa6, 1), both, ext.authority(true), ext.uris(good)] }),
	"a leaf that may sign certificates": () => leaf({ extensions: [ext.keyUsage(0x84, 2), both, ext.authority(false), ext.uris(good)] }),
	"a leaf that may sign revocation lists": () =>
		leaf({ extensions: [rawExtension(oids.keyUsage, false, der.bitString(Uint8Array.of(0x82), 1)), both, ext.uris(good)] }),
	"signed by a leaf": () => under(middle(named)),
	"signed by one that says nothing of authorities": () => under(middle([both])),
	"signed by an authority that may not sign certificates": () => under(middle([ext.keyUsage(0x80, 7), ext.authority(true)])),
	"one authority more than the path may have": () => {
		const upper = middle([signing, authorityUpTo(0)]);
		return under(middle([signing, ext.authority(true)], upper), upper);
	},
	"under an authority for other trust domains": () => under(middle([signing, ext.authority(true), constrained("permitted", "other")])),
	"under an authority that may not sign for its trust domain": () => under(middle([signing, ext.authority(true), constrained("excluded", "test")])),
	"under an authority that has expired": () => under(middle([signing, ext.authority(true)], root, ec(), { notAfterMs: nowMs - 1_000 })),
	"RSA of 1024 bits": () => leaf({}, rsa(1024)),
	"P-192": () => leaf({}, ec("prime192v1")),
	"under an authority of RSA with 1024 bits": () => {
		const keys = rsa(1024);
		const signer = middle([signing, ext.authority(true)], root, keys);
		return leaf({ issuer: signer, signature: { oid: oids.sha256WithRSAEncryption, digest: "sha256", key: keys.privateKey } }, ec(), [signer.certificate]);
	},
	"a signature over MD5": () => signedBy("1.2.840.113549.1.1.4", "md5"),
	"a signature over SHA-1": () => signedBy("1.2.840.113549.1.1.5", "sha1"),
	"an ECDSA signature over SHA-1": () => leaf({ signature: { oid: "1.2.840.10045.4.1", digest: "sha1", key: root.privateKey } }),
	"a signature of another key than the issuer's": () => leaf({ issuer: { certificate: root.certificate, privateKey: ec().privateKey } }),
};
/** Good at one end only. */
const purposes = {
	client: () => leaf({ extensions: [leafUsage, ext.usages(oids.clientAuth), ext.authority(false), ext.uris(good)] }),
	server: () => leaf({ extensions: [leafUsage, ext.usages(oids.serverAuth), ext.authority(false), ext.uris(good)] }),
};

const params = { minVersion: "TLSv1.2", maxVersion: "TLSv1.3", ciphers: "", curves: "" } as const;
const own = createTestAuthority();
const inline = (uri: string) => ({ kind: "inline", ...own.issue(uri) }) as const;
const trusting = (san: SanMatch): PeerValidation => ({
	trust: { kind: "inline", caPem: root.certificate.toString(), crlPem: "" },
	sans: [san],
	certificateHashes: [],
	spkiHashes: [],
	acceptUntrusted: false,
});
/** As a sidecar's listener checks clients: anybody of the mesh. */
const anybody: SanMatch = { type: "uri", match: { kind: "prefix", value: "spiffe://test/", ignoreCase: false } };
const exactly: SanMatch = { type: "uri", match: { kind: "exact", value: good, ignoreCase: false } };
/** Whoever shows a weak certificate must not be held up by the own library. */
const careless = { ciphers: "DEFAULT:@SECLEVEL=0", minVersion: "TLSv1.2" } as const;

describe("sec/d27, sec/d34, sec/d35: certificates that nobody may be taken for", () => {
	let proxy: Standalone;
	let upstream: RecordingUpstream;
	let inbound: number;
	let names = 0;

	before(async () => {
		root = await createRoot("root", undefined, { notBeforeMs: nowMs - 2 * hourMs, notAfterMs: nowMs + 2 * hourMs });
		proxy = await startStandalone("auto");
		upstream = await startUpstream(answerHeads(() => ok("served")));
		const tls: DownstreamTls = {
			params,
			alpn: ["http/1.1"],
			certificates: [inline("spiffe://test/ns/a/sa/proxy")],
			validation: trusting(anybody),
			requireClientCertificate: true,
			disableStatelessResumption: false,
		};
		const local = clusterOf("local");
		const chain = chainOf([managerOf(tableOf([routeOf("/", forwardTo("local"))]))], { tls });
		const listener = listenerOf("inbound", [chain], { inspectTls: true, direction: "inbound" });
		await proxy.apply(updateOf({ listeners: [listener], clusters: [local], hosts: [hostsOf("local", [upstream.port])] }));
		inbound = proxy.port("inbound");
	});

	after(async () => {
		upstream.close();
		await proxy.close();
	});

	/** Whether the proxy serves a client with this certificate. */
	function servesClient(credentials: Credentials): Promise<boolean> {
		return new Promise((resolve) => {
			let text = "";
			const socket = connect({ ...careless, ...credentials, host: "127.0.0.1", port: inbound, rejectUnauthorized: false }, () => {
				socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
			});
			socket.on("data", (chunk: Buffer) => (text += chunk.toString("latin1")));
			socket.on("error", () => undefined);
			socket.on("close", () => resolve(text.startsWith("HTTP/1.1 200")));
		});
	}

	/** Whether the proxy sends a request to a server with this certificate. */
	async function asksServer(credentials: Credentials): Promise<boolean> {
		let isAsked = false;
		const server = createServer({ ...careless, ...credentials }, (socket) => {
			socket.on("error", () => undefined);
			socket.on("data", () => {
				isAsked = true;
				socket.end("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
			});
		});
		server.on("tlsClientError", () => undefined);
		server.listen(0, "127.0.0.1");
		await once(server, "listening");
		const tls: UpstreamTls = {
			params,
			alpn: [],
			certificates: [inline("spiffe://test/ns/a/sa/proxy")],
			validation: trusting(exactly),
			sni: "server.test",
			autoSni: false,
			autoSanValidation: false,
		};
		const name = `remote${++names}`;
		const cluster = clusterOf(name, { transport: { kind: "tls", tls } });
		const listener = listenerOf(name, [chainOf([managerOf(tableOf([routeOf("/", forwardTo(name))]))])]);
		await proxy.apply(updateOf({ listeners: [listener], clusters: [cluster], hosts: [hostsOf(name, [(server.address() as AddressInfo).port])] }));
		const status = statusOf(await get(proxy.port(name), "/"));
		server.close();
		assert.equal(status === 200, isAsked, `status ${status}`);
		return isAsked;
	}

	for (const [what, credentials] of Object.entries(accepted)) {
		test(`accepted of both: ${what}`, async () => {
			assert.deepEqual([await servesClient(credentials()), await asksServer(credentials())], [true, true]);
		});
	}
	for (const [what, credentials] of Object.entries(refused)) {
		test(`refused of both: ${what}`, async () => {
			assert.deepEqual([await servesClient(credentials()), await asksServer(credentials())], [false, false]);
		});
	}
	test("a certificate for clients is none for servers, and the other way round", async () => {
		assert.deepEqual([await servesClient(purposes.client()), await asksServer(purposes.client())], [true, false]);
		assert.deepEqual([await servesClient(purposes.server()), await asksServer(purposes.server())], [false, true]);
	});
});
