import { extension, httpListener, keyedHost, staticCluster } from "../config.ts";
import type { SeenRequest } from "../../security/request-reader.ts";
import { first, hangUp } from "../answers.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const names = ["a", "b", "c"];
const forward = (name: string, cluster: string, more: object = {}) => ({ name, match: { path: `/${name}` }, route: { cluster, ...more } });
const retry = (name: string, policy: object, more: object = {}) => forward(name, "a", { retry_policy: policy, ...more });
const hostPredicate = (name: string, message: string, fields: object = {}) =>
	extension(`envoy.retry_host_predicates.${name}`, `extensions.retry.host.${name}.v3.${message}`, fields);
const priorities = (updateFrequency: number) =>
	extension("envoy.retry_priorities.previous_priorities", "extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", {
		update_frequency: updateFrequency,
	});
const previousHosts = hostPredicate("previous_hosts", "PreviousHostsPredicate");
const omitCanary = hostPredicate("omit_canary_hosts", "OmitCanaryHostsPredicate");
const omitStage = hostPredicate("omit_host_metadata", "OmitHostMetadataConfig", { metadata_match: { filter_metadata: { "envoy.lb": { stage: "dev" } } } });
const byKey = { hash_policy: [{ header: { header_name: "x-key" } }] };
const limited = (resets: readonly object[], more: object = {}) => ({
	retry_on: "5xx,envoy-ratelimited",
	num_retries: 1,
	retry_back_off: { base_interval: "0.001s" },
	rate_limited_retry_back_off: { reset_headers: resets, ...more },
});
const seconds = [{ name: "retry-after", format: "SECONDS" }];

const routes = [
	retry(
		"previous-hosts",
		{ retry_on: "5xx", num_retries: 2, retry_host_predicate: [previousHosts], host_selection_retry_max_attempts: 20 },
		{ cluster: "ring", ...byKey },
	),
	retry("any-host", { retry_on: "5xx", num_retries: 2 }, { cluster: "ring", ...byKey }),
	retry(
		"no-canary",
		{ retry_on: "5xx", num_retries: 2, retry_host_predicate: [omitCanary], host_selection_retry_max_attempts: 20 },
		{ cluster: "ring", ...byKey },
	),
	retry("no-dev", { retry_on: "5xx", num_retries: 2, retry_host_predicate: [omitStage], host_selection_retry_max_attempts: 20 }, { cluster: "ring", ...byKey }),
	retry("nobody-else", { retry_on: "5xx", num_retries: 2, retry_host_predicate: [previousHosts], host_selection_retry_max_attempts: 3 }),
	...[1, 2].map((every) => retry(`priorities-${every}`, { retry_on: "5xx", num_retries: 3, retry_priority: priorities(every) }, { cluster: "priorities" })),
	retry("budget-none", { retry_on: "5xx", num_retries: 3 }, { cluster: "budget-none" }),
	retry("budget-min", { retry_on: "5xx", num_retries: 3 }, { cluster: "budget-min" }),
	retry("budget-all", { retry_on: "5xx,reset", num_retries: 3 }, { cluster: "budget-all" }),
	retry("budget-default", { retry_on: "5xx", num_retries: 5 }, { cluster: "budget-default" }),
	retry("limited", limited(seconds)),
	retry("limited-max", limited(seconds, { max_interval: "2s" })),
	retry("limited-two", limited([{ name: "x-reset", format: "UNIX_TIMESTAMP" }, ...seconds])),
	retry("idle", { retry_on: "5xx", num_retries: 1, per_try_idle_timeout: "0.15s" }),
	retry("idle-slow", { retry_on: "5xx", num_retries: 1, per_try_idle_timeout: "0.3s" }),
	retry("idle-once", { retry_on: "5xx", num_retries: 0, per_try_idle_timeout: "0.15s" }),
	retry("idle-and-try", { retry_on: "gateway-error", num_retries: 1, per_try_timeout: "0.15s", per_try_idle_timeout: "5s" }),
	retry("try-longer", { retry_on: "5xx", num_retries: 1, per_try_timeout: "2s" }, { timeout: "0.2s" }),
	retry("try-no-timeout", { retry_on: "reset", num_retries: 1, per_try_timeout: "0.15s" }, { timeout: "0s" }),
	retry("try-connect", { retry_on: "connect-failure", num_retries: 1, per_try_timeout: "0.15s" }),
	retry("try-4xx", { retry_on: "retriable-4xx", num_retries: 1, per_try_timeout: "0.15s" }),
	retry("codes-504", { retry_on: "retriable-status-codes", retriable_status_codes: [504, 503], num_retries: 1, per_try_timeout: "0.15s" }),
	retry("unknown", { retry_on: "5xx,so-to-say", num_retries: 1 }),
	retry("spaces", { retry_on: " 5xx , retriable-4xx ", num_retries: 1 }),
	retry("nothing", { num_retries: 3 }),
	retry("default-number", { retry_on: "5xx" }),
	retry("request-header-value", { retry_on: "5xx", retriable_request_headers: [{ name: ":method", string_match: { exact: "GET" } }] }),
	retry("header-range", { retry_on: "retriable-headers", retriable_headers: [{ name: "x-code", range_match: { start: 10, end: 20 } }] }),
	retry("header-not", { retry_on: "retriable-headers", retriable_headers: [{ name: "x-code", present_match: true, invert_match: true }] }),
	retry("header-status", { retry_on: "retriable-headers", retriable_headers: [{ name: ":status", string_match: { prefix: "41" } }] }),
	{ name: "rest", match: { prefix: "/" }, route: { cluster: "a" } },
];

