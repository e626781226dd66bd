import assert from "node:assert/strict";
import { Agent, createServer, request } from "node:http";
import { type AddressInfo, connect, createServer as createTcpServer } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { type handleClientStreamingCall, Server, ServerCredentials } from "@grpc/grpc-js";
import { StreamAccessLogsMessage } from "@weft/xds/generated/envoy/service/accesslog/v3/als.ts";
import type { HTTPAccessLogEntry, TCPAccessLogEntry } from "@weft/xds/generated/envoy/data/accesslog/v3/accesslog.ts";
import { extension, httpFilter, httpListener, listener, router, staticCluster } from "./config.ts";
import { grpcCluster } from "./grpc-services.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

const method = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";

/** A log service that keeps what one proxy sends. */
class LogService {
	readonly messages: StreamAccessLogsMessage[] = [];
	readonly #server = new Server();

	start(): Promise<number> {
		const stream: handleClientStreamingCall<StreamAccessLogsMessage, Buffer> = (call, done) => {
			call.on("data", (message: StreamAccessLogsMessage) => this.messages.push(message)).on("end", () => done(null, Buffer.alloc(0)));
			call.on("error", () => undefined);
		};
		const definition = {
			path: method,
			requestStream: true,
			responseStream: false,
			requestSerialize: (message: StreamAccessLogsMessage) => Buffer.from(StreamAccessLogsMessage.encode(message).finish()),
			requestDeserialize: (bytes: Buffer) => StreamAccessLogsMessage.decode(bytes),
			responseSerialize: (bytes: Buffer) => bytes,
			responseDeserialize: (bytes: Buffer) => bytes,
		};
		this.#server.addService({ stream: definition }, { stream });
		return new Promise((resolve, reject) =>
			this.#server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error))),
		);
	}

	stop(): void {
		this.#server.forceShutdown();
	}

	get http(): readonly HTTPAccessLogEntry[] {
		return this.messages.flatMap(({ httpLogs }) => httpLogs?.logEntry ?? []);
	}

	get tcp(): readonly TCPAccessLogEntry[] {
		return this.messages.flatMap(({ tcpLogs }) => tcpLogs?.logEntry ?? []);
	}
}

const common = (logName: string) => ({
	log_name: logName,
	transport_api_version: "V3",
	grpc_service: { envoy_grpc: { cluster_name: "logs" } },
	buffer_flush_interval: "0.1s",
	custom_tags: [
		{ tag: "literal", literal: { value: "l" } },
		{ tag: "header", request_header: { name: "x-foo", default_value: "none" } },
	],
});

const httpLog = extension("envoy.access_loggers.http_grpc", "extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig", {
	common_config: common("http-log"),
	additional_request_headers_to_log: ["x-foo", "X-Bar", "x-absent"],
	additional_response_headers_to_log: ["x-up", "content-type"],
	additional_response_trailers_to_log: ["x-trailer"],
});
const tcpLog = extension("envoy.access_loggers.tcp_grpc", "extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig", { common_config: common("tcp-log") });

const routes = [
	{ name: "direct", match: { prefix: "/direct" }, direct_response: { status: 204 } },
	{ name: "absent", match: { prefix: "/absent" }, route: { cluster_header: "x-cluster" } },
	{ name: "dead", match: { prefix: "/dead" }, route: { cluster: "dead" } },
	{ name: "rewritten", match: { prefix: "/rewritten" }, route: { cluster: "upstream", prefix_rewrite: "/new" } },
	{ name: "slow", match: { prefix: "/slow" }, route: { cluster: "upstream", timeout: "0.1s" } },
	{ name: "ok", match: { prefix: "/ok" }, route: { cluster: "upstream" }, metadata: { filter_metadata: { a: { b: 1 } } } },
];
const setMetadata = httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", {
	shadow_rules: { action: "ALLOW", policies: { all: { permissions: [{ any: true }], principals: [{ any: true }] } } },
	shadow_rules_stat_prefix: "shadow_",
});

const requests: readonly (readonly [method: string, path: string, headers: Readonly<Record<string, string>>, body?: string])[] = [
	["GET", "/ok?a=b", { "x-foo": "foo", "x-bar": "bar", referer: "http://refers", "user-agent": "agent" }],
	["POST", "/ok", { "content-type": "text/plain", "x-forwarded-for": "10.1.2.3" }, "hello"],
	["HEAD", "/ok", {}],
	["DELETE", "/rewritten/x", {}],
	["PATCH", "/direct", {}],
	["GET", "/absent", { "x-cluster": "no-such-cluster" }],
	["GET", "/dead", {}],
	["GET", "/slow", {}],
	["GET", "/nowhere", { "x-request-id": "0000abcd-0000-4000-8000-000000000000" }],
	["OPTIONS", "/ok", {}],
];

