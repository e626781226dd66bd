import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { connect as connectTcp } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, type ConnectionOptions, type TLSSocket } from "node:tls";
import { createAuthority, type KeyedCertificate } from "../security/identities.ts";
import { extension, fileLog, httpListener, loopback } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Json = Readonly<Record<string, unknown>>;

const authority = createAuthority("mesh.test");
const stranger = createAuthority("other.test");
const dayMs = 86_400_000;
const server = authority.issueFor({ uris: ["spiffe://mesh.test/ns/a/sa/server"], dnsNames: ["server.test"] });
const [one, two, wild] = [["one.test"], ["two.test"], ["*.wild.test"]].map((dnsNames) => authority.issueFor({ dnsNames })) as [
	KeyedCertificate,
	KeyedCertificate,
	KeyedCertificate,
];
const clients = {
	good: authority.issueFor({ uris: ["spiffe://mesh.test/ns/a/sa/client"], dnsNames: ["client.test", "*.clients.test"] }),
	other: authority.issueFor({ uris: ["spiffe://mesh.test/ns/b/sa/other"], ipAddresses: ["192.0.2.1"] }),
	stranger: stranger.issueFor({ uris: ["spiffe://mesh.test/ns/a/sa/client"] }),
	expired: authority.issueFor({ uris: ["spiffe://mesh.test/ns/a/sa/client"] }, 3 * dayMs),
} as const;
const inline = (text: string) => ({ inline_string: text });
const certificate = ({ certChainPem, privateKeyPem }: KeyedCertificate) => ({ certificate_chain: inline(certChainPem), private_key: inline(privateKeyPem) });
const hashOf = ({ certChainPem }: KeyedCertificate) => new X509Certificate(certChainPem).fingerprint256.replaceAll(":", "");
const spkiOf = ({ certChainPem }: KeyedCertificate) =>
	createHash("sha256")
		.update(new X509Certificate(certChainPem).publicKey.export({ type: "spki", format: "der" }))
		.digest("base64");

const socketOf = (common: Json, more: Json = {}): Json =>
	extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
		common_tls_context: { tls_certificates: [certificate(server)], ...common },
		...more,
	}) as Json;
const trusting = (more: Json = {}) => ({ validation_context: { trusted_ca: inline(authority.caPem), ...more } });
const required = { require_client_certificate: true };
const san = (san_type: string, matcher: Json) => trusting({ match_typed_subject_alt_names: [{ san_type, matcher }] });

/** By listener: its filter chains' matches, names and transport sockets. */
const listeners: Readonly<Record<string, readonly { readonly match?: Json; readonly socket?: Json; readonly more?: Json }[]>> = {
	plain: [{ socket: socketOf({}) }],
	alpn: [{ socket: socketOf({ alpn_protocols: ["h2", "http/1.1"] }) }],
	"alpn-own": [{ socket: socketOf({ alpn_protocols: ["weft-own"] }) }],
	required: [{ socket: socketOf(trusting(), required) }],
	optional: [{ socket: socketOf(trusting()) }],
	"required-untrusted": [{ socket: socketOf(trusting({ trust_chain_verification: "ACCEPT_UNTRUSTED" }), required) }],
	"san-exact": [{ socket: socketOf(san("URI", { exact: "spiffe://mesh.test/ns/a/sa/client" }), required) }],
	"san-prefix": [{ socket: socketOf(san("URI", { prefix: "spiffe://mesh.test/ns/a/" }), required) }],
	"san-regex": [{ socket: socketOf(san("URI", { safe_regex: { regex: "spiffe://[^/]+/ns/b/.*" } }), required) }],
	"san-dns": [{ socket: socketOf(san("DNS", { exact: "client.test" }), required) }],
	"san-dns-wild": [{ socket: socketOf(san("DNS", { exact: "x.clients.test" }), required) }],
	"san-dns-suffix": [{ socket: socketOf(san("DNS", { suffix: ".clients.test" }), required) }],
	"san-ip": [{ socket: socketOf(san("IP_ADDRESS", { exact: "192.0.2.1" }), required) }],
	"san-of-another-type": [{ socket: socketOf(san("DNS", { exact: "spiffe://mesh.test/ns/a/sa/client" }), required) }],
	hash: [{ socket: socketOf(trusting({ verify_certificate_hash: [hashOf(clients.other)] }), required) }],
	spki: [{ socket: socketOf(trusting({ verify_certificate_spki: [spkiOf(clients.good)] }), required) }],
	"hash-without-ca": [{ socket: socketOf({ validation_context: { verify_certificate_hash: [hashOf(clients.stranger)] } }, required) }],
	"only-1.3": [{ socket: socketOf({ tls_params: { tls_minimum_protocol_version: "TLSv1_3" } }) }],
	"only-1.2": [{ socket: socketOf({ tls_params: { tls_maximum_protocol_version: "TLSv1_2" } }) }],
	ciphers: [{ socket: socketOf({ tls_params: { tls_maximum_protocol_version: "TLSv1_2", cipher_suites: ["ECDHE-ECDSA-AES256-GCM-SHA384"] } }) }],
	signatures: [{ socket: socketOf({ tls_params: { signature_algorithms: ["ecdsa_secp256r1_sha256", "rsa_pss_rsae_sha256"] } }) }],
	"other-signatures": [{ socket: socketOf({ tls_params: { signature_algorithms: ["rsa_pss_rsae_sha256", "ed25519"] } }) }],
	names: [
		{ match: { server_names: ["one.test"] }, socket: socketOf({ tls_certificates: [certificate(one)] }) },
		{ match: { server_names: ["two.test"] }, socket: socketOf({ tls_certificates: [certificate(two)] }) },
		{ match: { server_names: ["*.wild.test"] }, socket: socketOf({ tls_certificates: [certificate(wild)] }) },
	],
	"several-certificates": [{ socket: socketOf({ tls_certificates: [certificate(one), certificate(two), certificate(wild)] }) }],
	"plain-beside-tls": [{ match: { transport_protocol: "tls" }, socket: socketOf({}) }, { match: { transport_protocol: "raw_buffer" } }],
	"slow-handshakes": [{ socket: socketOf({}), more: { transport_socket_connect_timeout: "0.3s" } }],
	"no-tickets": [{ socket: socketOf({}, { disable_stateless_session_resumption: true, disable_stateful_session_resumption: true }) }],
};