const r500 = reply(500, [], "no");
const keys = ["1", "2", "3", "4", "5", "6"];
const inPieces =
	(...pieces: readonly string[]) =>
	(_: SeenRequest, socket: { write(bytes: string): unknown }): undefined => {
		pieces.forEach((piece, i) => void setTimeout(() => socket.write(piece), i * 100));
		return undefined;
	};

const cases: readonly Case[] = [
	...["previous-hosts", "any-host", "no-canary", "no-dev"].flatMap((route) =>
		keys.map((key): Case => ({ name: `${route} ${key}`, send: get(`/${route}`, `x-key: ${key}`), reply: first(r500, r500) })),
	),
	{ name: "the only host was tried", send: get("/nobody-else"), reply: first(r500) },
	{ name: "priorities one after the other", send: get("/priorities-1"), reply: first(r500, r500, r500) },
	{ name: "priorities after every second attempt", send: get("/priorities-2"), reply: first(r500, r500, r500) },
	{ name: "no budget", send: get("/budget-none"), reply: first(r500) },
	{ name: "no budget, but a minimum", send: get("/budget-min"), reply: first(r500, r500) },
	{ name: "a budget of one retry a request", send: get("/budget-all"), reply: first(r500, r500) },
	{ name: "a budget of one retry a request, after a hang-up", send: get("/budget-all"), reply: first(hangUp) },
	{ name: "the default budget", send: get("/budget-default"), reply: first(r500, r500, r500, r500) },
	{ name: "rate limited: again after a second", send: get("/limited"), reply: first(reply(429, ["x-envoy-ratelimited: 1", "retry-after: 1"])) },
	{ name: "limited: a 500 that says when", send: get("/limited"), reply: first(reply(500, ["retry-after: 1"])) },
	{ name: "limited: a 500 that says nothing", send: get("/limited"), reply: first(r500) },
	{ name: "limited: nonsense", send: get("/limited"), reply: first(reply(500, ["retry-after: soon"])) },
	{ name: "limited: a date", send: get("/limited"), reply: first(reply(500, ["retry-after: Wed, 21 Oct 2015 07:28:00 GMT"])) },
	{ name: "limited: zero", send: get("/limited"), reply: first(reply(500, ["retry-after: 0"])) },
	{ name: "limited: longer than is waited", send: get("/limited-max"), reply: first(reply(500, ["retry-after: 3"])) },
	{ name: "limited: gone before it was time", send: get("/limited"), reply: first(reply(500, ["retry-after: 3"])), quietMs: 200 },
	{ name: "limited: a time in the past, then seconds", send: get("/limited-two"), reply: first(reply(500, ["x-reset: 1000", "retry-after: 1"])) },
	{ name: "limited: a time in the past", send: get("/limited-two"), reply: first(reply(500, ["x-reset: 1000"])) },
	{ name: "idle attempt, then fine", send: get("/idle"), reply: first(undefined) },
	{ name: "idle attempts", send: get("/idle"), reply: () => undefined },
	{ name: "idle attempt, no retries", send: get("/idle-once"), reply: () => undefined },
	{ name: "idle attempt, by POST", send: request("POST", "/idle", [], "abc"), reply: first(undefined) },
	{ name: "idle after the head", send: get("/idle"), reply: () => ({ bytes: "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc" }), quietMs: 900 },
	{ name: "slow, but not idle", send: get("/idle-slow"), reply: inPieces("", "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nab", "cd", "", "ef") },
	{ name: "per try timeout beside a longer idle timeout", send: get("/idle-and-try"), reply: first(undefined) },
	{ name: "per try timeout over the route's", send: get("/try-longer"), reply: () => undefined },
	{ name: "per try timeout without one of the route", send: get("/try-no-timeout"), reply: first(undefined) },
	{ name: "per try timeout is no connect failure", send: get("/try-connect"), reply: () => undefined },
	{ name: "per try timeout is no 4xx", send: get("/try-4xx"), reply: () => undefined },
	{ name: "per try timeout as a status", send: get("/codes-504"), reply: first(undefined) },
	{ name: "hang-up as a status", send: get("/codes-504"), reply: first(hangUp) },
	{ name: "unknown condition", send: get("/unknown"), reply: first(r500) },
	{ name: "spaces in conditions: 5xx", send: get("/spaces"), reply: first(r500) },
	{ name: "spaces in conditions: 409", send: get("/spaces"), reply: first(reply(409)) },
	{ name: "no conditions", send: get("/nothing"), reply: first(r500) },
	{ name: "no conditions, a hang-up", send: get("/nothing"), reply: first(hangUp) },
	{ name: "one retry by default", send: get("/default-number"), reply: first(r500, r500) },
	{ name: "by method: GET", send: get("/request-header-value"), reply: first(r500) },
	{ name: "by method: POST", send: request("POST", "/request-header-value", [], "a"), reply: first(r500) },
	{ name: "header in range", send: get("/header-range"), reply: first(reply(200, ["x-code: 15"])) },
	{ name: "header out of range", send: get("/header-range"), reply: first(reply(200, ["x-code: 20"])) },
	{ name: "header missing", send: get("/header-not"), reply: first(reply(200)) },
	{ name: "header there", send: get("/header-not"), reply: first(reply(200, ["x-code: 1"])) },
	{ name: "status as a header", send: get("/header-status"), reply: first(reply(418)) },
	{
		name: "HEAD",
		send: request("HEAD", "/default-number"),
		reply: first("HTTP/1.1 500 No\r\ncontent-length: 5\r\n\r\n", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n"),
	},
	{ name: "HEAD, and a body", send: request("HEAD", "/default-number") },
	{ name: "an answer without a body", send: get("/default-number"), reply: first("HTTP/1.1 503 No\r\n\r\n") },
	{ name: "a chunked answer", send: get("/default-number"), reply: first("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n") },
	{ name: "an answer that never ends", send: get("/default-number"), reply: first("HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n") },
	{ name: "an answer that breaks off", send: get("/default-number"), reply: first({ bytes: "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", close: true }) },
	{ name: "an answer that is none", send: get("/default-number"), reply: first("nonsense\r\n\r\n") },
	{
		name: "a chunked request",
		send: `POST /default-number HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`,
		reply: first(r500),
	},
	...["0", "1", "2", "abc", "-1", "99999"].map(
		(value): Case => ({
			name: `inside: x-envoy-max-retries ${value}`,
			listener: "internal",
			send: get("/x", "x-envoy-retry-on: 5xx", `x-envoy-max-retries: ${value}`),
			reply: first(r500, r500),
		}),
	),
	...["5xx", "retriable-4xx,5xx", "no-such", "5XX", " 5xx"].map(
		(value): Case => ({ name: `inside: x-envoy-retry-on ${value}`, listener: "internal", send: get("/x", `x-envoy-retry-on: ${value}`), reply: first(r500) }),
	),
	{
		name: "inside: more conditions than the route's",
		listener: "internal",
		send: get("/default-number", "x-envoy-retry-on: retriable-4xx"),
		reply: first(reply(409), r500),
	},
	{ name: "inside: fewer retries than the route's", listener: "internal", send: get("/budget-default", "x-envoy-max-retries: 1"), reply: first(r500, r500) },
	{ name: "inside: how long the stream may last", listener: "internal", send: get("/x", "x-envoy-upstream-stream-duration-ms: 150"), reply: () => undefined },
	{ name: "outside: how long the stream may last", send: get("/x", "x-envoy-upstream-stream-duration-ms: 150"), reply: () => undefined, quietMs: 600 },
	{
		name: "inside: how long the stream may last, retried",
		listener: "internal",
		send: get("/default-number", "x-envoy-upstream-stream-duration-ms: 150"),
		reply: first(undefined),
	},
	{ name: "how long an attempt may last in its cluster", send: get("/duration"), reply: () => undefined },
	{
		name: "how long an attempt may last in its cluster, after the head",
		send: get("/duration"),
		reply: () => ({ bytes: "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc" }),
		quietMs: 600,
	},
	{
		name: "inside: no such number",
		listener: "internal",
		send: get("/x", "x-envoy-upstream-rq-timeout-ms: soon", "x-envoy-upstream-rq-per-try-timeout-ms: -1"),
	},
	{
		name: "inside: statistics of its own",
		listener: "internal",
		send: get("/x", "x-envoy-upstream-alt-stat-name: mine", "x-envoy-hedge-on-per-try-timeout: true"),
	},
	{
		name: "inside: host predicates and statuses",
		listener: "internal",
		send: get("/x", "x-envoy-retry-on: retriable-status-codes", "x-envoy-retriable-status-codes: 418, 404,x"),
		reply: first(reply(404)),
	},
	{ name: "the virtual host's policy", listener: "host-policy", send: get("/plain"), reply: first(r500) },
	{ name: "the route's policy instead of the virtual host's", listener: "host-policy", send: get("/own"), reply: first(r500) },
	...[1, 2, 3].map((i): Case => ({ name: `gateway failure ${i}`, send: get("/out-gateway"), reply: () => ({ bytes: reply(502) }) })),
	...[1, 2, 3].map((i): Case => ({ name: `unenforced failure ${i}`, send: get("/out-watch"), reply: () => ({ bytes: r500 }) })),
	...[1, 2, 3].map((i): Case => ({ name: `failure ${i} of a host that may not go`, send: get("/out-none"), reply: () => ({ bytes: r500 }) })),
	...[1, 2, 3].map((i): Case => ({ name: `hang-up ${i}, errors told apart`, send: get("/out-split"), reply: () => hangUp })),
	...[1, 2, 3].map((i): Case => ({ name: `5xx ${i}, errors told apart`, send: get("/out-split"), reply: () => ({ bytes: r500 }) })),
	...[1, 2, 3].map((i): Case => ({ name: `refused connection ${i}`, send: get("/out-down") })),
	...[1, 2].map((i): Case => ({ name: `timeout ${i}`, send: get("/out-timeout"), reply: () => undefined })),
	...[1, 2, 3, 4].map((i): Case => ({ name: `failure ${i}, then everybody`, send: get("/out-panic", `x-key: ${i}`), reply: () => ({ bytes: r500 }) })),
	...["1", "2", "3"].map((key): Case => ({ name: `all hosts unhealthy ${key}`, send: get("/panic-all", `x-key: ${key}`) })),
	...["1", "2", "3"].map((key): Case => ({ name: `all hosts unhealthy, nobody is asked ${key}`, send: get("/panic-fail", `x-key: ${key}`) })),
];

const outRoutes = ["out-gateway", "out-watch", "out-none", "out-split", "out-down"].map((name) => forward(name, name));

export const retries: Suite = {
	name: "retries",
	upstreams: names,
	listeners: ["main", "internal", "host-policy"],
	log: { host: "%UPSTREAM_HOST_NAME_WITHOUT_PORT%", long: "%RESPONSE_FLAGS_LONG%" },
	resources: ({ upstream, closed }, accessLog) => {
		const port = (name: string) => upstream[name] as number;
		const all = [
			...routes.slice(0, -1),
			...outRoutes,
			forward("duration", "duration"),
			forward("out-timeout", "out-timeout", { timeout: "0.1s" }),
			forward("out-panic", "out-panic", byKey),
			forward("panic-all", "panic-all", byKey),
			forward("panic-fail", "panic-fail", byKey),
			...routes.slice(-1),
		];
		const virtualHost = { name: "all", domains: ["*"], include_request_attempt_count: true, routes: all };
		const listener = (name: string, manager: object = {}) =>
			httpListener(name, { access_log: accessLog, delayed_close_timeout: "0.01s", route_config: { name: "r", virtual_hosts: [virtualHost] }, ...manager });
		const assigned = (name: string, localities: readonly object[], more: object = {}) => ({
			name,
			type: "STATIC",
			connect_timeout: "1s",
			load_assignment: { cluster_name: name, endpoints: localities },
			...more,
		});
		const budget = (name: string, retry_budget: object) =>
			staticCluster(name, port("a"), { circuit_breakers: { thresholds: [{ max_retries: 0, retry_budget }] } });
		const keyed = (metadata: Readonly<Record<string, object>> = {}, more: object = {}) => [
			{ lb_endpoints: names.map((name) => keyedHost(name, port(name), metadata[name], more)) },
		];
		const watched = (name: string, outlier: object, on: number = port("a"), more: object = {}) =>
			staticCluster(name, on, { outlier_detection: { interval: "60s", base_ejection_time: "60s", max_ejection_percent: 100, ...outlier }, ...more });
		return {
			listeners: [
				listener("main"),
				listener("internal", { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] } }),
				listener("host-policy", {
					route_config: {
						name: "r",
						virtual_hosts: [
							{
								...virtualHost,
								retry_policy: { retry_on: "5xx", num_retries: 1 },
								routes: [forward("plain", "a"), retry("own", { retry_on: "retriable-4xx", num_retries: 1 })],
							},
						],
					},
				}),
			],
			clusters: [
				staticCluster("a", port("a")),
				assigned("ring", keyed({ a: { canary: true }, b: { stage: "dev" } }), { lb_policy: "RING_HASH" }),
				assigned(
					"priorities",
					names.map((name, priority) => ({ priority, lb_endpoints: [keyedHost(name, port(name))] })),
				),
				budget("budget-none", { budget_percent: { value: 0 }, min_retry_concurrency: 0 }),
				budget("budget-min", { budget_percent: { value: 0 }, min_retry_concurrency: 1 }),
				budget("budget-all", { budget_percent: { value: 100 }, min_retry_concurrency: 0 }),
				budget("budget-default", {}),
				staticCluster("duration", port("a"), { common_http_protocol_options: { max_stream_duration: "0.15s" } }),
				watched("out-gateway", { consecutive_5xx: 100, consecutive_gateway_failure: 2, enforcing_consecutive_gateway_failure: 100 }),
				watched("out-watch", { consecutive_5xx: 2, enforcing_consecutive_5xx: 0 }),
				watched("out-none", { consecutive_5xx: 2, max_ejection_percent: 0 }),
				watched("out-split", { consecutive_5xx: 2, split_external_local_origin_errors: true, consecutive_local_origin_failure: 2 }),
				watched("out-down", { consecutive_5xx: 2, consecutive_gateway_failure: 2 }, closed),
				watched("out-timeout", { consecutive_5xx: 2 }),
				assigned("out-panic", keyed(), {
					lb_policy: "RING_HASH",
					outlier_detection: { interval: "60s", base_ejection_time: "60s", max_ejection_percent: 100, consecutive_5xx: 1 },
					common_lb_config: { update_merge_window: "0s" },
				}),
				assigned("panic-all", keyed({}, { health_status: "UNHEALTHY" }), { lb_policy: "RING_HASH" }),
				assigned("panic-fail", keyed({}, { health_status: "UNHEALTHY" }), {
					lb_policy: "RING_HASH",
					common_lb_config: { healthy_panic_threshold: { value: 0 } },
				}),
			],
		};
	},
	cases,
};
