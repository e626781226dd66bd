import assert from "node:assert/strict";
import { createServer, get, type IncomingHttpHeaders, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { ExportTraceServiceRequest } from "@weft/xds/generated/opentelemetry/proto/collector/trace/v1/trace_service.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

/** A span as both systems tell it, without what differs from run to run. */
interface SeenSpan {
	readonly name: string;
	readonly kind: string;
	readonly tags: Readonly<Record<string, string>>;
	/** Whose child it is: of another span, of the caller's, of none. */
	readonly parent: string;
	readonly isShared: boolean;
	readonly isError: boolean;
}

/** What the proxies have reported, by the port that they report to. */
class Collector {
	readonly spans: (SeenSpan & { readonly traceId: string })[] = [];
	readonly server: Server;

	constructor() {
		this.server = createServer((request, response) => {
			const pieces: Buffer[] = [];
			request.on("data", (piece: Buffer) => pieces.push(piece));
			request.on("end", () => {
				const body = Buffer.concat(pieces);
				if (request.url === "/api/v2/spans") this.#takeZipkin(JSON.parse(body.toString()) as ZipkinSpan[]);
				else this.#takeOtlp(body);
				response.writeHead(request.url === "/api/v2/spans" ? 202 : 200).end();
			});
		});
	}

	#takeZipkin(spans: readonly ZipkinSpan[]): void {
		for (const { traceId, id, name, kind, tags, parentId = "none", shared = false } of spans) {
			assert.match(id, /^[0-9a-f]{16}$/);
			this.spans.push({ traceId, name, kind, tags, parent: parentId, isShared: shared, isError: tags["error"] === "true" });
		}
	}

	#takeOtlp(body: Buffer): void {
		for (const { scopeSpans } of ExportTraceServiceRequest.decode(body).resourceSpans) {
			for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
				const tags = Object.fromEntries(span.attributes.map(({ key, value }) => [key, value?.stringValue ?? ""]));
				const parent = Buffer.from(span.parentSpanId).toString("hex") || "none";
				this.spans.push({
					traceId: Buffer.from(span.traceId).toString("hex"),
					name: span.name,
					kind: String(span.kind),
					tags,
					parent,
					isShared: false,
					isError: span.status?.code === 2,
				});
			}
		}
	}
}

interface ZipkinSpan {
	readonly traceId: string;
	readonly id: string;
	readonly name: string;
	readonly kind: string;
	readonly parentId?: string;
	readonly shared?: boolean;
	readonly tags: Readonly<Record<string, string>>;
}

const listen = (server: Server) => new Promise<number>((resolve) => server.listen(0, "127.0.0.1", () => resolve((server.address() as AddressInfo).port)));