test("entries of the gRPC access log service are Envoy's", { skip: skipReason }, async (t) => {
	const services = [new LogService(), new LogService()] as const;
	const logPorts = [await services[0].start(), await services[1].start()] as const;
	const upstream = createServer((incoming, response) => {
		incoming.resume();
		if (incoming.url?.startsWith("/slow") === true) return undefined;
		const isHead = incoming.method === "HEAD";
		response.writeHead(200, { "content-type": "text/plain", "x-up": "up", ...(isHead ? {} : { trailer: "x-trailer" }) });
		if (isHead) return response.end();
		response.write("ok");
		response.addTrailers({ "x-trailer": "end" });
		return response.end();
	});
	await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
	const echo = createTcpServer((socket) => socket.on("error", () => undefined).pipe(socket));
	await new Promise<void>((resolve) => echo.listen(0, "127.0.0.1", resolve));
	const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;
	let proxies: readonly Proxy[] = [];
	before(async () => {
		const manager = {
			access_log: [httpLog],
			http_filters: [setMetadata, router],
			http_protocol_options: { enable_trailers: true },
			route_config: { virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
		};
		const tcpProxy = (cluster: string) =>
			extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: "tcp", cluster, access_log: [tcpLog] });
		const trailers = {
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
				"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				explicit_http_config: { http_protocol_options: { enable_trailers: true } },
			},
		};
		proxies = await startPair(
			(_log, name) => ({
				node: { id: "node-1", cluster: "front", locality: { zone: "zone-1" }, metadata: { key: "value" } },
				admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
				static_resources: {
					listeners: [httpListener("http", manager), listener("tcp", [tcpProxy("echo")]), listener("tcp-dead", [tcpProxy("dead")])],
					clusters: [
						staticCluster("upstream", portOf(upstream), { typed_extension_protocol_options: trailers }),
						staticCluster("echo", portOf(echo)),
						staticCluster("dead", 1),
						grpcCluster("logs", logPorts[name === "envoy" ? 0 : 1]),
					],
				},
			}),
			["http", "tcp", "tcp-dead"],
		);
	});
	after(async () => {
		agent.destroy();
		await Promise.all(proxies.map((proxy) => proxy.stop()));
		for (const service of services) service.stop();
		upstream.close().closeAllConnections();
		echo.close();
	});

	await t.test("HTTP", async () => {
		for (const [i, proxy] of proxies.entries()) {
			for (const one of requests) {
				const before = services[i as 0 | 1].http.length;
				await ask(proxy.port("http"), one);
				// One after the other, so that the order is that of the requests.
				await until(() => services[i as 0 | 1].http.length > before);
			}
		}
		const [envoy, weft] = [services[0].http.map((entry) => plain(entry)), services[1].http.map((entry) => plain(entry))];
		for (const [i, [verb, path]] of requests.entries()) assert.deepEqual(weft[i], envoy[i], `${verb} ${path}`);
	});

	await t.test("counters of HTTP, the only ones that Envoy keeps", async () => {
		const [envoy, weft] = await Promise.all(proxies.map((proxy) => proxy.counters(/access_log.*(logs_|flush)/)));
		assert.deepEqual([...(weft ?? [])].sort(), [...(envoy ?? [])].sort());
	});

	await t.test("TCP", async () => {
		for (const [i, proxy] of proxies.entries()) {
			await talk(proxy.port("tcp"), "hello");
			await until(() => services[i as 0 | 1].tcp.length === 1);
			await talk(proxy.port("tcp-dead"), "hello");
			await until(() => services[i as 0 | 1].tcp.length === 2);
		}
		assert.deepEqual(
			services[1].tcp.map((entry) => plain(entry)),
			services[0].tcp.map((entry) => plain(entry)),
		);
	});

	await t.test("the first message of a stream says who sends", () => {
		for (const service of services) {
			const withIdentifier = service.messages.filter(({ identifier }) => identifier !== undefined);
			assert.deepEqual(
				withIdentifier.map(({ identifier }) => [identifier?.logName, identifier?.node?.id, identifier?.node?.cluster, identifier?.node?.locality?.zone]),
				[
					["http-log", "node-1", "front", "zone-1"],
					["tcp-log", "node-1", "front", "zone-1"],
				],
			);
			assert.deepEqual(withIdentifier[0]?.identifier?.node?.metadata, { key: "value" });
		}
	});
});

async function until(isTrue: () => boolean): Promise<void> {
	const end = performance.now() + 20_000;
	while (!isTrue()) {
		assert.ok(performance.now() < end, "no entry came");
		await sleep(10);
	}
}

const agent = new Agent({ keepAlive: true });

function ask(port: number, [verb, path, headers, body]: (typeof requests)[number]): Promise<void> {
	return new Promise((resolve, reject) => {
		const sent = request({ host: "127.0.0.1", port, method: verb, path, agent, headers: { host: "sample:8080", ...headers } }, (response) => {
			response.resume().on("end", resolve);
		});
		sent.on("error", reject).end(body);
	});
}

function talk(port: number, text: string): Promise<void> {
	return new Promise((resolve) => {
		const socket = connect(port, "127.0.0.1", () => socket.write(text));
		socket
			.on("error", () => undefined)
			.on("data", () => socket.end())
			.on("close", () => resolve());
	});
}

/** What is set, without what differs from run to run: times and ports are told by their being there. */
function plain(value: unknown, key = ""): unknown {
	if (typeof value === "bigint") return Number(value);
	if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
	if (/^time|^startTime|^duration$/.test(key)) return "<time>";
	const entries = Object.entries(value)
		// Not counted by themselves here.
		.filter(([name]) => name !== "upstreamHeaderBytesSent" && name !== "upstreamHeaderBytesReceived")
		// `connection` and its like are of the wire here, part of the head there.
		.filter(([name]) => name !== "responseHeadersBytes")
		.filter(([, one]) => one !== undefined && one !== 0 && one !== 0n && one !== "" && one !== false && !(Array.isArray(one) && one.length === 0))
		.filter(([, one]) => !(typeof one === "object" && one !== null && Object.keys(one).length === 0))
		.map(([name, one]) => [name, varies(name) ? `<${name}>` : plain(one, name)] as const);
	return Object.fromEntries(entries);
}

// What is on the wire is counted by each codec in its own way.
const varies = (name: string) => ["portValue", "streamId", "requestId"].includes(name) || /[a-z](Wire|Header)Bytes(Sent|Received)$/.test(name);