type Client = ConnectionOptions & { readonly raw?: string };
const show = ({ certChainPem, privateKeyPem }: KeyedCertificate): Client => ({ cert: certChainPem, key: privateKeyPem });
const ids = Object.fromEntries(Object.entries(clients).map(([name, keyed]) => [`as ${name}`, show(keyed)]));

/** By listener: who connects. */
const attempts: Readonly<Record<string, Readonly<Record<string, Client>>>> = {
	plain: {
		"no name": { servername: "" },
		name: {},
		"1.2": { maxVersion: "TLSv1.2" },
		"1.2 with AES-128": { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" },
		"1.2 with ChaCha20": { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-CHACHA20-POLY1305" },
		"1.2 with CBC": { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256" },
		"1.2 with RSA": { maxVersion: "TLSv1.2", ciphers: "ECDHE-RSA-AES128-GCM-SHA256" },
		"1.3 with AES-128": { minVersion: "TLSv1.3", ciphers: "TLS_AES_128_GCM_SHA256" },
		"1.1": { minVersion: "TLSv1.1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" },
		protocols: { ALPNProtocols: ["h2", "http/1.1"] },
		"a certificate that nobody asked for": ids["as good"] as Client,
		"clear text": { raw: "GET / HTTP/1.1\r\nhost: a\r\n\r\n" },
		"a broken hello": { raw: "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00" },
	},
	alpn: Object.fromEntries(
		[["http/1.1"], ["http/1.1", "h2"], ["other", "http/1.1"], ["other"], []].map((ALPNProtocols) => [`protocols ${ALPNProtocols.join()}`, { ALPNProtocols }]),
	),
	"alpn-own": { own: { ALPNProtocols: ["weft-own"] }, other: { ALPNProtocols: ["http/1.1"] } },
	required: {
		...ids,
		"without a certificate": {},
		"without a certificate, 1.2": { maxVersion: "TLSv1.2" },
		"as stranger, 1.2": { ...ids["as stranger"], maxVersion: "TLSv1.2" },
	},
	optional: { ...ids, "without a certificate": {} },
	"required-untrusted": { ...ids, "without a certificate": {} },
	"san-exact": ids,
	"san-prefix": ids,
	"san-regex": ids,
	"san-dns": ids,
	"san-dns-wild": ids,
	"san-dns-suffix": ids,
	"san-ip": ids,
	"san-of-another-type": ids,
	hash: ids,
	spki: ids,
	"hash-without-ca": ids,
	"only-1.3": { "1.2": { maxVersion: "TLSv1.2" }, "1.3": { minVersion: "TLSv1.3" } },
	"only-1.2": { "1.2": { maxVersion: "TLSv1.2" }, "1.3": { minVersion: "TLSv1.3" }, both: {} },
	ciphers: { ours: {}, "none of theirs": { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" } },
	signatures: {
		any: {},
		ours: { sigalgs: "ecdsa_secp256r1_sha256" },
		"1.2": { maxVersion: "TLSv1.2" },
		"none of theirs": { sigalgs: "ecdsa_secp384r1_sha384" },
	},
	"other-signatures": { any: {}, "1.2": { maxVersion: "TLSv1.2" } },
	names: Object.fromEntries(["one.test", "two.test", "a.wild.test", "TWO.test", "three.test", ""].map((servername) => [`name ${servername}`, { servername }])),
	"several-certificates": Object.fromEntries(
		["one.test", "two.test", "a.wild.test", "b.a.wild.test", "three.test", ""].map((servername) => [`name ${servername}`, { servername }]),
	),
	"plain-beside-tls": { TLS: {}, "clear text": { raw: "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n" } },
	"slow-handshakes": { "nothing comes": { raw: "" }, "half a hello": { raw: "\x16\x03\x01\x02\x00\x01\x00" } },
	"no-tickets": { "a session is not resumed": {} },
};

const logFields = {
	listener: "%FILTER_CHAIN_NAME%",
	flags: "%RESPONSE_FLAGS%",
	details: "%RESPONSE_CODE_DETAILS%",
	name: "%REQUESTED_SERVER_NAME%",
	version: "%DOWNSTREAM_TLS_VERSION%",
	cipher: "%DOWNSTREAM_TLS_CIPHER%",
	uri: "%DOWNSTREAM_PEER_URI_SAN%",
	dns: "%DOWNSTREAM_PEER_DNS_SAN%",
	ip: "%DOWNSTREAM_PEER_IP_SAN%",
	localUri: "%DOWNSTREAM_LOCAL_URI_SAN%",
	localDns: "%DOWNSTREAM_LOCAL_DNS_SAN%",
	subject: "%DOWNSTREAM_PEER_SUBJECT%",
	localSubject: "%DOWNSTREAM_LOCAL_SUBJECT%",
	issuer: "%DOWNSTREAM_PEER_ISSUER%",
	serial: "%DOWNSTREAM_PEER_SERIAL%",
	fingerprint: "%DOWNSTREAM_PEER_FINGERPRINT_256%",
	fingerprint1: "%DOWNSTREAM_PEER_FINGERPRINT_1%",
	start: "%DOWNSTREAM_PEER_CERT_V_START%",
	end: "%DOWNSTREAM_PEER_CERT_V_END%",
	pem: "%DOWNSTREAM_PEER_CERT%",
};

describe("TLS of listeners, beside a real Envoy", { skip: skipReason }, () => {
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		pair = await startPair(
			(accessLog) => ({
				admin: { address: loopback(0) },
				static_resources: { listeners: Object.keys(listeners).map((name) => buildListener(name, accessLog)) },
			}),
			Object.keys(listeners),
		);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
	});

	for (const [listener, tried] of Object.entries(attempts)) {
		describe(listener, () => {
			for (const [name, client] of Object.entries(tried)) {
				test(name, async () => {
					const [envoy, weft] = await Promise.all(pair.map((proxy) => attempt(proxy, listener, client)));
					assert.deepEqual(weft, envoy);
				});
			}
		});
	}

	test("sessions are resumed", async () => {
		const [envoy, weft] = await Promise.all(pair.map(async (proxy) => [await resume(proxy, "plain"), await resume(proxy, "no-tickets")]));
		assert.deepEqual(weft, envoy);
	});

	test("statistics", async () => {
		const pattern =
			/^listener\..*\.(ssl\.(handshake|connection_error|no_certificate|session_reused|fail_verify|ciphers|versions)|downstream_cx_transport|downstream_cx_total)/;
		const [envoy, weft] = await Promise.all(
			pair.map(async (proxy) =>
				[...(await proxy.counters(pattern))].filter(([stat, value]) => value !== 0 && !stat.includes("worker_") && !stat.includes(".admin.")).toSorted(),
			),
		);
		assert.deepEqual(weft, envoy);
	});
});

function buildListener(name: string, accessLog: string): object {
	const log = fileLog(accessLog, logFields);
	const { filter_chains: chains, ...base } = httpListener(name, {
		access_log: [log],
		delayed_close_timeout: "0.01s",
		route_config: {
			virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200, body: inline("ok") } }] }],
		},
	}) as { readonly filter_chains: readonly { readonly filters: readonly object[] }[] };
	return {
		...base,
		stat_prefix: name,
		listener_filters_timeout: "0.3s",
		continue_on_listener_filters_timeout: true,
		access_log: [log],
		listener_filters: [extension("envoy.filters.listener.tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector")],
		filter_chains: listeners[name]?.map(({ match = {}, socket, more = {} }, i) => ({
			name: `${name}-${i}`,
			filter_chain_match: match,
			filters: chains[0]?.filters,
			...(socket !== undefined && { transport_socket: socket }),
			...more,
		})),
	};
}