const requests: readonly (readonly [path: string, headers: Readonly<Record<string, string>>])[] = [
	["/plain?a=b", { "x-foo": "bar" }],
	["/decorated", {}],
	["/500", {}],
	["/direct", {}],
	["/long/path/that/is/longer/than/the/limit", {}],
	[
		"/b3",
		{ "x-b3-traceid": "463ac35c9f6413ad48485a3953bb6124", "x-b3-spanid": "a2fb4a1d1a96d312", "x-b3-parentspanid": "0020000000000001", "x-b3-sampled": "1" },
	],
	["/b3-unsampled", { "x-b3-traceid": "463ac35c9f6413ad", "x-b3-spanid": "a2fb4a1d1a96d312", "x-b3-sampled": "0" }],
	["/b3-single", { b3: "80f198ee56343ba864fe8b2a57d3eff7-e457b5a2e4d86bd1-1-05e3ac9a4f6e3b90" }],
	["/b3-deny", { b3: "0" }],
	["/w3c", { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", tracestate: "a=b" }],
	["/w3c-unsampled", { traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00" }],
	["/client", { "x-client-trace-id": "abc" }],
	["/force", { "x-envoy-force-trace": "1" }],
	["/known-id", { "x-request-id": "0000abcd-0000-4000-8000-000000000000" }],
	["/sampled-before", { "x-request-id": "0000abcd-0000-9000-8000-000000000000" }],
	["/no-uuid", { "x-request-id": "hello" }],
	["/told", { "x-envoy-decorator-operation": "told-by-the-caller" }],
];

const providers = {
	zipkin: {
		name: "envoy.tracers.zipkin",
		typed_config: {
			"@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
			collector_cluster: "collector",
			collector_endpoint: "/api/v2/spans",
			collector_endpoint_version: "HTTP_JSON",
		},
	},
	zipkinSeparate: {
		name: "envoy.tracers.zipkin",
		typed_config: {
			"@type": "type.googleapis.com/envoy.config.trace.v3.ZipkinConfig",
			collector_cluster: "collector",
			collector_endpoint: "/api/v2/spans",
			collector_endpoint_version: "HTTP_JSON",
			trace_id_128bit: true,
			shared_span_context: false,
		},
	},
	openTelemetry: {
		name: "envoy.tracers.opentelemetry",
		typed_config: {
			"@type": "type.googleapis.com/envoy.config.trace.v3.OpenTelemetryConfig",
			http_service: { http_uri: { uri: "http://collector/v1/traces", cluster: "collector", timeout: "1s" } },
			service_name: "sample",
		},
	},
};

interface Case {
	readonly name: string;
	readonly provider: keyof typeof providers;
	readonly direction: "INBOUND" | "OUTBOUND";
	readonly spawn: boolean;
	readonly sampling: number;
}

const cases: readonly Case[] = [
	{ name: "zipkin-out", provider: "zipkin", direction: "OUTBOUND", spawn: false, sampling: 100 },
	{ name: "zipkin-in", provider: "zipkin", direction: "INBOUND", spawn: false, sampling: 100 },
	{ name: "zipkin-spawn", provider: "zipkin", direction: "INBOUND", spawn: true, sampling: 100 },
	{ name: "zipkin-none", provider: "zipkin", direction: "OUTBOUND", spawn: false, sampling: 0 },
	{ name: "zipkin-half", provider: "zipkin", direction: "OUTBOUND", spawn: false, sampling: 50 },
	{ name: "zipkin-separate", provider: "zipkinSeparate", direction: "INBOUND", spawn: false, sampling: 100 },
	{ name: "otel-out", provider: "openTelemetry", direction: "OUTBOUND", spawn: false, sampling: 100 },
	{ name: "otel-in", provider: "openTelemetry", direction: "INBOUND", spawn: true, sampling: 100 },
	{ name: "otel-none", provider: "openTelemetry", direction: "INBOUND", spawn: false, sampling: 0 },
];

function listenerOf({ name, provider, direction, spawn, sampling }: Case): object {
	const manager = {
		"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		stat_prefix: name,
		generate_request_id: true,
		tracing: {
			provider: providers[provider],
			random_sampling: { value: sampling },
			spawn_upstream_span: spawn,
			max_path_tag_length: 30,
			custom_tags: [
				{ tag: "literal", literal: { value: name } },
				{ tag: "header", request_header: { name: "x-foo", default_value: "none" } },
				{ tag: "absent", request_header: { name: "x-foo-2" } },
				{ tag: "environment", environment: { name: "WEFT_NO_SUCH_VARIABLE", default_value: "default" } },
			],
		},
		route_config: {
			virtual_hosts: [
				{
					name: "all",
					domains: ["*"],
					routes: [
						{ match: { prefix: "/decorated" }, decorator: { operation: "decorated" }, route: { cluster: "upstream" } },
						{ match: { prefix: "/direct" }, direct_response: { status: 204 } },
						{
							match: { prefix: "/told" },
							tracing: { random_sampling: { numerator: 100 }, custom_tags: [{ tag: "literal", literal: { value: "the route's" } }] },
							route: { cluster: "upstream" },
						},
						{ match: { prefix: "/" }, route: { cluster: "upstream" } },
					],
				},
			],
		},
		http_filters: [{ name: "router", typed_config: { "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" } }],
	};
	const address = { socket_address: { address: "127.0.0.1", port_value: 0 } };
	return { name, traffic_direction: direction, address, filter_chains: [{ filters: [{ name: "http", typed_config: manager }] }] };
}

const clusterOf = (name: string, port: number) => ({
	name,
	load_assignment: {
		cluster_name: name,
		endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: "127.0.0.1", port_value: port } } } }] }],
	},
});

