import { after } from "node:test";
import { CheckRequest, CheckResponse } from "@weft/xds/generated/envoy/service/auth/v3/external_auth.ts";
import type { AttributeContext_Peer } from "@weft/xds/generated/envoy/service/auth/v3/attribute_context.ts";
import { httpFilter } from "./config.ts";
import { type Answer, grpcCluster, startService } from "./grpc-services.ts";
import { get, post, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const option = (key: string, value: string, more: object = {}) => ({ header: { key, value }, ...more });
const ok = (okResponse: object, more: object = {}) => CheckResponse.fromPartial({ status: { code: 0 }, okResponse, ...more });
const denied = (deniedResponse: object | undefined, more: object = {}) => CheckResponse.fromPartial({ status: { code: 7 }, deniedResponse, ...more });

const answers: Readonly<Record<string, (seen: string) => Answer<CheckResponse>>> = {
	"/ok": (seen) => ok({ headers: [option("x-seen", seen)] }),
	"/bare": () => CheckResponse.fromPartial({ status: { code: 0 } }),
	"/nothing": () => CheckResponse.fromPartial({}),
	"/change": () =>
		ok({
			headers: [option("x-set", "new"), option("x-append", "more", { append: true }), option("x-absent", "never", { append: true }), option("X-Upper", "u")],
			headersToRemove: ["x-gone", "X-Also", "host", ":path"],
			responseHeadersToAdd: [
				option("x-told", "1"),
				option("x-told", "2"),
				option("x-once", "3", { appendAction: 1 }),
				option("x-set", "4", { appendAction: 2 }),
			],
		}),
	"/pseudo": () => ok({ headers: [option(":path", "/elsewhere"), option("host", "other.test")] }),
	"/query": () =>
		ok({
			queryParametersToSet: [
				{ key: "a", value: "new" },
				{ key: "c", value: "3" },
			],
			queryParametersToRemove: ["b"],
		}),
	"/metadata": () => ok({}, { dynamicMetadata: { "x-verdict": "good", n: 1 } }),
	"/no": () => denied({ status: { code: 401 }, headers: [option("x-reason", "because"), option("www-authenticate", "Basic")], body: "go away" }),
	"/typed": () => denied({ status: { code: 200 }, headers: [option("content-type", "application/json")], body: "{}" }),
	"/no-status": () => denied({ headers: [option("x-a", "1", { append: true }), option("x-a", "2", { append: true })] }),
	"/no-response": () => denied(undefined),
	"/told": () => denied({}, { dynamicMetadata: { "x-verdict": "bad" } }),
	"/broken": () => ({ code: 13, details: "no" }),
	"/away": () => ({ code: 14, details: "not here" }),
	"/silent": () => "silence",
};

const service = await startService("/envoy.service.auth.v3.Authorization/Check", CheckRequest, CheckResponse, (request, metadata) => {
	const path = (request.attributes?.request?.http?.path ?? "").split("?")[0] as string;
	return (answers[path] ?? answers["/bare"])?.(describe(request, metadata.get("x-meta"))) ?? "silence";
});
after(() => service.stop());

/** Everything that both proxies must say alike. */
function describe({ attributes }: CheckRequest, metadata: readonly unknown[]): string {
	const http = attributes?.request?.http;
	const peer = (one: AttributeContext_Peer | undefined) => ({ ...one, address: one?.address?.socketAddress?.address });
	const clean = (name: string, value: string) => (name === "x-request-id" || name === "x-case" ? "-" : value);
	const headers = Object.entries(http?.headers ?? {}).map(([name, value]) => `${name}=${clean(name, value)}`);
	const raw = (http?.headerMap?.headers ?? []).map(({ key, value, rawValue }) => `${key}=${clean(key, value)}/${clean(key, Buffer.from(rawValue).toString())}`);
	const told = {
		source: peer(attributes?.source),
		destination: peer(attributes?.destination),
		hasTime: (attributes?.request?.time?.seconds ?? 0n) > 1_700_000_000n,
		http: {
			...http,
			id: (http?.id ?? "") !== "",
			headers: headers.toSorted(),
			headerMap: raw.toSorted(),
			size: String(http?.size),
			rawBody: Buffer.from(http?.rawBody ?? "").toString(),
		},
		extensions: Object.entries(attributes?.contextExtensions ?? {}).toSorted(([a], [b]) => (a < b ? -1 : 1)),
		context: attributes?.metadataContext?.filterMetadata,
		tls: attributes?.tlsSession,
		metadata,
	};
	return JSON.stringify(told);
}

const authz = (config: Json = {}, more: Json = {}) =>
	httpFilter("envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthz", {
		transport_api_version: "V3",
		grpc_service: { envoy_grpc: { cluster_name: "authz" }, timeout: "0.5s", ...more },
		...config,
	});
const list = (...exact: readonly string[]) => ({ patterns: exact.map((value) => ({ exact: value })) });
const perRoute = (config: Json) => ({
	"envoy.filters.http.ext_authz": { "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthzPerRoute", ...config },
});
const route = (prefix: string, more: Json = {}) => ({ match: { prefix }, route: { cluster: "echo" }, ...more });

const scenarios: Readonly<Record<string, Scenario>> = {
	"gRPC authorization": {
		filters: [authz({ metadata_context_namespaces: ["none"] }, { initial_metadata: [{ key: "X-Meta", value: "m" }] })],
		requests: {
			allowed: get("/ok?q=1", "x-user: u\r\nx-user: v\r\nauthorization: Basic abc\r\nx-envoy-auth-partial-body: mine\r\n"),
			...Object.fromEntries(
				["/bare", "/nothing", "/pseudo", "/query?a=1&b=2", "/metadata", "/no", "/typed", "/no-status", "/no-response", "/told", "/broken", "/away"].map(
					(path) => [path, get(path)],
				),
			),
			changed: get("/change", "x-set: old\r\nx-append: old\r\nx-gone: g\r\nx-also: a\r\n"),
			"denied gRPC": post("/no", "", "content-type: application/grpc\r\n"),
			"with a body": post("/ok", "hello"),
		},
	},
	"gRPC authorization that may fail": {
		filters: [authz({ failure_mode_allow: true, failure_mode_allow_header_add: true })],
		requests: { broken: get("/broken"), denied: get("/no") },
	},
	// Of a cluster of its own: whether the server or the proxy is first to end the call is a race.
	"gRPC authorization by silence": { filters: [authz({}, { envoy_grpc: { cluster_name: "silent" }, timeout: "0.1s" })], requests: { one: get("/silent") } },
	"gRPC authorization of nobody": {
		filters: [authz({ status_on_error: { code: "BadGateway" } }, { envoy_grpc: { cluster_name: "nobody" } })],
		requests: { one: get("/ok") },
	},
	"gRPC authorization with some headers": {
		filters: [authz({ allowed_headers: list("x-user", ":path"), disallowed_headers: list("x-other") })],
		requests: { one: get("/ok", "x-user: u\r\nx-other: o\r\nx-third: t\r\n") },
	},
	"gRPC authorization without some headers": {
		filters: [authz({ disallowed_headers: list("x-other") })],
		requests: { one: get("/ok", "x-user: u\r\nx-other: o\r\n") },
	},
	"gRPC authorization with raw headers": { filters: [authz({ encode_raw_headers: true })], requests: { one: get("/ok", "x-user: u\r\nx-user: v\r\n") } },
	"gRPC authorization with bodies": {
		filters: [authz({ with_request_body: { max_request_bytes: 8, allow_partial_message: true } })],
		requests: { small: post("/ok", "hello"), none: get("/ok"), "a part": post("/ok", "hello hello") },
	},
	"gRPC authorization with bytes": {
		filters: [authz({ with_request_body: { max_request_bytes: 8, pack_as_bytes: true } })],
		requests: { small: post("/ok", "hello"), large: post("/ok", "hello hello") },
	},
	"gRPC authorization by route": {
		filters: [authz()],
		host: {
			typed_per_filter_config: perRoute({ check_settings: { context_extensions: { a: "host", b: "host" } } }),
			routes: [
				route("/ok", { typed_per_filter_config: perRoute({ check_settings: { context_extensions: { b: "route", c: "route" } } }) }),
				route("/skip", { typed_per_filter_config: perRoute({ disabled: true }) }),
				route("/"),
			],
		},
		requests: { extended: get("/ok"), "not asked": get("/skip") },
	},
};

runScenarios("ext_authz over gRPC", scenarios, {
	stats: /ext_authz\.|cluster\.(authz|nobody)\.(upstream_rq_(total|completed|[0-9x]*|active)|upstream_cx_(total|http2_total|none_healthy)):/,
	log: { verdict: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:x-verdict)%" },
	clusters: () => [grpcCluster("authz", service.port), grpcCluster("silent", service.port)],
});
