import { httpListener, staticCluster } from "../config.ts";
import type { Answer } from "../../security/upstream.ts";
import { first, hangUp } from "../answers.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const forward = (name: string, route: object, match: object = { prefix: `/${name}` }) => ({ name, match, route: { cluster: "a", ...route } });
const retry = (name: string, policy: object, more: object = {}) => forward(name, { retry_policy: policy, ...more });

const routes = [
	forward("timeout", { timeout: "0.15s" }),
	forward("late", { timeout: "0.4s" }),
	forward("no-timeout", { timeout: "0s", idle_timeout: "0.15s" }),
	retry("per-try", { retry_on: "5xx", num_retries: 1, per_try_timeout: "0.1s" }),
	retry("per-try-over", { retry_on: "5xx", num_retries: 5, per_try_timeout: "0.1s" }, { timeout: "0.25s" }),
	forward("max-duration", { max_stream_duration: { max_stream_duration: "0.15s" } }),
	forward("beside-timeout", { timeout: "0.15s", max_stream_duration: { max_stream_duration: "2s" } }),
	forward("istio-timeout", { timeout: "0.15s", max_stream_duration: { max_stream_duration: "2s", grpc_timeout_header_max: "0s" } }),
	forward("istio-default", { timeout: "0.15s", max_stream_duration: { grpc_timeout_header_max: "0s" } }),
	forward("deadline", { max_stream_duration: { grpc_timeout_header_max: "0.2s", grpc_timeout_header_offset: "0.05s" } }),
	forward("offset-alone", { max_stream_duration: { grpc_timeout_header_offset: "0.05s" } }),
	forward("grpc-max", { timeout: "5s", max_grpc_timeout: "0.3s" }),
	retry("5xx", { retry_on: "5xx", num_retries: 2 }),
	retry("gateway", { retry_on: "gateway-error", num_retries: 2 }),
	retry("connect", { retry_on: "connect-failure", num_retries: 2 }, { cluster: "down" }),
	retry("reset-before", { retry_on: "reset-before-request", num_retries: 2 }),
	retry("reset", { retry_on: "reset", num_retries: 2 }),
	retry("4xx", { retry_on: "retriable-4xx", num_retries: 1 }),
	retry("codes", { retry_on: "retriable-status-codes", retriable_status_codes: [418, 404], num_retries: 1 }),
	retry("headers", { retry_on: "retriable-headers", retriable_headers: [{ name: "x-again", string_match: { exact: "yes" } }], num_retries: 1 }),
	retry("request-headers", {
		retry_on: "5xx",
		num_retries: 1,
		retriable_request_headers: [{ name: "x-safe", present_match: true }],
	}),
	retry("ratelimited", { retry_on: "envoy-ratelimited", num_retries: 1 }),
	retry("grpc", { retry_on: "cancelled,unavailable,deadline-exceeded,resource-exhausted,internal", num_retries: 1 }),
	retry("two-kinds", { retry_on: "connect-failure,retriable-4xx", num_retries: 1 }),
	retry("none", { retry_on: "5xx", num_retries: 0 }),
	retry("budget", { retry_on: "5xx", num_retries: 3 }, { cluster: "no-retries" }),
	retry("backoff", { retry_on: "5xx", num_retries: 1, retry_back_off: { base_interval: "0.001s", max_interval: "0.002s" } }),
	retry("body-too-large", { retry_on: "5xx", num_retries: 1 }),
	forward("mirror", { request_mirror_policies: [{ cluster: "b" }] }),
	forward("unmirrored", { request_mirror_policies: [{ cluster: "b", runtime_fraction: { default_value: { numerator: 0 } } }] }),
	forward("down", { cluster: "down" }),
	forward("empty", { cluster: "empty" }),
	forward("no-requests", { cluster: "no-requests" }),
	forward("no-pending", { cluster: "no-pending" }),
	forward("maintained", { cluster: "maintained" }),
	forward("ejecting", { cluster: "ejecting" }),
	forward("rest", {}, { prefix: "/" }),
];

