import { createHash, X509Certificate } from "node:crypto";
import { createServer as createClearServer, type Server as ClearServer } from "node:http";
import { createSecureServer as createHttp2Server, type Http2SecureServer, type ServerHttp2Stream } from "node:http2";
import { createServer, type Server } from "node:https";
import { after } from "node:test";
import type { TLSSocket, TlsOptions } from "node:tls";
import { createAuthority, type KeyedCertificate } from "../security/identities.ts";
import { extension, httpFilter, staticCluster } from "./config.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const authority = createAuthority("mesh.test");
const stranger = createAuthority("other.test");
const dayMs = 86_400_000;
const serverId = "spiffe://mesh.test/ns/a/sa/server";
const client = authority.issueFor({ uris: ["spiffe://mesh.test/ns/a/sa/client"] });
const certificates = {
	good: authority.issueFor({ uris: [serverId], dnsNames: ["server.test", "*.wild.test"], ipAddresses: ["127.0.0.1"] }),
	expired: authority.issueFor({ uris: [serverId] }, 3 * dayMs),
	stranger: stranger.issueFor({ uris: [serverId], dnsNames: ["server.test"] }),
} as const;
const pem = ({ certChainPem, privateKeyPem }: KeyedCertificate) => ({ cert: certChainPem, key: privateKeyPem });
const inline = (text: string) => ({ inline_string: text });
const certificate = ({ certChainPem, privateKeyPem }: KeyedCertificate) => ({ certificate_chain: inline(certChainPem), private_key: inline(privateKeyPem) });
const hashOf = ({ certChainPem }: KeyedCertificate) => createHash("sha256").update(new X509Certificate(certChainPem).raw).digest("hex");

/** Servers by name. */
const serverOptions: Readonly<Record<string, TlsOptions>> = {
	good: pem(certificates.good),
	expired: pem(certificates.expired),
	stranger: pem(certificates.stranger),
	"wants a certificate": { ...pem(certificates.good), requestCert: true, rejectUnauthorized: true, ca: authority.caPem },
	"1.3 alone": { ...pem(certificates.good), minVersion: "TLSv1.3" },
	"1.2 alone": { ...pem(certificates.good), maxVersion: "TLSv1.2" },
};

const trusted = (more: Json = {}) => ({ validation_context: { trusted_ca: inline(authority.caPem), ...more } });
const san = (san_type: string, matcher: Json) => trusted({ match_typed_subject_alt_names: [{ san_type, matcher }] });
const http = (fields: Json) => ({
	typed_extension_protocol_options: {
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			...fields,
		},
	},
});
const explicitHttp1 = { explicit_http_config: { http_protocol_options: {} } };

interface Case {
	readonly server: string;
	/** Of `common_tls_context`. */
	readonly common?: Json;
	readonly context?: Json;
	readonly cluster?: Json;
	readonly host?: string;
	/** Of the filter state. */
	readonly serverName?: string;
}

const cases: Readonly<Record<string, Case>> = {
	"nothing is verified": { server: "good" },
	"nothing is verified of a stranger": { server: "stranger" },
	trusted: { server: "good", common: trusted() },
	"trusted stranger": { server: "stranger", common: trusted() },
	"trusted expired": { server: "expired", common: trusted() },
	"accept untrusted": { server: "stranger", common: trusted({ trust_chain_verification: "ACCEPT_UNTRUSTED" }) },
	"san exact": { server: "good", common: san("URI", { exact: serverId }) },
	"san other": { server: "good", common: san("URI", { exact: `${serverId}2` }) },
	"san prefix": { server: "good", common: san("URI", { prefix: "spiffe://mesh.test/" }) },
	"san dns": { server: "good", common: san("DNS", { exact: "server.test" }) },
	"san dns wildcard": { server: "good", common: san("DNS", { exact: "a.wild.test" }) },
	"san dns wildcard of two labels": { server: "good", common: san("DNS", { exact: "b.a.wild.test" }) },
	"san ip": { server: "good", common: san("IP_ADDRESS", { exact: "127.0.0.1" }) },
	hash: { server: "stranger", common: { validation_context: { verify_certificate_hash: [hashOf(certificates.stranger)] } } },
	"another hash": { server: "good", common: trusted({ verify_certificate_hash: [hashOf(certificates.stranger)] }) },
	sni: { server: "good", context: { sni: "asked.test" } },
	"auto sni": { server: "good", cluster: http({ upstream_http_protocol_options: { auto_sni: true }, ...explicitHttp1 }), host: "server.test" },
	"auto sni with a port": { server: "good", cluster: http({ upstream_http_protocol_options: { auto_sni: true }, ...explicitHttp1 }), host: "server.test:8080" },
	"auto sni of an address": { server: "good", cluster: http({ upstream_http_protocol_options: { auto_sni: true }, ...explicitHttp1 }), host: "127.0.0.1" },
	"auto sni over sni": {
		server: "good",
		context: { sni: "asked.test" },
		cluster: http({ upstream_http_protocol_options: { auto_sni: true }, ...explicitHttp1 }),
		host: "server.test",
	},
	"sni of the filter state": { server: "good", context: { sni: "asked.test" }, serverName: "wanted.test" },
	"sni of the filter state over auto sni": {
		server: "good",
		common: trusted(),
		cluster: http({ upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, ...explicitHttp1 }),
		host: "server.test",
		serverName: "wanted.test",
	},
	"auto san validation of another, with sni of the filter state": {
		server: "good",
		common: trusted(),
		cluster: http({ upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, ...explicitHttp1 }),
		host: "other.test",
		serverName: "server.test",
	},
	"auto san validation": {
		server: "good",
		common: trusted(),
		cluster: http({ upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, ...explicitHttp1 }),
		host: "server.test",
	},
	"auto san validation of another": {
		server: "good",
		common: trusted(),
		cluster: http({ upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, ...explicitHttp1 }),
		host: "other.test",
	},
	"auto san validation by wildcard": {
		server: "good",
		common: trusted(),
		cluster: http({ upstream_http_protocol_options: { auto_sni: true, auto_san_validation: true }, ...explicitHttp1 }),
		host: "x.wild.test",
	},
	"with a certificate": { server: "wants a certificate", common: { tls_certificates: [certificate(client)] } },
	"without a certificate": { server: "wants a certificate", common: { tls_params: { tls_maximum_protocol_version: "TLSv1_2" } } },
	"another version": { server: "1.3 alone", common: { tls_params: { tls_maximum_protocol_version: "TLSv1_2" } } },
	"the only version": { server: "1.3 alone", common: { tls_params: { tls_maximum_protocol_version: "TLSv1_3" } } },
	"1.2": { server: "1.2 alone", common: { tls_params: { tls_maximum_protocol_version: "TLSv1_3" } } },
	"clear text at a TLS port": { server: "clear" },
	"alpn h2": { server: "h2", cluster: http({ auto_config: {} }) },
	"alpn http/1.1": { server: "good", cluster: http({ auto_config: {} }) },
	"alpn of its own": { server: "h2", common: { alpn_protocols: ["h2"] }, cluster: http({ explicit_http_config: { http2_protocol_options: {} } }) },
	"http2 without alpn": { server: "h2", cluster: http({ explicit_http_config: { http2_protocol_options: {} } }) },
	"http1 at a port of h2 alone": { server: "h2", cluster: http(explicitHttp1) },
};