/** What the client saw, and what was logged of the request and of the connection. */
async function attempt(proxy: Proxy, listener: string, { raw, ...options }: Client): Promise<unknown> {
	const before = proxy.log().length;
	const seen = raw === undefined ? await exchange(proxy.port(listener), options) : await exchangeRaw(proxy.port(listener), raw);
	const hasAnswer = typeof seen === "string" ? seen.startsWith("HTTP") : seen.response !== "";
	const wanted = hasAnswer ? 2 : 1;
	const end = performance.now() + 2_000;
	while (proxy.log().length < before + wanted && performance.now() < end) await sleep(20);
	return { seen, log: proxy.log().slice(before).map(describeLine).toSorted() };
}

/** Of a handshake that came to nothing, what there is beside the peer's certificate is each library's own. */
function describeLine({ pem, ...line }: Json): string {
	const isRefused = line["details"] === null && line["uri"] === null && line["dns"] === null;
	const own = ["cipher", "version", "localDns", "localUri"];
	const rest = Object.fromEntries(Object.entries(line).filter(([key]) => !isRefused || !own.includes(key)));
	const certificate = typeof pem === "string" ? `${pem.length} ${createHash("sha256").update(pem).digest("hex").slice(0, 8)}` : pem;
	return JSON.stringify({ ...rest, certificate });
}

