import { generateKeyPairSync } from "node:crypto";
import { first } from "../answers.ts";
import { httpFilter, httpListener, keyedHost, router, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const to = (more: object = {}) => ({ route: { cluster: "a", ...more } });
const weighted = (cluster: object, more: object = {}) => ({ route: { weighted_clusters: { clusters: [{ name: "a", weight: 100, ...cluster }] }, ...more } });
const header = (key: string, value: string, append_action = "APPEND_IF_EXISTS_OR_ADD", more: object = {}) => ({
	header: { key, value },
	append_action,
	...more,
});
const adds = (...request_headers_to_add: readonly object[]) => ({ ...to(), request_headers_to_add });
const answers = (...response_headers_to_add: readonly object[]) => ({ ...to(), response_headers_to_add });
const direct = (status: number, body: string, ...response_headers_to_add: readonly object[]) => ({
	direct_response: { status, ...(body !== "" && { body: { inline_string: body } }) },
	response_headers_to_add,
});
const toHash = (cluster: string) => to({ cluster, hash_policy: [{ cookie: { name: "stick", ttl: "60s" } }] });
const regex = (text: string, substitution: string) => ({ pattern: { regex: text }, substitution });

const perRoute = (message: string, config: object) => ({ "@type": `type.googleapis.com/envoy.extensions.filters.http.${message}`, ...config });
const everybody = { permissions: [{ any: true }], principals: [{ any: true }] };

/** Path → route, each for the case of its name. */
const routes: Readonly<Record<string, object>> = {
	"/rewrite/same": to({ prefix_rewrite: "/rewrite/same" }),
	"/rewrite/unmatched": to({ regex_rewrite: regex("/never", "/x") }),
	"/rewrite/host-by-path": to({ prefix_rewrite: "/new", host_rewrite_path_regex: regex("^/([a-z]+).*", "\\1.test") }),
	"/host/weighted": weighted({ host_rewrite_literal: "own.test" }, { append_x_forwarded_host: true }),
	"/host/weighted-and-route": weighted({ host_rewrite_literal: "own.test" }, { host_rewrite_literal: "route.test", append_x_forwarded_host: true }),
	"/host/auto": to({ cluster: "named", auto_host_rewrite: true, append_x_forwarded_host: true }),
	"/host/same": to({ host_rewrite_literal: "test.example", append_x_forwarded_host: true }),
	"/mutate/inline": adds(
		header("x-forwarded-for", "1.1.1.1"),
		header("x-forwarded-proto", "more"),
		header("user-agent", "two"),
		header("x-forwarded-port", "", undefined, { keep_empty_value: true }),
		header("x-plain", "two"),
	),
	"/mutate/inline-response": answers(header("content-type", "two"), header("vary", "two"), header("server", "two"), header("x-plain", "two")),
	"/mutate/level": adds(
		header("x-new", "first"),
		header("x-new", "second", "ADD_IF_ABSENT"),
		header("x-new", "third", "OVERWRITE_IF_EXISTS"),
		header("x-set", "added"),
		header("x-set", "over", "OVERWRITE_IF_EXISTS_OR_ADD"),
		header("x-copy", "%REQ(x-set)%"),
	),
	"/mutate/weighted": {
		...weighted({ request_headers_to_add: [header("x-order", "cluster")], response_headers_to_add: [header("x-order", "cluster")] }),
		request_headers_to_add: [header("x-order", "route")],
		response_headers_to_add: [header("x-order", "route")],
	},
	"/lines": adds(header("x-first", "%REQ(x-two)%"), header("x-joined", "%REQ(x-forwarded-host)%"), header("x-query", "%QUERY_PARAM(q)%")),
	"/local/code": direct(404, "gone", header("x-code", "%RESPONSE_CODE%"), header("x-details", "%RESPONSE_CODE_DETAILS%")),
	"/local/type": direct(200, "text", header("content-type", "text/own")),
	"/local/type-without-body": direct(200, "", header("content-type", "text/own")),
	"/hash/empty": toHash("empty"),
	"/hash/ring": toHash("ring"),
	"/retry/on": adds(header("x-envoy-retry-on", "5xx")),
	"/retry/more": adds(
		header("x-envoy-retry-on", "retriable-status-codes"),
		header("x-envoy-retriable-status-codes", "404"),
		header("x-envoy-max-retries", "3"),
	),
	"/retry/late": adds(header("x-envoy-upstream-rq-per-try-timeout-ms", "1")),
	"/retry/filter": {
		...to(),
		typed_per_filter_config: {
			mutation: perRoute("header_mutation.v3.HeaderMutationPerRoute", {
				mutations: {
					request_mutations: [{ append: header("x-envoy-retry-grpc-on", "unavailable") }, { append: header("x-envoy-upstream-rq-timeout-ms", "3000") }],
				},
			}),
		},
	},
	"/jwt": { ...to(), typed_per_filter_config: { jwt: perRoute("jwt_authn.v3.PerRouteConfig", { requirement_name: "unknown" }) } },
	"/rbac": {
		...to(),
		typed_per_filter_config: {
			rbac: perRoute("rbac.v3.RBACPerRoute", {
				rbac: { rules: { policies: { everybody } }, shadow_rules: { policies: { everybody } }, shadow_rules_stat_prefix: "route_dry_" },
			}),
		},
	},
	"/asked": { ...answers(header("x-why", "route")), response_headers_to_remove: ["x-gone"] },
	"/cors": {
		direct_response: { status: 200 },
		typed_per_filter_config: { cors: perRoute("cors.v3.CorsPolicy", { allow_origin_string_match: [{ exact: "*" }] }) },
	},
	"/host/header": to({ host_rewrite_header: "x-two" }),
	"/redirect/regex": { redirect: { regex_rewrite: regex("^/redirect", "to") } },
};

const upgrade = ["connection: upgrade", "upgrade: websocket"];
const lines = (...values: readonly string[]) => values.map((value) => `x-two: ${value}`);

const cases: readonly Case[] = [
	{ name: "a prefix rewritten to itself", send: get("/rewrite/same/x") },
	{ name: "a pattern that is not there", send: get("/rewrite/unmatched") },
	{ name: "a host made of the path, which is rewritten, too", send: get("/rewrite/host-by-path") },
	{ name: "a weighted cluster's host", send: get("/host/weighted") },
	{ name: "a weighted cluster's host and the route's", send: get("/host/weighted-and-route") },
	{ name: "the upstream's host", send: get("/host/auto", "x-forwarded-host: first.test") },
	{ name: "the upstream's host, already told", send: get("/host/auto", "x-forwarded-host: first.test,test.example") },
	{ name: "the host rewritten to itself", send: get("/host/same") },
	{ name: "added to headers of one value", send: get("/mutate/inline", "x-forwarded-for: 9.9.9.9", "user-agent: one", "x-forwarded-port: 1", "x-plain: one") },
	{ name: "added to empty headers of one value", send: get("/mutate/inline", "x-forwarded-for:", "user-agent:", "x-forwarded-port:", "x-plain:") },
	{
		name: "added to headers of one value in a response",
		send: get("/mutate/inline-response"),
		reply: "HTTP/1.1 200 OK\r\ncontent-type: one\r\nvary: one\r\nserver: one\r\nx-plain: one\r\ncontent-length: 0\r\n\r\n",
	},
	{ name: "all of a level sees what came", send: get("/mutate/level") },
	{ name: "all of a level sees what came, with headers", send: get("/mutate/level", "x-new: mine", "x-set: mine") },
	{ name: "a weighted cluster's headers come first", listener: "specific", send: get("/mutate/weighted") },
	{ name: "a weighted cluster's headers come first, in the other order, too", send: get("/mutate/weighted") },
	{ name: "the first of several lines", send: get("/lines", ...lines("1", "2"), "x-forwarded-host: a,b") },
	{ name: "an empty line", send: get("/lines", "x-two:") },
	{ name: "an encoded parameter", send: get("/lines?q=a%20b%zz%7E") },
	{ name: "an empty parameter", send: get("/lines?q=") },
	{ name: "a local answer's code is not there yet", send: get("/local/code") },
	{ name: "a local answer's type is the route's", send: get("/local/type") },
	{ name: "a local answer of another body is of its type", listener: "mapped", send: get("/local/type") },
	{ name: "a local answer without a body has no type", send: get("/local/type-without-body") },
	{ name: "a limit's flag is not there yet", listener: "limited", send: get("/local/code") },
	{ name: "no cookie without an upstream", send: get("/hash/empty") },
	{ name: "a cookie with an upstream", send: get("/hash/ring", "cookie: stick=mine") },
	{ name: "a route asks for retries", send: get("/retry/on"), reply: first(reply(503)) },
	{ name: "a route asks for more retries", send: get("/retry/more"), reply: first(reply(404), reply(404), reply(404)) },
	{ name: "a route sets a timeout too late", send: get("/retry/late") },
	{ name: "a filter asks for retries", listener: "mutated", send: get("/retry/filter"), reply: first(reply(200, ["grpc-status: 14"])) },
	{ name: "a route's rules, counted and told under the filter's prefixes where it has none", listener: "ruled", send: get("/rbac") },
	{ name: "a redirect's path begins with a slash", send: get("/redirect/regex") },
	{ name: "an upgrade where TLS is asked for", listener: "secured", send: get("/x", ...upgrade) },
	{ name: "the service's headers come on top of the route's", listener: "asked", send: get("/asked"), reply: reply(403, ["x-why: service", "x-gone: no"]) },
	{ name: "no CORS on a route that answers", listener: "cors", send: get("/cors", "origin: http://o.test") },
	{
		name: "no CORS preflight on a route that answers",
		listener: "cors",
		send: request("OPTIONS", "/cors", ["origin: http://o.test", "access-control-request-method: GET"]),
	},
	{ name: "a host of the first of several lines", send: get("/host/header", ...lines("one.test", "two.test")) },
	{ name: "an empty cookie is a token", listener: "tokens", send: get("/x", "cookie: token=") },
	{ name: "an empty parameter is a token", listener: "tokens", send: get("/x?token=") },
	{ name: "no token", listener: "tokens", send: get("/x") },
	{ name: "a requirement that nobody knows, told to nobody", listener: "tokens", send: get("/jwt") },
	{ name: "nobody is asked about what has no route", listener: "asked", send: get("/nowhere") },
	{ name: "somebody is asked about what is to be secured", listener: "asked", send: get("/x", "host: secured.example") },
	{ name: "a delay is told before what follows", listener: "delayed", send: get("/nowhere", "x-envoy-fault-delay-request: 10") },
	{ name: "no request id to tell", listener: "unnamed", send: get("/local/code") },
	{ name: "a missing header that counts as empty is present", send: get("/present") },
];

const hosts = [
	{
		name: "all",
		domains: ["test.example"],
		include_request_attempt_count: true,
		routes: [
			...Object.entries(routes).map(([prefix, route]) => ({ name: prefix, match: { prefix }, ...route })),
			{ name: "present", match: { path: "/present", headers: [{ name: "x-none", present_match: true, treat_missing_header_as_empty: true }] }, ...to() },
		],
	},
	{ name: "secured", domains: ["secured.example"], require_tls: "ALL", routes: [{ match: { prefix: "/" }, ...to() }] },
];

const asking = httpFilter("envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthz", {
	http_service: {
		server_uri: { uri: "http://a.test:81", cluster: "a", timeout: "1s" },
		path_prefix: "/asked",
		authorization_response: { allowed_client_headers: { patterns: [{ prefix: "x-why" }, { prefix: "x-gone" }] } },
	},
});
const delaying = httpFilter("envoy.filters.http.fault", "fault.v3.HTTPFault", { delay: { header_delay: {}, percentage: { numerator: 100 } } });
const hundred = { default_value: { numerator: 100 } };
const limiting = httpFilter("envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", {
	stat_prefix: "limit",
	token_bucket: { max_tokens: 1, fill_interval: "3600s" },
	filter_enabled: hundred,
	filter_enforced: hundred,
	rate_limits: [{ actions: [{ generic_key: { descriptor_value: "all" } }] }],
	descriptors: [{ entries: [{ key: "generic_key", value: "all" }], token_bucket: { max_tokens: 1, fill_interval: "3600s" } }],
	response_headers_to_add: [header("x-flags", "%RESPONSE_FLAGS%")],
});
const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({ format: "jwk" });
const tokens = httpFilter("jwt", "jwt_authn.v3.JwtAuthentication", {
	providers: { one: { issuer: "one", local_jwks: { inline_string: JSON.stringify({ keys: [key] }) }, from_cookies: ["token"], from_params: ["token"] } },
	rules: [{ match: { prefix: "/" }, requires: { requires_any: { requirements: [{ provider_name: "one" }, { allow_missing: {} }] } } }],
	strip_failure_response: true,
});
const mapped = { body_format: { text_format_source: { inline_string: "[%LOCAL_REPLY_BODY%] %RESPONSE_FLAGS%" }, content_type: "text/mapped" } };

export const interplay: Suite = {
	name: "interplay",
	upstreams: ["a"],
	listeners: ["main", "specific", "mapped", "limited", "secured", "asked", "delayed", "mutated", "ruled", "cors", "tokens", "unnamed"],
	log: {
		two: "%REQ(x-two)%",
		agent: "%REQ(user-agent)%",
		parameter: "%QUERY_PARAM(q)%",
		up: "%RESP(x-plain)%",
		rules: "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
	},
	resources: ({ upstream }, accessLog) => {
		const port = upstream["a"] as number;
		const listener = (name: string, manager: object = {}, table: object = {}) =>
			httpListener(name, { access_log: accessLog, delayed_close_timeout: "0.01s", route_config: { name: "r", virtual_hosts: hosts, ...table }, ...manager });
		return {
			listeners: [
				listener("main", { server_header_transformation: "PASS_THROUGH" }),
				listener("specific", {}, { most_specific_header_mutations_wins: true }),
				listener("mapped", { local_reply_config: mapped }),
				listener("limited", { http_filters: [limiting, router], local_reply_config: mapped }),
				listener("secured", {}, { virtual_hosts: [{ name: "all", domains: ["*"], require_tls: "ALL", routes: [{ match: { prefix: "/" }, ...to() }] }] }),
				listener("asked", { http_filters: [asking, router] }),
				listener("delayed", { http_filters: [delaying, router] }),
				listener("mutated", { http_filters: [httpFilter("mutation", "header_mutation.v3.HeaderMutation"), router] }),
				listener("ruled", { http_filters: [httpFilter("rbac", "rbac.v3.RBAC", { rules_stat_prefix: "own_", shadow_rules_stat_prefix: "own_dry_" }), router] }),
				listener("cors", { http_filters: [httpFilter("cors", "cors.v3.Cors"), router] }),
				listener("tokens", { http_filters: [tokens, router] }),
				listener("unnamed", { generate_request_id: false, always_set_request_id_in_response: true }),
			],
			clusters: [
				staticCluster("a", port),
				staticCluster("named", [], { load_assignment: { cluster_name: "named", endpoints: [{ lb_endpoints: [keyedHost("named", port)] }] } }),
				staticCluster("ring", port, { lb_policy: "RING_HASH" }),
				staticCluster("empty", []),
			],
		};
	},
	cases,
};
