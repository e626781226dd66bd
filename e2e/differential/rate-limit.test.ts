import { after } from "node:test";
import { RateLimitRequest, RateLimitResponse } from "@weft/xds/generated/envoy/service/ratelimit/v3/rls.ts";
import { httpFilter } from "./config.ts";
import { type Answer, grpcCluster, startService } from "./grpc-services.ts";
import { get, post, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const ok = 1;
const over = 2;
const said = (overallCode: 0 | 1 | 2, more: object = {}) => RateLimitResponse.fromPartial({ overallCode, ...more });
const status = (code: 1 | 2, requestsPerUnit: number, unit: 1 | 2 | 3, limitRemaining: number, name = "") => ({
	code,
	currentLimit: { requestsPerUnit, unit, name },
	limitRemaining,
	durationUntilReset: { seconds: 7n, nanos: 1 },
});

/** By the value of the descriptor entry `answer`. */
const answers: Readonly<Record<string, (seen: string) => Answer<RateLimitResponse>>> = {
	ok: (seen) => said(ok, { requestHeadersToAdd: [{ key: "X-Seen", value: seen }], responseHeadersToAdd: [{ key: "x-told", value: "1" }] }),
	over: () => said(over, { responseHeadersToAdd: [{ key: "x-told", value: "2" }], rawBody: Buffer.from("slow down") }),
	quota: () => said(ok, { statuses: [status(ok, 10, 2, 5, "ten"), { code: ok }, status(ok, 2, 1, 1)] }),
	"over quota": () => said(over, { statuses: [status(over, 10, 3, 0)] }),
	metadata: () => said(ok, { dynamicMetadata: { verdict: "good" } }),
	unknown: () => said(0),
	broken: () => ({ code: 13, details: "no" }),
};

const service = await startService("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit", RateLimitRequest, RateLimitResponse, (request) => {
	const entries = request.descriptors.flatMap((descriptor) => descriptor.entries);
	const wanted = entries.find(({ key }) => key === "answer")?.value ?? "ok";
	return (answers[wanted] ?? answers["ok"])?.(describe(request)) ?? "silence";
});
after(() => service.stop());

const describe = ({ domain, descriptors, hitsAddend }: RateLimitRequest): string =>
	`${domain} ${hitsAddend} ${descriptors.map(({ entries }) => `[${entries.map(({ key, value }) => `${key}=${value}`).join(",")}]`).join("")}`;

const limit = (config: Json = {}, cluster = "limits") =>
	httpFilter("envoy.filters.http.ratelimit", "ratelimit.v3.RateLimit", {
		domain: "d",
		timeout: "1s",
		rate_limit_service: { transport_api_version: "V3", grpc_service: { envoy_grpc: { cluster_name: cluster } } },
		...config,
	});
const byHeader = { actions: [{ request_headers: { header_name: "x-answer", descriptor_key: "answer" } }] };
const generic = (descriptor_value: string, more: Json = {}) => ({ actions: [{ generic_key: { descriptor_value } }], ...more });
const route = (prefix: string, rate_limits: readonly Json[], more: Json = {}, action: Json = {}) => ({
	match: { prefix },
	route: { cluster: "echo", rate_limits, ...action },
	...more,
});
const perRoute = (config: Json) => ({
	typed_per_filter_config: {
		"envoy.filters.http.ratelimit": { "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute", ...config },
	},
});
const host = { routes: [route("/", [byHeader])] };
const asked = (answer: string) => get("/", `x-answer: ${answer}\r\n`);

const scenarios: Readonly<Record<string, Scenario>> = {
	"limits by a service": {
		filters: [limit()],
		host,
		requests: {
			"not described": get("/"),
			...Object.fromEntries(["ok", "over", "quota", "over quota", "metadata", "unknown", "broken"].map((answer) => [answer, asked(answer)])),
			"over, gRPC": post("/a.B/c", "", "content-type: application/grpc\r\nx-answer: over\r\n"),
		},
	},
	"limits with headers": {
		filters: [limit({ enable_x_ratelimit_headers: "DRAFT_VERSION_03" })],
		host,
		requests: { ok: asked("ok"), quota: asked("quota"), over: asked("over quota") },
	},
	"limits that deny on failure": {
		filters: [limit({ failure_mode_deny: true, stat_prefix: "mine" })],
		host,
		requests: { broken: asked("broken"), ok: asked("ok") },
	},
	"limits that deny on failure otherwise": {
		filters: [limit({ failure_mode_deny: true, status_on_error: { code: "BadGateway" } }, "nobody")],
		host,
		requests: { nobody: asked("ok") },
	},
	"limits of their own kind": {
		filters: [
			limit({
				rate_limited_status: { code: "ServiceUnavailable" },
				disable_x_envoy_ratelimited_header: true,
				rate_limited_as_resource_exhausted: true,
				response_headers_to_add: [{ header: { key: "x-limited", value: "yes" } }],
			}),
		],
		host,
		requests: { over: asked("over"), ok: asked("ok"), "over, gRPC": post("/a.B/c", "", "content-type: application/grpc\r\nx-answer: over\r\n") },
	},
	"limits of what comes from outside": {
		filters: [limit({ request_type: "external" })],
		host,
		requests: { over: asked("over"), internal: get("/", "x-answer: over\r\nx-envoy-internal: true\r\n") },
	},
	"limits by stage and host": {
		filters: [limit({ stage: 1 })],
		host: {
			rate_limits: [generic("host", { stage: 1 }), generic("never")],
			routes: [
				route("/none", []),
				route("/own", [generic("route", { stage: 1 })]),
				route("/both", [generic("route", { stage: 1 })], {}, { include_vh_rate_limits: true }),
				route("/include", [generic("route", { stage: 1 })], perRoute({ vh_rate_limits: "INCLUDE" })),
				route("/ignore", [], perRoute({ vh_rate_limits: "IGNORE" })),
				route("/domain", [], perRoute({ domain: "other" })),
				route("/", [generic("route")]),
			],
		},
		requests: Object.fromEntries(["/none", "/own", "/both", "/include", "/ignore", "/domain", "/stage"].map((path) => [path, get(path)])),
	},
	"limits by everything": {
		filters: [limit()],
		host: {
			routes: [
				route("/", [
					{ actions: [{ source_cluster: {} }, { destination_cluster: {} }, { remote_address: {} }] },
					{ actions: [{ header_value_match: { descriptor_value: "m", headers: [{ name: "x-a", present_match: true }] } }] },
					{ actions: [{ request_headers: { header_name: ":path", descriptor_key: "p" } }, { generic_key: { descriptor_key: "k", descriptor_value: "v" } }] },
				]),
			],
		},
		requests: { one: get("/x"), two: get("/y", "x-a: 1\r\n") },
	},
	"limits by ranges, parameters and metadata": {
		filters: [limit()],
		host: {
			routes: [
				route(
					"/",
					[
						{ actions: [{ masked_remote_address: { v4_prefix_mask_len: 12, v6_prefix_mask_len: 44 } }] },
						{ actions: [{ masked_remote_address: {} }] },
						{ actions: [{ query_parameter_value_match: { descriptor_value: "a", query_parameters: [{ name: "a", string_match: { prefix: "1" } }] } }] },
						{
							actions: [
								{
									query_parameter_value_match: {
										descriptor_key: "absent",
										descriptor_value: "b",
										query_parameters: [{ name: "b", present_match: false }],
									},
								},
							],
						},
						{
							actions: [
								{ query_parameter_value_match: { descriptor_value: "not a", expect_match: false, query_parameters: [{ name: "a", present_match: true }] } },
							],
						},
						{ actions: [{ metadata: { descriptor_key: "plan", metadata_key: { key: "shop", path: [{ key: "plan" }] }, source: "ROUTE_ENTRY" } }] },
					],
					{ metadata: { filter_metadata: { shop: { plan: "gold" } } } },
				),
			],
		},
		requests: {
			none: get("/x"),
			"a parameter": get("/x?a=12"),
			"another value": get("/x?a=2&b"),
			"version 4": get("/x", "x-forwarded-for: 10.217.3.4\r\n"),
			"version 6": get("/x", "x-forwarded-for: 2001:db8:ffff:1::7\r\n"),
			"version 6, mostly zeros": get("/x", "x-forwarded-for: fe80::1:0:0:7\r\n"),
		},
	},
};

runScenarios("rate limits by a service", scenarios, {
	stats: /ratelimit\.|cluster\.echo\.upstream_rq_(completed|[0-9x]+):|cluster\.limits\.upstream_(rq_(total|completed|[0-9x]+|active)|cx_http2_total):/,
	log: { verdict: "%DYNAMIC_METADATA(envoy.filters.http.ratelimit:verdict)%" },
	clusters: () => [grpcCluster("limits", service.port)],
});
