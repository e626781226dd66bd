import { extension, httpFilter } from "./config.ts";
import { exact, header, list, nested, network, path, prefix, value } from "./matcher-trees.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const message = (name: string, fields: Json) => extension(name, `extensions.router.cluster_specifiers.matcher.v3.${name}`, fields);
const to = (cluster: string, more: Json = {}) => ({ action: message("ClusterAction", { cluster }), ...more });
const plugin = (cluster_matcher: Json) => ({ extension: message("MatcherClusterSpecifier", { cluster_matcher }) });
const inline = (cluster_matcher: Json, action: Json = {}) => route({ inline_cluster_specifier_plugin: plugin(cluster_matcher), ...action });
const route = (action: Json, more: Json = {}): Json => ({ name: "r", match: { prefix: "/" }, route: action, ...more });
const host = (...routes: readonly Json[]): Scenario["host"] => ({ routes });

const setTenant = httpFilter("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", {
	clear_route_cache: true,
	on_request_headers: [{ object_key: "tenant", factory_key: "envoy.string", format_string: { text_format_source: { inline_string: "%REQ(x-tenant)%" } } }],
});

const scenarios: Readonly<Record<string, Scenario>> = {
	inline: {
		filters: [],
		host: host(inline(exact(header("x-to"), { one: to("echo"), two: to("other"), gone: to("gone"), nobody: to("nobody") }))),
		requests: Object.fromEntries(["one", "two", "gone", "nobody", "no-match"].map((name) => [name, get("/", `x-to: ${name}\r\n`)])),
	},
	"the last word": {
		filters: [],
		host: host(inline(list([[value(path, { prefix: "/a" }), nested(prefix(path, { "/ab": to("other") }))]], { on_no_match: to("echo") }))),
		requests: { nested: get("/abc"), "not nested": get("/a"), last: get("/") },
	},
	"of the table": {
		filters: [],
		host: host(route({ cluster_specifier_plugin: "MatcherClusterSpecifier", prefix_rewrite: "/new", retry_policy: { retry_on: "5xx", num_retries: 1 } })),
		routeConfig: { cluster_specifier_plugins: [plugin(exact(path, { "/a": to("echo"), "/fails": to("other") }))] },
		requests: { found: get("/a"), "not found": get("/b") },
	},
	"two of one name": {
		filters: [],
		host: host(route({ cluster_specifier_plugin: "MatcherClusterSpecifier" })),
		routeConfig: { cluster_specifier_plugins: [plugin({ on_no_match: to("echo") }), plugin({ on_no_match: to("other") })] },
		requests: { "one counts": get("/") },
	},
	"a plugin that is not there": {
		filters: [],
		host: host(
			route({
				inline_cluster_specifier_plugin: {
					is_optional: true,
					extension: {
						name: "unknown",
						typed_config: { "@type": "type.googleapis.com/xds.type.v3.TypedStruct", type_url: "type.googleapis.com/test.Unknown", value: {} },
					},
				},
			}),
			route({ cluster: "echo" }, { name: "next", match: { prefix: "/next" } }),
		),
		requests: { "takes no request": get("/a"), "the next route does": get("/next") },
	},
	"after the route is chosen again": {
		filters: [setTenant],
		host: host(inline(exact(network("FilterStateInput", { key: "tenant" }), { blue: to("other") }, { on_no_match: to("echo") }))),
		requests: { "by filter state": get("/", "x-tenant: blue\r\n"), "by another": get("/", "x-tenant: red\r\n") },
	},
	"in a tree of routes": {
		filters: [],
		host: {
			routes: [],
			matcher: exact(path, {
				"/a": {
					action: {
						name: "route",
						typed_config: {
							"@type": "type.googleapis.com/envoy.config.route.v3.Route",
							...inline(exact(header("x-to"), { two: to("other") }, { on_no_match: to("echo") })),
						},
					},
				},
			}),
		},
		requests: { "by header": get("/a", "x-to: two\r\n"), last: get("/a") },
	},
};

runScenarios("clusters by match trees", scenarios, {
	stats: /^(http\.(?!admin|async)[^.]+\.(no_cluster|no_route|rq_)|cluster\.[^.]+\.upstream_rq_(total|[0-9a-z]xx|completed|retry):)/,
	log: { route: "%ROUTE_NAME%", cluster: "%UPSTREAM_CLUSTER%" },
});
