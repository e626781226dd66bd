import { headerOf, type SeenRequest } from "../../security/request-reader.ts";
import { hangUp } from "../answers.ts";
import { extension, httpListener, router, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

/** Long before an attempt is slow, and long after; ms. */
const tryMs = 200;
const onTimeout = { hedge_on_per_try_timeout: true };
const policy = (more: object = {}) => ({
	retry_on: "5xx",
	num_retries: 1,
	per_try_timeout: `${tryMs / 1000}s`,
	retry_back_off: { base_interval: "0.001s" },
	...more,
});
const hedged = (name: string, retry: object = {}, more: object = {}) => ({
	name,
	match: { path: `/${name}` },
	route: { cluster: "a", timeout: "1.5s", hedge_policy: onTimeout, retry_policy: policy(retry), ...more },
});

const routes = [
	hedged("one"),
	hedged("two", { num_retries: 2 }),
	hedged("none", { num_retries: 0 }),
	hedged("other-conditions", { retry_on: "retriable-4xx" }),
	hedged("no-conditions", { retry_on: "" }),
	hedged("overflow", {}, { cluster: "no-retries" }),
	hedged("pending-overflow", {}, { cluster: "no-queue" }),
	hedged("request-overflow", {}, { cluster: "one-request" }),
	hedged("idle", { per_try_timeout: undefined, per_try_idle_timeout: "0.2s" }),
	hedged("idle-body", { per_try_timeout: undefined, per_try_idle_timeout: "0.2s" }),
	hedged("short", { num_retries: 2 }, { timeout: "0.5s" }),
	hedged("outlier", {}, { cluster: "watched" }),
	hedged("not-here", {}, { hedge_policy: { hedge_on_per_try_timeout: false } }),
	hedged("unsaid", {}, { hedge_policy: undefined }),
	hedged("slow-back-off", { retry_back_off: { base_interval: "100000s", max_interval: "100000s" } }),
	{
		name: "plain",
		match: { path: "/plain" },
		route: {
			cluster: "a",
			timeout: "0.3s",
			retry_policy: { retry_on: "5xx", num_retries: 1, retry_back_off: { base_interval: "100000s", max_interval: "100000s" } },
		},
	},
	{ name: "rest", match: { prefix: "/" }, route: { cluster: "a" } },
];

interface Later {
	readonly ms: number;
	/** undefined: it hangs up. */
	readonly bytes?: string;
}

/** What the first attempts are answered, and after how long; those behind them at once. undefined: nothing, ever. */
const answers =
	(...planned: readonly (Later | undefined)[]) =>
	(seen: SeenRequest, socket: { write(bytes: string): unknown; destroy(): unknown }) => {
		const at = Number(headerOf(seen, "x-envoy-attempt-count") ?? "1") - 1;
		if (at >= planned.length) return { bytes: reply(200, ["x-attempt: later"], "fine") };
		const answer = planned[at];
		if (answer === undefined) return undefined;
		const { bytes, ms } = answer;
		if (ms === 0) return bytes === undefined ? hangUp : { bytes };
		setTimeout(() => (bytes === undefined ? socket.destroy() : socket.write(bytes)), ms);
		return undefined;
	};
const ok = (name: string) => reply(200, [`x-attempt: ${name}`], `by ${name}`);
const r500 = reply(500, ["x-attempt: bad"], "no");
const inside = { listener: "internal" };

const cases: readonly Case[] = [
	{ name: "in time", send: get("/one") },
	{ name: "in time, and told how long it may take", listener: "told", send: get("/one") },
	{ name: "without hedging, and told how long an attempt may take", listener: "told", send: get("/not-here") },
	{ name: "the second answers", send: get("/one"), reply: answers(undefined) },
	{ name: "the first answers after all", send: get("/one"), reply: answers({ ms: 300, bytes: ok("first") }, undefined) },
	{
		name: "the first answers after all, with a body in pieces",
		send: get("/one"),
		reply: answers({ ms: 300, bytes: reply(200, ["x-attempt: first", "trailer: x"], "b".repeat(3000)) }, undefined),
	},
	{ name: "the second fails, the first answers", send: get("/one"), reply: answers({ ms: 500, bytes: ok("first") }, { ms: 0, bytes: r500 }) },
	{ name: "the second hangs up, the first answers", send: get("/one"), reply: answers({ ms: 500, bytes: ok("first") }, { ms: 50 }) },
	{ name: "the first fails, the second answers", send: get("/one"), reply: answers({ ms: 300, bytes: r500 }, { ms: 300, bytes: ok("second") }) },
	{ name: "the first hangs up, the second answers", send: get("/one"), reply: answers({ ms: 300 }, { ms: 300, bytes: ok("second") }) },
	{ name: "both fail", send: get("/one"), reply: answers({ ms: 300, bytes: r500 }, { ms: 300, bytes: r500 }) },
	{ name: "both hang up", send: get("/one"), reply: answers({ ms: 300 }, { ms: 300 }) },
	{ name: "the first fails, the second hangs up", send: get("/one"), reply: answers({ ms: 300, bytes: r500 }, { ms: 300 }) },
	{ name: "a 404 is an answer", send: get("/one"), reply: answers({ ms: 300, bytes: reply(404, [], "not") }, undefined) },
	{ name: "nobody answers", send: get("/one"), reply: answers(undefined, undefined) },
	{ name: "three beside each other: the third", send: get("/two"), reply: answers(undefined, undefined) },
	{ name: "three beside each other: the second", send: get("/two"), reply: answers(undefined, { ms: 500, bytes: ok("second") }, undefined) },
	{ name: "three beside each other: the first", send: get("/two"), reply: answers({ ms: 700, bytes: ok("first") }, undefined, undefined) },
	{ name: "three beside each other: two fail", send: get("/two"), reply: answers({ ms: 800, bytes: ok("first") }, { ms: 300, bytes: r500 }, { ms: 100 }) },
	{ name: "three beside each other: nobody", send: get("/two"), reply: answers(undefined, undefined, undefined) },
	{ name: "three beside each other: a failure and its retry", send: get("/two"), reply: answers(undefined, { ms: 50, bytes: r500 }) },
	{ name: "no retries", send: get("/none"), reply: answers({ ms: 300, bytes: ok("first") }) },
	{ name: "no retries, nobody answers", send: get("/none"), reply: answers(undefined) },
	{ name: "whatever the conditions", send: get("/other-conditions"), reply: answers(undefined) },
	{ name: "no conditions at all", send: get("/no-conditions"), reply: answers({ ms: 300, bytes: ok("first") }) },
	{ name: "by the breaker of retries", send: get("/overflow"), reply: answers({ ms: 300, bytes: ok("first") }) },
	{ name: "no room for any attempt", send: get("/pending-overflow") },
	{ name: "by the breaker of requests", send: get("/request-overflow"), reply: answers({ ms: 300, bytes: ok("first") }) },
	{ name: "silent attempts", send: get("/idle"), reply: answers(undefined) },
	{ name: "silent after the head", send: get("/idle-body"), reply: answers({ ms: 50, bytes: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab" }), quietMs: 900 },
	{ name: "the request's time runs out", send: get("/short"), reply: answers(undefined, undefined, undefined) },
	{ name: "a slow host is judged once", send: get("/outlier"), reply: answers({ ms: 300, bytes: ok("first") }, undefined) },
	{ name: "not on this route", send: get("/not-here"), reply: answers(undefined) },
	{ name: "not on this route, and slow", send: get("/not-here"), reply: answers({ ms: 300, bytes: ok("first") }, { ms: 100, bytes: ok("second") }) },
	{ name: "an answer while the retry waits", send: get("/slow-back-off"), reply: answers({ ms: 300, bytes: ok("first") }) },
	{ name: "a failure while the retry waits", send: get("/slow-back-off"), reply: answers({ ms: 300, bytes: r500 }), quietMs: 2_500 },
	{ name: "a hang-up while the retry waits", send: get("/slow-back-off"), reply: answers({ ms: 300 }), quietMs: 2_500 },
	{ name: "no time left while a retry waits", send: get("/plain"), reply: answers({ ms: 0, bytes: r500 }) },
	{ name: "a body goes to both", send: request("POST", "/one", [], "abc".repeat(1000)), reply: answers(undefined) },
	{ name: "a body goes to both, and the first answers", send: request("POST", "/one", [], "abc"), reply: answers({ ms: 300, bytes: ok("first") }, undefined) },
	{
		name: "a chunked body with trailers goes to both",
		send: "POST /one HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
		reply: answers(undefined),
	},
	{ name: "a body too large to be kept", send: request("POST", "/one", [], "a".repeat(100_000)), reply: answers({ ms: 300, bytes: ok("first") }) },
	{
		name: "an attempt that is given up, of a body too large to be kept",
		send: request("POST", "/not-here", [], "a".repeat(100_000)),
		reply: answers(undefined),
	},
	{ name: "HEAD", send: request("HEAD", "/one"), reply: answers({ ms: 300, bytes: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" }, undefined) },
	{
		name: "an interim answer settles it",
		send: get("/one"),
		reply: answers({ ms: 300, bytes: "HTTP/1.1 103 Hints\r\n\r\n" }, { ms: 400, bytes: ok("second") }),
	},
	{ name: "the virtual host's word", listener: "host-policy", send: get("/unsaid"), reply: answers({ ms: 300, bytes: ok("first") }, undefined) },
	{ name: "the route's word instead of the virtual host's", listener: "host-policy", send: get("/not-here"), reply: answers(undefined) },
	{
		...inside,
		name: "inside: asked for",
		send: get("/not-here", "x-envoy-hedge-on-per-try-timeout: true"),
		reply: answers({ ms: 300, bytes: ok("first") }, undefined),
	},
	{ ...inside, name: "inside: not wanted", send: get("/one", "x-envoy-hedge-on-per-try-timeout: false"), reply: answers(undefined) },
	{
		...inside,
		name: "inside: nonsense",
		send: get("/one", "x-envoy-hedge-on-per-try-timeout: maybe"),
		reply: answers({ ms: 300, bytes: ok("first") }, undefined),
	},
	{ name: "outside: it is not for them to ask", send: get("/not-here", "x-envoy-hedge-on-per-try-timeout: true"), reply: answers(undefined) },
	{
		...inside,
		name: "inside: another answer to a timeout",
		send: get("/short", "x-envoy-upstream-rq-timeout-alt-response: 1"),
		reply: answers(undefined, undefined, undefined),
	},
	{ name: "the next request on the connection", send: [get("/one"), get("/one")], reply: answers({ ms: 300, bytes: ok("first") }, undefined) },
];

export const hedging: Suite = {
	name: "hedging",
	upstreams: ["a"],
	listeners: ["main", "internal", "host-policy", "told"],
	log: { long: "%RESPONSE_FLAGS_LONG%", host: "%UPSTREAM_CLUSTER%" },
	resources: ({ upstream }, accessLog) => {
		const port = upstream["a"] as number;
		const virtualHost = { name: "all", domains: ["*"], include_request_attempt_count: true, include_attempt_count_in_response: true, routes };
		const listener = (name: string, host: object = {}, manager: object = {}) =>
			httpListener(
				name,
				{
					access_log: accessLog,
					// What is left for an attempt is never the same.
					http_filters: [extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router", { suppress_envoy_headers: true })],
					delayed_close_timeout: "0.01s",
					route_config: { name: "r", virtual_hosts: [{ ...virtualHost, ...host }] },
					...manager,
				},
				{ per_connection_buffer_limit_bytes: 32_768 },
			);
		const thresholds = (limits: object) => ({ circuit_breakers: { thresholds: [limits] } });
		return {
			listeners: [
				listener("main"),
				listener("told", {}, { http_filters: [router] }),
				listener("internal", {}, { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] } }),
				listener("host-policy", { hedge_policy: onTimeout }),
			],
			clusters: [
				staticCluster("a", port),
				staticCluster("no-retries", port, thresholds({ max_retries: 0 })),
				staticCluster("no-queue", port, thresholds({ max_pending_requests: 0 })),
				staticCluster("one-request", port, thresholds({ max_requests: 1 })),
				staticCluster("watched", port, {
					outlier_detection: {
						interval: "60s",
						base_ejection_time: "60s",
						max_ejection_percent: 100,
						consecutive_5xx: 9,
						consecutive_local_origin_failure: 2,
						split_external_local_origin_errors: true,
					},
				}),
			],
		};
	},
	cases,
};