test("spans, trace contexts and sampling are Envoy's", { skip: skipReason }, async (t) => {
	const collectors = [new Collector(), new Collector()] as const;
	const [envoyCollector, weftCollector] = [await listen(collectors[0].server), await listen(collectors[1].server)];
	let received: IncomingHttpHeaders = {};
	const upstream = createServer((request, response) => {
		received = request.headers;
		response.writeHead(request.url === "/500" ? 500 : 200).end("ok");
	});
	const upstreamPort = await listen(upstream);
	let started = 0;
	let proxies: readonly [Proxy, Proxy];
	before(async () => {
		const build = () => ({
			node: { id: "node-1", cluster: "front", locality: { zone: "zone-1" } },
			admin: { address: { socket_address: { address: "127.0.0.1", port_value: 0 } } },
			static_resources: {
				listeners: cases.map(listenerOf),
				clusters: [clusterOf("upstream", upstreamPort), clusterOf("collector", started++ === 0 ? envoyCollector : weftCollector)],
			},
		});
		proxies = await startPair(
			build,
			cases.map(({ name }) => name),
		);
	});
	after(async () => {
		await Promise.all(proxies.map((proxy) => proxy.stop()));
		for (const server of [upstream, collectors[0].server, collectors[1].server]) server.close().closeAllConnections();
	});

	/** The upstream's view of the context and the answer's, with what is random told by its form. */
	const ask = async (proxy: Proxy, listener: string, path: string, headers: Readonly<Record<string, string>>) => {
		received = {};
		const answer = await new Promise<IncomingHttpHeaders>((resolve, reject) => {
			get({ host: "127.0.0.1", port: proxy.port(listener), path, headers: { host: "sample", ...headers } }, (response) => {
				response.resume();
				response.on("end", () => resolve(response.headers));
			}).on("error", reject);
		});
		const traced = ["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-envoy-decorator-operation"];
		const sent = Object.fromEntries(traced.map((name) => [name, formOf(received[name])]).filter(([, value]) => value !== undefined && value !== ""));
		const id = String(received["x-request-id"] ?? "");
		return { sent, reason: headers["x-request-id"] === undefined ? id[14] : id, operation: answer["x-envoy-decorator-operation"] };
	};

	for (const { name, sampling } of cases) {
		await t.test(name, async () => {
			for (const [path, headers] of requests) {
				// What is thrown for each request anew cannot be compared.
				if (sampling === 50 && headers["x-request-id"] === undefined) continue;
				const [envoy, weft] = [await ask(proxies[0], name, path, headers), await ask(proxies[1], name, path, headers)];
				assert.deepEqual(weft, envoy, path);
			}
		});
	}

	await t.test("the spans that arrive", async () => {
		const end = performance.now() + 15_000;
		const [envoy, weft] = collectors;
		// Reports go out after five seconds at the latest.
		await sleep(5_500);
		while (performance.now() < end && weft.spans.length < envoy.spans.length) await sleep(100);
		assert.ok(envoy.spans.length > 80, `only ${envoy.spans.length} spans`);
		const [wanted, seen] = [summaryOf(envoy), summaryOf(weft)];
		// Only what differs: a hundred spans are not read.
		assert.deepEqual({ missing: without(wanted, seen), added: without(seen, wanted) }, { missing: [], added: [] });
	});
});

/** Random ids are told by their length; those that we sent stay. */
function formOf(value: string | string[] | undefined): string | undefined {
	const known = /^(463ac35c9f6413ad|a2fb4a1d1a96d312|80f198ee56343ba8|e457b5a2e4d86bd1|0af7651916cd43dd|b7ad6b7169203331|0020000000000001|05e3ac9a4f6e3b90)/;
	return typeof value === "string" ? value.replace(/[0-9a-f]{16,32}/g, (id) => (known.test(id) ? id : `<${id.length}>`)) : undefined;
}

const without = (all: readonly string[], known: readonly string[]) => all.filter((one) => !known.includes(one));

function summaryOf({ spans }: Collector): readonly string[] {
	return spans
		.map(({ tags, parent, traceId, ...span }) => {
			const { "guid:x-request-id": id = "", upstream_address: host, ...rest } = tags;
			const sorted = Object.entries(rest).sort(([a], [b]) => (a < b ? -1 : 1));
			return JSON.stringify({ ...span, parent: formOf(parent), trace: formOf(traceId), reason: id[14], hasHost: host !== undefined, tags: sorted });
		})
		.sort();
}