const servers: (Server | Http2SecureServer | ClearServer)[] = [];
const ports = new Map<string, number>();

async function listen(name: string, server: Server | Http2SecureServer | ClearServer): Promise<void> {
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
	const address = server.address();
	ports.set(name, typeof address === "object" && address !== null ? address.port : 0);
}

/** What a server sees of its client. */
function describePeer(socket: TLSSocket): string {
	return `sni ${String(socket.servername)} alpn ${String(socket.alpnProtocol)} peer ${socket.getPeerX509Certificate()?.subjectAltName ?? "nobody"}`;
}

for (const [name, options] of Object.entries(serverOptions)) {
	await listen(
		name,
		createServer(options, ({ socket, headers }, response) => void response.end(`${describePeer(socket as TLSSocket)} host ${headers.host}`)),
	);
}
const http2Server = createHttp2Server(pem(certificates.good));
http2Server.on("stream", (stream: ServerHttp2Stream) => {
	stream.respond({ ":status": 200 });
	stream.end(describePeer(stream.session?.socket as TLSSocket));
});
await listen("h2", http2Server);
await listen(
	"clear",
	createClearServer((_, response) => void response.end("in clear text")),
);
after(() => {
	for (const server of servers) server.close();
});

const wantServerName = (name: string) =>
	httpFilter("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", {
		on_request_headers: [{ object_key: "envoy.network.upstream_server_name", format_string: { text_format_source: { inline_string: name } } }],
	});

const scenarios = Object.fromEntries(
	Object.entries(cases).map(([name, { host = "a.test", serverName }]): readonly [string, Scenario] => [
		name,
		{
			filters: serverName === undefined ? [] : [wantServerName(serverName)],
			host: { routes: [{ match: { prefix: "/" }, route: { cluster: name } }] },
			requests: { request: get("/", "", host), again: get("/", "", host) },
		},
	]),
);

function buildCluster(name: string, { server, common = {}, context = {}, cluster = {} }: Case): object {
	const transport_socket = extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
		// Envoy's own default for clients ends at 1.2, ours at 1.3.
		common_tls_context: { tls_params: { tls_maximum_protocol_version: "TLSv1_3" }, ...common },
		...context,
	});
	return staticCluster(name, ports.get(server) as number, { connect_timeout: "2s", transport_socket, ...cluster });
}

runScenarios("TLS to upstreams", scenarios, {
	stats:
		/^cluster\.(?!.*\.external\.).*\.(ssl\.(handshake|connection_error|no_certificate|session_reused|fail_verify|ciphers|versions)|upstream_cx_(connect_fail|http|protocol)|upstream_rq_(total|5xx|2xx))/,
	// What is wrong below certificates is said in each library's words.
	settle: (text) => text.replace(/(connection_failure)\|.*\}$/, (all, reason: string) => (all.includes("CERTIFICATE_VERIFY_FAILED") ? all : `${reason}}`)),
	clusters: () => Object.entries(cases).map(([name, one]) => buildCluster(name, one)),
	log: {
		version: "%UPSTREAM_TLS_VERSION%",
		cipher: "%UPSTREAM_TLS_CIPHER%",
		uri: "%UPSTREAM_PEER_URI_SAN%",
		dns: "%UPSTREAM_PEER_DNS_SAN%",
		ip: "%UPSTREAM_PEER_IP_SAN%",
		subject: "%UPSTREAM_PEER_SUBJECT%",
		issuer: "%UPSTREAM_PEER_ISSUER%",
		ours: "%UPSTREAM_LOCAL_URI_SAN%",
	},
});
