import { extension, httpFilter } from "./config.ts";
import { custom, domains, exact, header, list, nested, network, path, prefix, range, ranges, value } from "./matcher-trees.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const type = (name: string) => `type.googleapis.com/envoy.config.route.v3.${name}`;
const act = (typed_config: Json) => ({ action: { name: "route", typed_config } });
const route = (name: string, fields: Json = {}) => ({ name, match: { prefix: "/" }, route: { cluster: "echo" }, ...fields });
const to = (name: string, fields: Json = {}) => act({ "@type": type("Route"), ...route(name, fields) });
const routes = (...list: readonly Json[]) => act({ "@type": type("RouteList"), routes: list });
const tree = (matcher: Json, more: Json = {}): Scenario["host"] => ({ routes: [], matcher, ...more });
const direct = (status: number, text = "") => ({ route: undefined, direct_response: { status, body: { inline_string: text } } });
const present = { safe_regex: { google_re2: {}, regex: ".*" } };
const state = (key: string) => network("FilterStateInput", { key });
const setState = httpFilter("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", {
	clear_route_cache: true,
	on_request_headers: [{ object_key: "tenant", factory_key: "envoy.string", format_string: { text_format_source: { inline_string: "%REQ(x-tenant)%" } } }],
});

const scenarios: Readonly<Record<string, Scenario>> = {
	"a list": {
		filters: [],
		host: tree(
			list(
				[
					[value(path, { exact: "/a" }), to("a")],
					[value(path, { prefix: "/b" }), nested(exact(header("x-b"), { "1": to("b1"), "2": to("b2") }))],
					[value(path, { prefix: "/b" }), to("b")],
					[{ not_matcher: value(header("x-any"), present) }, to("without")],
				],
				{ on_no_match: to("last", direct(202, "last")) },
			),
		),
		requests: {
			exact: get("/a"),
			nested: get("/b", "x-b: 1\r\n"),
			"nested, the other": get("/b", "x-b: 2\r\n"),
			"nested, none": get("/b", "x-b: 3\r\n"),
			without: get("/c"),
			"no match": get("/c", "x-any: 1\r\n"),
		},
	},
	"nothing matches": {
		filters: [],
		host: tree(exact(path, { "/a": to("a") })),
		requests: { "the one": get("/a"), none: get("/b"), "with a query": get("/a?b") },
	},
	"a route's own match": {
		filters: [],
		host: tree(
			exact(
				header("x-key"),
				{
					one: to("one", { match: { path: "/one" } }),
					two: to("two", { match: { prefix: "/", headers: [{ name: "x-two", string_match: { exact: "2" } }] } }),
				},
				{ on_no_match: to("last") },
			),
		),
		requests: {
			fits: get("/one", "x-key: one\r\n"),
			"does not fit": get("/other", "x-key: one\r\n"),
			"header does not fit": get("/", "x-key: two\r\n"),
			"header fits": get("/", "x-key: two\r\nx-two: 2\r\n"),
			last: get("/"),
		},
	},
	"lists of routes": {
		filters: [],
		host: tree(
			prefix(path, {
				"/": routes(
					route("first", { match: { prefix: "/x" } }),
					route("second", { match: { path: "/y" } }),
					route("third", { match: { safe_regex: { regex: "/z[0-9]" } } }),
				),
				"/deep": routes(route("deep", { match: { path: "/deep/a" } })),
			}),
		),
		requests: {
			first: get("/xy"),
			second: get("/y"),
			third: get("/z1"),
			none: get("/other"),
			deep: get("/deep/a"),
			"none in the deeper list": get("/deep/b"),
		},
	},
	"what routes do": {
		filters: [],
		host: tree(
			exact(path, {
				"/redirect": to("redirect", { route: undefined, redirect: { path_redirect: "/elsewhere", response_code: "FOUND" } }),
				"/direct": to("direct", direct(418, "teapot")),
				"/rewrite": to("rewrite", { match: { prefix: "/rewrite" }, route: { cluster: "echo", prefix_rewrite: "/new", host_rewrite_literal: "new.test" } }),
				"/weighted": to("weighted", {
					route: {
						weighted_clusters: {
							clusters: [
								{ name: "echo", weight: 0 },
								{ name: "other", weight: 1, request_headers_to_add: [{ header: { key: "x-own", value: "other" } }] },
							],
						},
					},
				}),
				"/nobody": to("nobody", { route: { cluster: "nobody" } }),
				"/gone": to("gone", { route: { cluster: "gone", cluster_not_found_response_code: "NOT_FOUND" } }),
				"/headers": to("headers", {
					request_headers_to_add: [{ header: { key: "x-route", value: "%REQ(:PATH)%" } }],
					response_headers_to_add: [{ header: { key: "x-answer", value: "yes" } }],
				}),
				"/buffer": to("buffer", {
					typed_per_filter_config: {
						"envoy.filters.http.fault": {
							"@type": "type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault",
							abort: { http_status: 599, percentage: { numerator: 100 } },
						},
					},
				}),
			}),
			{ request_headers_to_add: [{ header: { key: "x-host", value: "all" } }], include_request_attempt_count: true },
		),
		manager: { http_filters: [httpFilter("envoy.filters.http.fault", "fault.v3.HTTPFault"), httpFilter("envoy.filters.http.router", "router.v3.Router")] },
		requests: Object.fromEntries(
			["redirect", "direct", "rewrite", "weighted", "nobody", "gone", "headers", "buffer", "none"].map((name) => [name, get(`/${name}`)]),
		),
	},
	retries: {
		filters: [],
		host: tree(list([[value(path, { prefix: "/fails" }), to("fails", { route: { cluster: "echo", retry_policy: { retry_on: "5xx", num_retries: 2 } } })]]), {
			include_attempt_count_in_response: true,
		}),
		requests: { "three attempts": get("/fails") },
	},
	"a mirror of the host": {
		filters: [],
		host: tree(exact(path, { "/a": to("a") }), { request_mirror_policies: [{ cluster: "other" }] }),
		requests: { mirrored: get("/a") },
	},
	"ranges and names in headers": {
		filters: [],
		host: tree(
			list([
				[
					custom(header("x-ip"), extension("ip", "extensions.matching.input_matchers.ip.v3.Ip", { cidr_ranges: [range("10.0.0.0/8")], stat_prefix: "s" })),
					to("range"),
				],
				[
					value(header("x-tree"), present),
					nested({ matcher_tree: { input: header("x-tree"), custom_match: ranges([["10.0.0.0/8"], to("wide")], [["10.1.0.0/16"], to("narrow")]) } }),
				],
				[value(header("x-name"), present), nested({ matcher_tree: { input: header("x-name"), custom_match: domains([["*.example.com"], to("names")]) } })],
			]),
		),
		requests: {
			"in the range": get("/", "x-ip: 10.1.1.1\r\n"),
			"not in the range": get("/", "x-ip: 11.1.1.1\r\n"),
			narrow: get("/", "x-tree: 10.1.1.1\r\n"),
			wide: get("/", "x-tree: 10.2.1.1\r\n"),
			name: get("/", "x-name: a.example.com\r\n"),
		},
	},
	"TLS is required": {
		filters: [],
		host: tree(exact(path, { "/a": to("a") }), { require_tls: "ALL" }),
		requests: { "a redirect": get("/a"), "before a route is looked for": get("/b") },
	},
	"filter state": {
		filters: [setState],
		host: tree(exact(state("tenant"), { blue: to("blue"), green: to("green") }, { on_no_match: to("plain") })),
		requests: { blue: get("/", "x-tenant: blue\r\n"), green: get("/", "x-tenant: green\r\n"), other: get("/", "x-tenant: red\r\n"), none: get("/") },
	},
};

runScenarios("routes by match trees", scenarios, {
	stats: /^(http\.(?!admin|async)[^.]+\.(downstream_rq_[1-5]xx|no_route|rq_)|cluster\.[^.]+\.(upstream_rq_(total|[0-9a-z]xx|completed|retry))|vhost\.)/,
	log: { route: "%ROUTE_NAME%", cluster: "%UPSTREAM_CLUSTER%", attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%" },
	answer: { "/fails": () => ({ status: 503, body: "no" }) },
});
