import assert from "node:assert/strict";
import { createServer, type Server } from "node:http";
import { createServer as createHttp2Server, type Http2Server, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Json = Readonly<Record<string, unknown>>;

const host = (port: number, config: Json = {}) => ({ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } }, ...config } });
const times = { timeout: "2s", interval: "0.1s", no_traffic_interval: "0.1s", unhealthy_threshold: 2, healthy_threshold: 2 };
const http = (config: Json = {}, more: Json = {}) => ({ ...times, ...more, http_health_check: { path: "/healthz", ...config } });
const hex = (text: string) => ({ text: Buffer.from(text).toString("hex") });

interface Ports {
	readonly http: number;
	readonly h2: number;
	readonly tcp: number;
	readonly closed: number;
}

/** By cluster: its check, and its hosts. */
const clusters: Readonly<Record<string, (ports: Ports) => { readonly check: Json; readonly hosts: readonly Json[] }>> = {
	good: ({ http: port }) => ({ check: http(), hosts: [host(port)] }),
	bad: ({ http: port }) => ({ check: http({ path: "/fail" }), hosts: [host(port)] }),
	"no answer": ({ closed }) => ({ check: http(), hosts: [host(closed)] }),
	late: ({ http: port }) => ({ check: http({ path: "/late" }, { timeout: "0.4s" }), hosts: [host(port)] }),
	"another status expected": ({ http: port }) => ({ check: http({ path: "/teapot", expected_statuses: [{ start: 418, end: 419 }] }), hosts: [host(port)] }),
	retriable: ({ http: port }) => ({ check: http({ path: "/fail", retriable_statuses: [{ start: 500, end: 600 }] }), hosts: [host(port)] }),
	degraded: ({ http: port }) => ({ check: http({ path: "/degraded" }), hosts: [host(port)] }),
	"must not be used": ({ http: port }) => ({ check: http({ path: "/never" }), hosts: [host(port)] }),
	headers: ({ http: port }) => ({
		check: http({
			host: "named.test",
			path: "/headers",
			request_headers_to_add: [{ header: { key: "x-check", value: "1" } }],
			request_headers_to_remove: ["user-agent"],
			method: "HEAD",
		}),
		hosts: [host(port)],
	}),
	"host of the endpoint": ({ http: port }) => ({
		check: http({ path: "/endpoint-host" }),
		hosts: [host(port, { health_check_config: { hostname: "mine.test" } })],
	}),
	"port of the endpoint": ({ http: port, closed }) => ({ check: http(), hosts: [host(closed, { health_check_config: { port_value: port } })] }),
	"must not be used, and bad": ({ http: port }) => ({ check: http({ path: "/never-bad" }), hosts: [host(port)] }),
	"not checked": ({ closed }) => ({ check: http(), hosts: [host(closed, { health_check_config: { disable_active_health_check: true } })] }),
	"wrong service": ({ http: port }) => ({ check: http({ path: "/service", service_name_matcher: { prefix: "other" } }), hosts: [host(port)] }),
	"right service": ({ http: port }) => ({ check: http({ path: "/service", service_name_matcher: { prefix: "mine" } }), hosts: [host(port)] }),
	body: ({ http: port }) => ({ check: http({ path: "/body", receive: [hex("all"), hex("well")] }), hosts: [host(port)] }),
	"another body": ({ http: port }) => ({ check: http({ path: "/body", receive: [hex("well"), hex("all")] }), hosts: [host(port)] }),
	http2: ({ h2 }) => ({ check: http({ codec_client_type: "HTTP2" }), hosts: [host(h2)] }),
	grpc: ({ h2 }) => ({ check: { ...times, grpc_health_check: { service_name: "serving", authority: "grpc.test" } }, hosts: [host(h2)] }),
	"grpc, not serving": ({ h2 }) => ({ check: { ...times, grpc_health_check: { service_name: "gone" } }, hosts: [host(h2)] }),
	"grpc, unknown service": ({ h2 }) => ({ check: { ...times, grpc_health_check: { service_name: "unknown" } }, hosts: [host(h2)] }),
	"grpc, http/1 only": ({ http: port }) => ({ check: { ...times, grpc_health_check: {} }, hosts: [host(port)] }),
	tcp: ({ tcp }) => ({ check: { ...times, tcp_health_check: {} }, hosts: [host(tcp)] }),
	"tcp, closed": ({ closed }) => ({ check: { ...times, tcp_health_check: {} }, hosts: [host(closed)] }),
	"tcp, conversation": ({ tcp }) => ({ check: { ...times, tcp_health_check: { send: hex("PING"), receive: [hex("PO"), hex("NG")] } }, hosts: [host(tcp)] }),
	"tcp, another answer": ({ tcp }) => ({ check: { ...times, tcp_health_check: { send: hex("PING"), receive: [hex("GNOP")] } }, hosts: [host(tcp)] }),
	"two of three": ({ http: port, h2, closed }) => ({ check: http({}, { reuse_connection: false }), hosts: [host(port), host(closed), host(h2)] }),
};

const settleMs = 2_500;

