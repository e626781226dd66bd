import type { Socket } from "node:net";
import { headerOf } from "../../security/request-reader.ts";
import type { Responder } from "../../security/upstream.ts";
import { extension, httpListener, router, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

/** Long before an attempt is slow, and long after; ms. */
const tryMs = 400;
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
	route: { cluster: "a", timeout: "5s", hedge_policy: onTimeout, retry_policy: policy(retry), ...more },
});

const routes = [
	hedged("one"),
	hedged("two", { num_retries: 2 }),
	hedged("nobody", {}, { timeout: "0.7s" }),
	hedged("late", {}, { timeout: "1.2s" }),
	hedged("none", { num_retries: 0 }, { timeout: "0.8s" }),
	hedged("other-conditions", { retry_on: "retriable-4xx" }),
	hedged("no-conditions", { retry_on: "" }),
	hedged("overflow", {}, { cluster: "no-retries" }),
	hedged("pending-overflow", {}, { cluster: "no-queue" }),
	hedged("request-overflow", {}, { cluster: "one-request" }),
	hedged("idle", { per_try_timeout: undefined, per_try_idle_timeout: `${tryMs / 1000}s` }),
	hedged("idle-body", { per_try_timeout: undefined, per_try_idle_timeout: `${tryMs / 1000}s` }),
	hedged("short", { num_retries: 2 }, { timeout: "1s" }),
	hedged("outlier", {}, { cluster: "watched" }),
	hedged("not-here", {}, { hedge_policy: { hedge_on_per_try_timeout: false } }),
	hedged("unsaid", {}, { hedge_policy: undefined }),
	hedged("slow-back-off", { retry_back_off: { base_interval: "100000s", max_interval: "100000s" } }, { timeout: "1.2s" }),
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

/** An answer once that attempt has come, and `ms` later; without bytes it is a hang-up. */
interface Planned {
	readonly when: number;
	readonly ms?: number;
	readonly bytes?: string;
}

/** What the first attempts are answered, undefined: nothing, ever; those behind them are answered at once. */
function answers(...planned: readonly (Planned | undefined)[]): Responder {
	// The two proxies' upstreams are told apart by their ports.
	const waiting = new Map<number | undefined, Set<{ readonly plan: Planned; readonly socket: Socket }>>();
	return (seen, socket) => {
		const attempt = Number(headerOf(seen, "x-envoy-attempt-count"));
		const others = attempt === 1 ? new Set<never>() : (waiting.get(socket.localPort) ?? new Set());
		waiting.set(socket.localPort, others);
		const own = planned[attempt - 1];
		if (own !== undefined) others.add({ plan: own, socket });
		for (const one of others) {
			const { plan } = one;
			if (plan.when > attempt) continue;
			others.delete(one);
			setTimeout(() => (plan.bytes === undefined ? one.socket.destroy() : one.socket.write(plan.bytes)), plan.ms ?? 0);
		}
		return attempt > planned.length ? { bytes: reply(200, ["x-attempt: later"], "fine") } : undefined;
	};
}
const ok = (name: string) => reply(200, [`x-attempt: ${name}`], `by ${name}`);
const r500 = reply(500, ["x-attempt: bad"], "no");
const inside = { listener: "internal" };

const cases: readonly Case[] = [
	{ name: "in time", send: get("/one") },
	{ name: "in time, and told how long it may take", listener: "told", send: get("/one") },
	{ name: "without hedging, and told how long an attempt may take", listener: "told", send: get("/not-here") },
	{ name: "the second answers", send: get("/one"), reply: answers(undefined) },
	{ name: "the first answers after all", send: get("/one"), reply: answers({ when: 2, bytes: ok("first") }, undefined) },
	{
		name: "the first answers after all, with a body in pieces",
		send: get("/one"),
		reply: answers({ when: 2, bytes: reply(200, ["x-attempt: first", "trailer: x"], "b".repeat(3000)) }, undefined),
	},
	{ name: "the second fails, the first answers", send: get("/one"), reply: answers({ when: 2, ms: 300, bytes: ok("first") }, { when: 2, bytes: r500 }) },
	{ name: "the second hangs up, the first answers", send: get("/one"), reply: answers({ when: 2, ms: 300, bytes: ok("first") }, { when: 2 }) },
	{ name: "the first fails, the second answers", send: get("/one"), reply: answers({ when: 2, bytes: r500 }, { when: 2, ms: 150, bytes: ok("second") }) },
	{ name: "the first hangs up, the second answers", send: get("/one"), reply: answers({ when: 2 }, { when: 2, ms: 150, bytes: ok("second") }) },
	{ name: "both fail", send: get("/one"), reply: answers({ when: 2, bytes: r500 }, { when: 2, ms: 150, bytes: r500 }) },
	{ name: "both hang up", send: get("/one"), reply: answers({ when: 2 }, { when: 2, ms: 150 }) },
	{ name: "the first fails, the second hangs up", send: get("/one"), reply: answers({ when: 2, bytes: r500 }, { when: 2, ms: 150 }) },
	{ name: "a 404 is an answer", send: get("/one"), reply: answers({ when: 2, bytes: reply(404, [], "not") }, undefined) },
	{ name: "nobody answers", send: get("/nobody"), reply: answers(undefined, undefined) },
	{ name: "three beside each other: the third", send: get("/two"), reply: answers(undefined, undefined) },
	{ name: "three beside each other: the second", send: get("/two"), reply: answers(undefined, { when: 3, bytes: ok("second") }, undefined) },
	{ name: "three beside each other: the first", send: get("/two"), reply: answers({ when: 3, bytes: ok("first") }, undefined, undefined) },
	{
		name: "three beside each other: two fail",
		send: get("/two"),
		reply: answers({ when: 3, ms: 300, bytes: ok("first") }, { when: 3, bytes: r500 }, { when: 3, ms: 150 }),
	},
	{ name: "three beside each other: a failure and its retry", send: get("/two"), reply: answers(undefined, { when: 2, bytes: r500 }) },
	{ name: "no retries", send: get("/none"), reply: answers({ when: 1, ms: 600, bytes: ok("first") }) },
	{ name: "no retries, nobody answers", send: get("/none"), reply: answers(undefined) },
	{ name: "whatever the conditions", send: get("/other-conditions"), reply: answers(undefined) },
	{ name: "no conditions at all", send: get("/no-conditions"), reply: answers({ when: 1, ms: 600, bytes: ok("first") }) },
	{ name: "by the breaker of retries", send: get("/overflow"), reply: answers({ when: 1, ms: 600, bytes: ok("first") }) },
	{ name: "no room for any attempt", send: get("/pending-overflow") },
	{ name: "by the breaker of requests", send: get("/request-overflow"), reply: answers({ when: 1, ms: 600, bytes: ok("first") }) },
	{ name: "silent attempts", send: get("/idle"), reply: answers(undefined) },
	{
		name: "silent after the head",
		send: get("/idle-body"),
		reply: answers({ when: 1, bytes: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab" }),
		quietMs: 900,
	},
	{ name: "the request's time runs out", send: get("/short"), reply: answers(undefined, undefined, undefined) },
	{ name: "a slow host is judged once", send: get("/outlier"), reply: answers({ when: 2, bytes: ok("first") }, undefined) },
	{ name: "not on this route", send: get("/not-here"), reply: answers(undefined) },
	{ name: "not on this route, and slow", send: get("/not-here"), reply: answers({ when: 1, ms: 600, bytes: ok("first") }, { when: 2, bytes: ok("second") }) },
	{ name: "an answer while the retry waits", send: get("/slow-back-off"), reply: answers({ when: 1, ms: 600, bytes: ok("first") }) },
	{ name: "a failure while the retry waits", send: get("/slow-back-off"), reply: answers({ when: 1, ms: 600, bytes: r500 }), quietMs: 2_500 },
	{ name: "a hang-up while the retry waits", send: get("/slow-back-off"), reply: answers({ when: 1, ms: 600 }), quietMs: 2_500 },
	{ name: "no time left while a retry waits", send: get("/plain"), reply: answers({ when: 1, bytes: r500 }) },
	{ name: "a body goes to both", send: request("POST", "/one", [], "abc".repeat(1000)), reply: answers(undefined) },
	{ name: "a body goes to both, and the first answers", send: request("POST", "/one", [], "abc"), reply: answers({ when: 2, bytes: ok("first") }, undefined) },
	{
		name: "a chunked body with trailers goes to both",
		send: "POST /one HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
		reply: answers(undefined),
	},
	{ name: "a body too large to be kept", send: request("POST", "/one", [], "a".repeat(100_000)), reply: answers({ when: 1, ms: 600, bytes: ok("first") }) },
	{
		name: "an attempt that is given up, of a body too large to be kept",
		send: request("POST", "/not-here", [], "a".repeat(100_000)),
		reply: answers(undefined),
	},
	{ name: "HEAD", send: request("HEAD", "/one"), reply: answers({ when: 2, bytes: "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n" }, undefined) },
	{
		name: "an interim answer settles it",
		send: get("/late"),
		reply: answers({ when: 2, bytes: "HTTP/1.1 103 Hints\r\n\r\n" }, { when: 2, ms: 150, bytes: ok("second") }),
	},
	{ name: "the virtual host's word", listener: "host-policy", send: get("/unsaid"), reply: answers({ when: 2, bytes: ok("first") }, undefined) },
	{ name: "the route's word instead of the virtual host's", listener: "host-policy", send: get("/not-here"), reply: answers(undefined) },
	{
		...inside,
		name: "inside: asked for",
		send: get("/not-here", "x-envoy-hedge-on-per-try-timeout: true"),
		reply: answers({ when: 2, bytes: ok("first") }, undefined),
	},
	{ ...inside, name: "inside: not wanted", send: get("/one", "x-envoy-hedge-on-per-try-timeout: false"), reply: answers(undefined) },
	{
		...inside,
		name: "inside: nonsense",
		send: get("/one", "x-envoy-hedge-on-per-try-timeout: maybe"),
		reply: answers({ when: 2, bytes: ok("first") }, undefined),
	},
	{ name: "outside: it is not for them to ask", send: get("/not-here", "x-envoy-hedge-on-per-try-timeout: true"), reply: answers(undefined) },
	{
		...inside,
		name: "inside: another answer to a timeout",
		send: get("/short", "x-envoy-upstream-rq-timeout-alt-response: 1"),
		reply: answers(undefined, undefined, undefined),
	},
	{ name: "the next request on the connection", send: [get("/one"), get("/one")], reply: answers({ when: 2, bytes: ok("first") }, undefined) },
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
