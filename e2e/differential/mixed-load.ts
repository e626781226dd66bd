import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { createAuthority } from "../security/identities.ts";
import { extension, httpListener, listener, loopback, staticCluster } from "./config.ts";
import { FrameClient, FrameUpstream } from "./http2-peers.ts";
import { head } from "./cases/http2-messages.ts";
import { type Proxy, startPair } from "./pair.ts";

const authority = createAuthority("mesh.test");
const { certChainPem, privateKeyPem } = authority.issueFor({
	uris: ["spiffe://mesh.test/ns/a/sa/server"],
	dnsNames: ["server.test"],
	ipAddresses: ["127.0.0.1"],
});

const http2 = {
	typed_extension_protocol_options: {
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			explicit_http_config: { http2_protocol_options: {} },
		},
	},
};
const tls = extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.DownstreamTlsContext", {
	common_tls_context: { tls_certificates: [{ certificate_chain: { inline_string: certChainPem }, private_key: { inline_string: privateKeyPem } }] },
});
const upstreamTls = extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext", {
	common_tls_context: {
		validation_context: { trusted_ca: { inline_string: authority.caPem } },
		tls_params: { tls_maximum_protocol_version: "TLSv1_2" },
	},
});
const route = (prefix: string, cluster: string, action: object = {}) => ({ match: { prefix }, route: { cluster, ...action } });
const routes = [
	route("/h2", "h2"),
	route("/retry", "closed", { retry_policy: { retry_on: "connect-failure", num_retries: 1 } }),
	route("/secure", "secure"),
	route("/checked", "checked"),
	route("/", "up"),
];
const manager = (name: string) => ({ route_config: { name: `${name}-routes`, virtual_hosts: [{ name: "all", domains: ["*"], routes }] } });
const overTls = (one: object) => ({
	...one,
	filter_chains: (one as { filter_chains: object[] }).filter_chains.map((chain) => ({ ...chain, transport_socket: tls })),
});

interface UpstreamPorts {
	readonly http: number;
	readonly http2: number;
	readonly tcp: number;
	readonly tlsListener: number;
}

function resources(ports: UpstreamPorts): object {
	const plain = httpListener("plain", manager("plain"));
	const proxied = httpListener("proxied", manager("proxied"), {
		listener_filters: [extension("envoy.filters.listener.proxy_protocol", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol")],
	});
	const tcp = listener("tcp", [
		extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: "tcp", cluster: "tcp" }),
	]);
	const healthChecks = [
		{ timeout: "1s", interval: "0.1s", no_traffic_interval: "0.1s", unhealthy_threshold: 1, healthy_threshold: 1, http_health_check: { path: "/healthy" } },
	];
	return {
		listeners: [plain, overTls(httpListener("secure", manager("secure"))), proxied, tcp],
		clusters: [
			staticCluster("up", ports.http, { outlier_detection: { consecutive_5xx: 3, interval: "0.1s", base_ejection_time: "0.1s", max_ejection_percent: 100 } }),
			staticCluster("h2", ports.http2, http2),
			staticCluster("closed", 1),
			staticCluster("tcp", ports.tcp),
			staticCluster("secure", ports.tlsListener, { transport_socket: upstreamTls }),
			staticCluster("checked", ports.http, { health_checks: healthChecks, circuit_breakers: { thresholds: [{ track_remaining: true }] } }),
		],
	};
}

/** Both proxies of one configuration, after the same requests of every kind. */
export interface MixedLoad {
	readonly proxies: readonly [Proxy, Proxy];
	stop(): Promise<void>;
}

export async function startMixedLoad(): Promise<MixedLoad> {
	const web = createServer((request, response) => {
		response.statusCode = request.url === "/fail" ? 503 : 200;
		response.end("ok");
	});
	const secureWeb = await startSecureWeb();
	const echo = createTcpServer((socket) => void socket.on("error", () => undefined).pipe(socket));
	const frames = new FrameUpstream();
	for (const server of [web, echo]) {
		server.listen(0, "127.0.0.1");
		await once(server, "listening");
	}
	const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
	const ports = { http: portOf(web), http2: await frames.listen(), tcp: portOf(echo), tlsListener: portOf(secureWeb) };
	const closeUpstreams = () => {
		for (const server of [web, secureWeb]) server.close().closeAllConnections();
		echo.close();
		frames.close();
	};
	try {
		const proxies = await startPair(
			() => ({
				node: { id: "node", cluster: "cluster", locality: { zone: "z" } },
				admin: { address: loopback(0) },
				stats_flush_interval: "0.2s",
				static_resources: resources(ports),
			}),
			["plain", "secure", "proxied", "tcp"],
		);
		await Promise.all(proxies.map(load));
		await flushed(proxies[0]);
		return {
			proxies,
			async stop() {
				for (const proxy of proxies) await proxy.stop();
				closeUpstreams();
			},
		};
	} catch (error) {
		closeUpstreams();
		throw error;
	}
}

/** Envoy shows histograms as they were when they were last flushed. */
async function flushed(envoy: Proxy): Promise<void> {
	for (const end = performance.now() + 10_000; performance.now() < end; await sleep(50)) {
		if (!(await envoy.admin("/stats?filter=^cluster.(up|h2|secure).upstream_cx_connect_ms$")).includes("No recorded values")) return;
	}
}

async function startSecureWeb(): Promise<Server> {
	const { createServer: createSecureServer } = await import("node:https");
	const server = createSecureServer({ cert: certChainPem, key: privateKeyPem }, (_, response) => response.end("ok"));
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	return server;
}

/** Sends `text` over `socket` and reads what comes until the end. */
function exchange(socket: ReturnType<typeof connect>, text: string): Promise<void> {
	socket.on("error", () => undefined).setTimeout(5_000, () => socket.destroy());
	socket.resume().write(text);
	// Not `once`: an error on the way to the end is an end, too.
	return new Promise((resolve) => void socket.on("close", () => resolve()));
}

async function load(proxy: Proxy): Promise<void> {
	const get = (path: string) => `GET ${path} HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n`;
	const open = (name: string) => connect({ port: proxy.port(name), host: "127.0.0.1" });
	for (const path of ["/a", "/h2/a", "/retry", "/secure", "/checked", "/fail", "/fail", "/fail"]) await exchange(open("plain"), get(path));
	await exchange(open("proxied"), `PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\n${get("/a")}`);
	await exchange(open("proxied"), "PROXY nonsense\r\n");
	await exchange(connectTls({ port: proxy.port("secure"), host: "127.0.0.1", rejectUnauthorized: false }), get("/checked"));
	const tcp = open("tcp");
	tcp.on("data", () => tcp.end());
	await exchange(tcp, "hello");
	const client = await FrameClient.connect(proxy.port("plain"));
	await client.ended(client.open(head("GET", "/h2/b")));
	client.close();
}