describe("active health checks, beside a real Envoy", { skip: skipReason }, () => {
	const servers: (Server | Http2Server | TcpServer)[] = [];
	let pair: readonly [Proxy, Proxy];
	/** What the checks said of themselves, by path. */
	const asked = new Map<string, Set<string>>();

	before(async () => {
		const listening = async (server: Server | Http2Server | TcpServer) => {
			servers.push(server);
			await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
			const address = server.address();
			return typeof address === "object" && address !== null ? address.port : 0;
		};
		const ports = { http: await listening(httpServer(asked)), h2: await listening(grpcServer()), tcp: await listening(tcpServer()), closed: 1 };
		pair = await startPair(() => bootstrap(ports), ["front"]);
		await sleep(settleMs);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		for (const server of servers) server.close();
	});

	for (const name of Object.keys(clusters)) {
		test(name, async () => {
			const [envoy, weft] = await Promise.all(pair.map((proxy) => describeCluster(proxy, name)));
			assert.deepEqual(weft, envoy);
			assert.ok(envoy !== undefined && envoy.length > 0);
		});
	}

	test("what hosts are asked", () => {
		for (const [path, heads] of asked) assert.equal(heads.size, 1, `${path}: ${[...heads].join("\n")}`);
	});
});

async function describeCluster(proxy: Proxy, name: string): Promise<readonly string[]> {
	const text = await proxy.admin("/clusters");
	const flags = text.split("\n").filter((line) => line.startsWith(`${name}::`) && line.includes("::health_flags::"));
	const stat = new RegExp(`^cluster\\.${name}\\.(membership_(total|healthy|degraded|excluded)|health_check\\.(healthy|degraded))`);
	const kinds = new RegExp(`^cluster\\.${name}\\.health_check\\.(attempt|success|failure|network_failure|verify_cluster|passive_failure): `);
	// How often is a matter of pace; whether at all is not.
	const counted = (await proxy.stats(kinds)).map((line) => line.split(":")[0] ?? "");
	return [...flags.toSorted(), ...(await proxy.stats(stat)).toSorted(), ...counted.toSorted()];
}

const http2Options = {
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
		"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
		explicit_http_config: { http2_protocol_options: {} },
	},
};

function bootstrap(ports: Ports): Json {
	const manager = {
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		stat_prefix: "front",
		route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "good" } }] }] },
		http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
	};
	return {
		admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
		static_resources: {
			listeners: [
				{
					name: "front",
					address: { socket_address: { address: "127.0.0.1", port_value: 0 } },
					filter_chains: [{ filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] }],
				},
			],
			clusters: Object.entries(clusters).map(([name, build]) => {
				const { check, hosts } = build(ports);
				return {
					name,
					type: "STATIC",
					connect_timeout: "1s",
					health_checks: [check],
					...("grpc_health_check" in check && { typed_extension_protocol_options: http2Options }),
					load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: hosts }] },
				};
			}),
		},
	};
}

function httpServer(asked: Map<string, Set<string>>): Server {
	return createServer((request, response) => {
		const path = request.url ?? "";
		const what = `${path} of ${request.headers.host}`;
		const heads = asked.get(what) ?? new Set<string>();
		asked.set(what, heads.add(JSON.stringify([request.method, request.httpVersion, request.rawHeaders])));
		const answers: Readonly<Record<string, () => void>> = {
			"/fail": () => response.writeHead(503).end(),
			"/teapot": () => response.writeHead(418).end(),
			"/late": () => void setTimeout(() => response.end(), 5_000).unref(),
			"/degraded": () => response.writeHead(200, { "x-envoy-degraded": "true" }).end(),
			"/never": () => response.writeHead(200, { "x-envoy-immediate-health-check-fail": "true" }).end(),
			"/never-bad": () => response.writeHead(503, { "x-envoy-immediate-health-check-fail": "true" }).end(),
			"/service": () => response.writeHead(200, { "x-envoy-upstream-healthchecked-cluster": "mine-1" }).end(),
			"/body": () => response.end("all is well"),
		};
		(answers[path] ?? (() => response.end()))();
	});
}

function grpcServer(): Http2Server {
	const server = createHttp2Server();
	server.on("stream", (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
		stream.on("error", () => {});
		if (headers[":path"] !== "/grpc.health.v1.Health/Check") {
			stream.respond({ ":status": 200 });
			return stream.end();
		}
		const pieces: Buffer[] = [];
		stream.on("data", (bytes: Buffer) => pieces.push(bytes));
		stream.on("end", () => {
			const service = Buffer.concat(pieces).subarray(7).toString();
			const type = { ":status": 200, "content-type": "application/grpc" };
			if (service === "unknown") return stream.respond({ ...type, "grpc-status": "5" }, { endStream: true });
			stream.respond(type, { waitForTrailers: true });
			stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
			stream.end(Buffer.from([0, 0, 0, 0, 2, 8, service === "serving" ? 1 : 2]));
		});
	});
	return server;
}

function tcpServer(): TcpServer {
	return createTcpServer((socket) => {
		socket.on("error", () => {});
		socket.on("data", (bytes) => void (bytes.toString() === "PING" && socket.write("PONG")));
	});
}