interface Seen {
	readonly version: string | null;
	readonly cipher: string;
	readonly alpn: string | false | null;
	readonly peer: string | undefined;
	readonly response: string;
}

/** An HTTP/1.1 request over TLS; "refused" when there was no answer: whether the handshake or the connection fails is a matter of versions. */
function exchange(port: number, options: ConnectionOptions): Promise<Seen | "refused"> {
	return new Promise((resolve) => {
		let text = "";
		const socket = open(port, options);
		let seen: Omit<Seen, "response"> | undefined;
		socket.on("secureConnect", () => {
			seen = {
				version: socket.getProtocol(),
				cipher: socket.getCipher().name,
				alpn: socket.alpnProtocol,
				peer: socket.getPeerX509Certificate()?.subjectAltName,
			};
			if (seen.alpn === "h2") socket.end();
			else socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
		});
		socket.on("data", (bytes: Buffer) => void (text += bytes.toString("latin1")));
		socket.on("error", () => {});
		socket.on("close", () => {
			if (seen?.alpn === "h2") return resolve({ ...seen, response: "" });
			resolve(text === "" || seen === undefined ? "refused" : { ...seen, response: text.slice(0, text.indexOf("\r\n")) });
		});
	});
}

const open = (port: number, options: ConnectionOptions): TLSSocket =>
	connect({ port, host: "127.0.0.1", servername: "server.test", rejectUnauthorized: false, ...options });

function exchangeRaw(port: number, text: string): Promise<string> {
	return new Promise((resolve) => {
		let heard = "";
		const socket = connectTcp({ port, host: "127.0.0.1" }, () => void socket.write(Buffer.from(text, "latin1")));
		socket.on("data", (bytes: Buffer) => void (heard += bytes.toString("latin1")));
		socket.on("error", () => {});
		// An alert's bytes are each library's own.
		socket.on("close", () => resolve(heard.startsWith("HTTP") ? heard.slice(0, heard.indexOf("\r\n")) : "ended"));
	});
}

/** Whether a second connection with the first one's session takes it up. */
async function resume(proxy: Proxy, listener: string): Promise<boolean> {
	const port = proxy.port(listener);
	const session = await new Promise<Buffer | undefined>((resolve) => {
		const socket = open(port, { maxVersion: "TLSv1.2" });
		socket.on("secureConnect", () => socket.write("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"));
		socket.on("data", () => {});
		socket.on("error", () => {});
		socket.on("close", () => resolve(socket.getSession()));
	});
	return new Promise((resolve) => {
		const socket = open(port, { maxVersion: "TLSv1.2", session });
		socket.on("secureConnect", () => {
			resolve(socket.isSessionReused());
			socket.destroy();
		});
		socket.on("error", () => resolve(false));
	});
}