const always = (answer: string | Answer) => () => (typeof answer === "string" ? { bytes: answer } : answer);
const never = () => undefined;
const [r500, r503, r502, r404, r409, r418] = [500, 503, 502, 404, 409, 418].map((status) => reply(status, [], "no")) as [
	string,
	string,
	string,
	string,
	string,
	string,
];
const grpcStatus = (status: number) => reply(200, ["content-type: application/grpc", `grpc-status: ${status}`]);
const grpc = (path: string, ...lines: readonly string[]) => request("POST", path, ["content-type: application/grpc", "te: trailers", ...lines], "12345");
const half = "POST /slow-body HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc";

const cases: readonly Case[] = [
	{ name: "route timeout", send: get("/timeout"), reply: never },
	{ name: "route timeout, gRPC", send: grpc("/timeout"), reply: never },
	{ name: "route timeout asked for by header", send: get("/x", "x-envoy-upstream-rq-timeout-ms: 120"), reply: never, quietMs: 400 },
	{ name: "alternative response of a timeout", send: get("/timeout", "x-envoy-upstream-rq-timeout-alt-response: 1"), reply: never },
	{ name: "idle timeout of the route", send: get("/no-timeout"), reply: never },
	{
		name: "route timeout after the head",
		send: get("/late"),
		reply: always("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc"),
		quietMs: 900,
	},
	{ name: "per try timeout, then fine", send: get("/per-try"), reply: first(undefined) },
	{ name: "per try timeout, twice", send: get("/per-try"), reply: never },
	{ name: "route timeout ends retries", send: get("/per-try-over"), reply: never },
	{ name: "max stream duration of the route", send: get("/max-duration"), reply: never },
	{ name: "max stream duration beside a timeout", send: get("/beside-timeout"), reply: never, quietMs: 600 },
	...["istio-timeout", "istio-default"].map(
		(name): Case => ({ name: `${name}: max stream duration beside a timeout`, send: get(`/${name}`), reply: never, quietMs: 600 }),
	),
	{ name: "grpc-timeout", send: grpc("/grpc-max", "grpc-timeout: 120m"), reply: never },
	{ name: "grpc-timeout over the limit", send: grpc("/grpc-max", "grpc-timeout: 10S"), reply: never },
	{ name: "a caller's deadline", send: grpc("/istio-default", "grpc-timeout: 120m"), reply: never },
	{ name: "a caller's deadline over the limit", send: grpc("/deadline", "grpc-timeout: 10S"), reply: never },
	{ name: "a caller's deadline that is less than the offset", send: grpc("/deadline", "grpc-timeout: 30m"), reply: never },
	{ name: "a deadline of what is not gRPC", send: get("/deadline", "grpc-timeout: 120m"), reply: never },
	{ name: "a deadline of what is not gRPC, beside the route's limit", send: get("/beside-timeout", "grpc-timeout: 10S") },
	{ name: "gRPC without a deadline", send: grpc("/deadline") },
	{ name: "gRPC without a deadline, beside the route's limit", send: grpc("/beside-timeout") },
	{ name: "gRPC without a deadline, by the manager's limit", send: grpc("/x"), listener: "short-stream" },
	{ name: "a deadline that is none", send: get("/deadline", "grpc-timeout: soon") },
	{ name: "a deadline in time", send: grpc("/deadline", "grpc-timeout: 10S") },
	{ name: "a deadline with an offset alone", send: grpc("/offset-alone", "grpc-timeout: 10S") },
	{ name: "a deadline without a limit", send: grpc("/istio-default", "grpc-timeout: 10S") },
	{ name: "a deadline in years", send: grpc("/istio-default", "grpc-timeout: 99999999H") },
	{ name: "a deadline in a day", send: grpc("/istio-default", "grpc-timeout: 30H") },
	{ name: "a deadline beside the route's limit", send: grpc("/beside-timeout", "grpc-timeout: 10S") },
	{ name: "a deadline beside the manager's limit", send: grpc("/x", "grpc-timeout: 10S"), listener: "short-stream" },
	{ name: "no body comes", send: half, listener: "short", quietMs: 600 },
	{ name: "no head comes", send: "GET / HTTP/1.1\r\nho", listener: "short", quietMs: 600 },
	{ name: "nothing comes on a kept connection", send: [get("/x"), ""], listener: "short-idle", quietMs: 500 },
	{ name: "upstream is slower than the stream may be idle", send: get("/x"), listener: "short-idle-stream", reply: never, quietMs: 600 },
	{ name: "the manager's max stream duration", send: get("/x"), listener: "short-stream", reply: never, quietMs: 600 },
	{ name: "5xx, then fine", send: get("/5xx"), reply: first(r500) },
	{ name: "5xx twice, then fine", send: get("/5xx"), reply: first(r500, r503) },
	{ name: "5xx always", send: get("/5xx"), reply: always(r503) },
	{ name: "5xx with a body of the request", send: request("POST", "/5xx", [], "body"), reply: first(r500) },
	{ name: "5xx: 404 is none", send: get("/5xx"), reply: first(r404) },
	{ name: "5xx: a hang-up is one", send: get("/5xx"), reply: first(hangUp) },
	{ name: "5xx: hang-ups only", send: get("/5xx"), reply: always(hangUp) },
	{ name: "gateway-error: 502", send: get("/gateway"), reply: first(r502) },
	{ name: "gateway-error: 500 is none", send: get("/gateway"), reply: first(r500) },
	{ name: "gateway-error: a hang-up is one", send: get("/gateway"), reply: first(hangUp) },
	{ name: "connect-failure", send: get("/connect") },
	{ name: "connect-failure, by POST", send: request("POST", "/connect", [], "abc") },
	{ name: "reset", send: request("POST", "/reset", [], "abc"), reply: first(hangUp) },
	{ name: "reset: 500 is none", send: get("/reset"), reply: first(r500) },
	{ name: "reset-before-request: the request was sent", send: request("POST", "/reset-before", [], "abc"), reply: first(hangUp) },
	{ name: "retriable-4xx: 409", send: get("/4xx"), reply: first(r409) },
	{ name: "retriable-4xx: 404 is none", send: get("/4xx"), reply: first(r404) },
	{ name: "retriable-status-codes: 418", send: get("/codes"), reply: first(r418) },
	{ name: "retriable-status-codes: 500 is none", send: get("/codes"), reply: first(r500) },
	{ name: "retriable-headers", send: get("/headers"), reply: first(reply(200, ["x-again: yes"])) },
	{ name: "retriable-headers: another value", send: get("/headers"), reply: first(reply(200, ["x-again: no"])) },
	{ name: "retriable request headers: there", send: get("/request-headers", "x-safe: 1"), reply: first(r500) },
	{ name: "retriable request headers: missing", send: get("/request-headers"), reply: first(r500) },
	{ name: "envoy-ratelimited", send: get("/ratelimited"), reply: first(reply(429, ["x-envoy-ratelimited: true"])) },
	{ name: "5xx does not cover what is rate limited", send: get("/5xx"), reply: first(reply(503, ["x-envoy-ratelimited: true"])) },
	...[1, 4, 8, 13, 14, 2].map((status): Case => ({ name: `gRPC status ${status}`, send: grpc("/grpc"), reply: first(grpcStatus(status)) })),
	{ name: "two kinds: 409", send: get("/two-kinds"), reply: first(r409) },
	{ name: "no retries", send: get("/none"), reply: first(r500) },
	{ name: "no retries left in the cluster", send: get("/budget"), reply: first(r500) },
	{ name: "own back-off", send: get("/backoff"), reply: first(r500) },
	{ name: "asked for by a client from outside", send: get("/x", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 2"), reply: first(r500) },
	{
		name: "asked for by a client from inside",
		listener: "internal",
		send: get("/x", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 2"),
		reply: first(r500, r500),
	},
	{
		name: "asked for by status from inside",
		listener: "internal",
		send: get("/x", "x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 404"),
		reply: first(r404),
	},
	{
		name: "asked for by header from inside",
		listener: "internal",
		send: get("/x", "x-envoy-retry-on: retriable-headers", "x-envoy-retriable-header-names: x-again"),
		reply: first(reply(200, ["x-again: 1"])),
	},
	{ name: "asked for by gRPC from inside", listener: "internal", send: grpc("/x", "x-envoy-retry-grpc-on: unavailable"), reply: first(grpcStatus(14)) },
	{ name: "timeout asked for from inside", listener: "internal", send: get("/x", "x-envoy-upstream-rq-timeout-ms: 120"), reply: never },
	{
		name: "per try timeout asked for from inside",
		listener: "internal",
		send: get("/x", "x-envoy-upstream-rq-per-try-timeout-ms: 100", "x-envoy-retry-on: 5xx"),
		reply: first(undefined),
	},
	{
		name: "no content for a timeout, from inside",
		listener: "internal",
		send: get("/x", "x-envoy-upstream-rq-timeout-ms: 100", "x-envoy-upstream-rq-timeout-alt-response: 1"),
		reply: never,
	},
	{ name: "a body larger than what is kept", send: request("POST", "/body-too-large", [], "x".repeat(5000)), listener: "small-buffer", reply: first(r500) },
	{ name: "mirrored", send: get("/mirror?q=1", "x-a: 1") },
	{ name: "mirrored with a body", send: request("POST", "/mirror", [], "body") },
	{ name: "mirrored, never", send: get("/unmirrored") },
	{ name: "nobody listens", send: get("/down") },
	{ name: "no endpoints", send: get("/empty") },
	{ name: "no endpoints, gRPC", send: grpc("/empty") },
	{ name: "no requests allowed", send: get("/no-requests") },
	{ name: "no requests may wait", send: get("/no-pending") },
	{ name: "no requests may wait, gRPC", send: grpc("/no-pending") },
	...[1, 2, 3, 4].map((i): Case => ({ name: `failure ${i} of a host that is ejected after three`, send: get("/ejecting"), reply: always(r503) })),
];

const virtualHost = { name: "all", domains: ["*"], include_request_attempt_count: true, routes };

export const resilience: Suite = {
	name: "resilience",
	upstreams: ["a", "b"],
	listeners: ["main", "internal", "short", "short-idle", "short-idle-stream", "short-stream", "small-buffer"],
	log: { long: "%RESPONSE_FLAGS_LONG%" },
	resources: ({ upstream, closed }, accessLog) => {
		const listener = (name: string, manager: object = {}, more: object = {}) =>
			httpListener(
				name,
				{ access_log: accessLog, delayed_close_timeout: "0.01s", route_config: { name: "r", virtual_hosts: [virtualHost] }, ...manager },
				more,
			);
		const breaker = (thresholds: object) => ({ circuit_breakers: { thresholds: [thresholds] } });
		const port = upstream["a"] as number;
		return {
			listeners: [
				listener("main"),
				listener("internal", { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] } }),
				listener("short", { request_timeout: "0.2s", request_headers_timeout: "0.3s" }),
				listener("short-idle", { common_http_protocol_options: { idle_timeout: "0.2s" } }),
				listener("short-idle-stream", { stream_idle_timeout: "0.2s" }),
				listener("short-stream", { common_http_protocol_options: { max_stream_duration: "0.2s" } }),
				listener("small-buffer", {}, { per_connection_buffer_limit_bytes: 1024 }),
			],
			clusters: [
				staticCluster("a", port),
				staticCluster("b", upstream["b"] as number),
				staticCluster("down", closed),
				{ name: "empty", type: "STATIC", connect_timeout: "1s" },
				staticCluster("no-retries", port, breaker({ max_retries: 0 })),
				staticCluster("no-requests", port, breaker({ max_requests: 0 })),
				staticCluster("no-pending", port, breaker({ max_pending_requests: 0 })),
				staticCluster("maintained", port),
				staticCluster("ejecting", port, {
					outlier_detection: { consecutive_5xx: 3, interval: "60s", base_ejection_time: "60s", max_ejection_percent: 100 },
					common_lb_config: { healthy_panic_threshold: { value: 0 } },
				}),
			],
		};
	},
	cases,
};
