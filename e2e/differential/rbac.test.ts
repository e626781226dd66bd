import { createAuthority, requireClientCertificate } from "../security/identities.ts";
import { httpFilter } from "./config.ts";
import { get, post, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const any = { any: true };
const policy = (permissions: readonly Json[], principals: readonly Json[] = [any]) => ({ permissions, principals });
const rbac = (config: Json) => httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", config);
const allow = (permissions: readonly Json[], principals: readonly Json[] = [any]) =>
	rbac({ rules: { policies: { "ns[foo]-policy[bar]-rule[0]": policy(permissions, principals) } } });
const header = (name: string, match: Json) => ({ header: { name, ...match } });
const path = (match: Json) => ({ url_path: { path: match } });
const template = (path_template: string) => ({
	uri_template: {
		name: "t",
		typed_config: { "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", path_template },
	},
});
const range = (address_prefix: string, prefix_len: number) => ({ address_prefix, prefix_len });
const perRoute = (config: Json) => ({
	"envoy.filters.http.rbac": { "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute", ...config },
});
const deny = (name: string, permissions: readonly Json[]) => ({ action: "DENY", policies: { [name]: policy(permissions) } });
const route = (prefix: string, more: Json = {}) => ({ match: { prefix }, route: { cluster: "echo" }, ...more });

const authority = createAuthority("cluster.local");
const server = requireClientCertificate(authority.issue("spiffe://cluster.local/ns/a/sa/server"), authority.caPem);
const shown = authority.issue("spiffe://cluster.local/ns/foo/sa/alice");
const tls = { server, client: { cert: shown.certChainPem, key: shown.privateKeyPem } };
const principal = (match: Json) => ({ authenticated: { principal_name: match } });
/** Each path is for one principal. */
const byPrincipal = (principals: Readonly<Record<string, Json>>) =>
	rbac({ rules: { policies: Object.fromEntries(Object.entries(principals).map(([name, id]) => [name, policy([path({ exact: `/${name}` })], [id])])) } });

/** Of `google.api.expr.v1alpha1.Expr`, as parsers make them. */
const ident = (name: string): Json => ({ ident_expr: { name } });
const field = (operand: Json, name: string): Json => ({ select_expr: { operand, field: name } });
const text = (string_value: string): Json => ({ const_expr: { string_value } });
const call = (name: string, ...args: readonly Json[]): Json => ({ call_expr: { function: name, args } });
const requestHeader = (name: string): Json => call("_[_]", field(ident("request"), "headers"), text(name));
/** Each path is for one condition. */
const byCondition = (conditions: Readonly<Record<string, Json>>) =>
	rbac({
		rules: {
			policies: Object.fromEntries(Object.entries(conditions).map(([name, condition]) => [name, { ...policy([path({ exact: `/${name}` })]), condition }])),
		},
	});

const scenarios: Readonly<Record<string, Scenario>> = {
	conditions: {
		filters: [
			byCondition({
				method: call("_==_", field(ident("request"), "method"), text("PUT")),
				header: call("_==_", requestHeader("x-tenant"), text("acme")),
				"not-header": call("!_", call("_==_", requestHeader("x-tenant"), text("acme"))),
				either: call("_||_", call("_==_", requestHeader("x-a"), text("1")), call("_==_", requestHeader("x-b"), text("1"))),
				both: call("_&&_", call("_==_", requestHeader("x-a"), text("1")), call("_==_", requestHeader("x-b"), text("1"))),
				starts: { call_expr: { target: field(ident("request"), "url_path"), function: "startsWith", args: [text("/st")] } },
				has: { select_expr: { operand: field(ident("request"), "headers"), field: "x-a", test_only: true } },
				in: call("@in", field(ident("request"), "method"), { list_expr: { elements: [text("GET"), text("HEAD")] } }),
				size: call("_>_", call("size", requestHeader("x-a")), { const_expr: { int64_value: 3 } }),
				choice: call("_?_:_", call("_==_", requestHeader("x-a"), text("1")), { const_expr: { bool_value: true } }, { const_expr: { bool_value: false } }),
			}),
		],
		requests: {
			"method, no": get("/method"),
			"method, yes": "PUT /method HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n",
			header: get("/header", "x-tenant: acme\r\n"),
			"another value": get("/header", "x-tenant: other\r\n"),
			"no such header": get("/header"),
			"not, with it": get("/not-header", "x-tenant: acme\r\n"),
			"not, with another": get("/not-header", "x-tenant: other\r\n"),
			"not, without: it cannot be computed": get("/not-header"),
			"either, the first": get("/either", "x-a: 1\r\n"),
			"either, the second, while the first cannot be computed": get("/either", "x-b: 1\r\n"),
			both: get("/both", "x-a: 1\r\nx-b: 1\r\n"),
			"one of both": get("/both", "x-a: 1\r\n"),
			"start of the path": get("/starts"),
			has: get("/has", "x-a: 1\r\n"),
			"has not": get("/has"),
			in: get("/in"),
			"not in": "PUT /in HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n",
			"long enough": get("/size", "x-a: 1234\r\n"),
			"too short": get("/size", "x-a: 12\r\n"),
			"choice, yes": get("/choice", "x-a: 1\r\n"),
			"choice, no": get("/choice", "x-a: 2\r\n"),
		},
	},
	allow: {
		filters: [allow([path({ exact: "/ok" }), path({ prefix: "/pre" })])],
		requests: {
			"by exact path": get("/ok"),
			"by exact path, with a query": get("/ok?a=b"),
			"by prefix": get("/prefix/x"),
			"nothing matches": get("/no"),
			"a path that only starts alike": get("/okay"),
			"gRPC gets a gRPC answer": post("/no", "", "content-type: application/grpc\r\n"),
		},
	},
	deny: {
		filters: [rbac({ rules: deny("a policy with spaces", [path({ suffix: ".php" })]) })],
		requests: { matched: get("/x.php"), "not matched": get("/x.html") },
	},
	empty: { filters: [rbac({ rules: {} })], requests: { "no policies deny": get("/") } },
	"empty deny": { filters: [rbac({ rules: { action: "DENY" } })], requests: { "no policies allow": get("/") } },
	nothing: { filters: [rbac({})], requests: { "no rules do nothing": get("/") } },
	headers: {
		filters: [
			allow([
				{ and_rules: { rules: [header("x-a", { string_match: { exact: "1" } }), header("x-b", { present_match: true })] } },
				header(":method", { string_match: { exact: "PUT" } }),
				header("x-n", { range_match: { start: 3, end: 7 } }),
				header("x-not", { string_match: { exact: "v" }, invert_match: true }),
				header("x-re", { string_match: { safe_regex: { regex: "v[0-9]+" } } }),
				header(":authority", { string_match: { exact: "B.test", ignore_case: true } }),
				{ not_rule: header("x-must", { present_match: true }) },
			]),
		],
		requests: {
			"both of and": get("/", "x-must: 1\r\nx-a: 1\r\nx-b: 2\r\n"),
			"one of and": get("/", "x-must: 1\r\nx-a: 1\r\n"),
			"two lines are one value": get("/", "x-must: 1\r\nx-a: 1\r\nx-a: 1\r\nx-b: 2\r\n"),
			method: "PUT / HTTP/1.1\r\nhost: a.test\r\nx-must: 1\r\ncontent-length: 0\r\n",
			"in range": get("/", "x-must: 1\r\nx-n: 6\r\n"),
			"out of range": get("/", "x-must: 1\r\nx-n: 7\r\n"),
			inverted: get("/", "x-must: 1\r\nx-not: w\r\n"),
			"inverted and equal": get("/", "x-must: 1\r\nx-not: v\r\n"),
			regex: get("/", "x-must: 1\r\nx-re: v12\r\n"),
			"regex on a part": get("/", "x-must: 1\r\nx-re: v12a\r\n"),
			"authority in another case": get("/", "x-must: 1\r\n", "b.TEST"),
			not: get("/"),
			"none of them": get("/", "x-must: 1\r\n"),
		},
	},
	"headers with several lines": {
		filters: [
			allow([
				header("x-exact", { string_match: { exact: "1" } }),
				header("x-joined", { string_match: { exact: "1,2" } }),
				header("x-re", { string_match: { safe_regex: { regex: "a|b" } } }),
				header("x-n", { range_match: { start: 3, end: 7 } }),
				{ and_rules: { rules: [header("x-not", { present_match: true }), header("x-not", { string_match: { exact: "v" }, invert_match: true })] } },
				{ and_rules: { rules: [header("x-no", { present_match: true }), { not_rule: header("x-no", { string_match: { exact: "v" } }) }] } },
			]),
		],
		requests: {
			"the first is it": get("/", "x-exact: 1\r\nx-exact: 2\r\n"),
			"the second is it": get("/", "x-exact: 2\r\nx-exact: 1\r\n"),
			"only as one": get("/", "x-joined: 1\r\nx-joined: 2\r\n"),
			"as one in one line": get("/", "x-joined: 1,2\r\n"),
			"a list in one line": get("/", "x-exact: 1,2\r\n"),
			regex: get("/", "x-re: c\r\nx-re: b\r\n"),
			range: get("/", "x-n: 1\r\nx-n: 5\r\n"),
			"inverted, the first is it": get("/", "x-not: v\r\nx-not: w\r\n"),
			"inverted, the second is it": get("/", "x-not: w\r\nx-not: v\r\n"),
			"inverted, all are it": get("/", "x-not: v\r\nx-not: v\r\n"),
			"inverted, none is it": get("/", "x-not: w\r\nx-not: w\r\n"),
			"not, the first is it": get("/", "x-no: v\r\nx-no: w\r\n"),
			"not, none is it": get("/", "x-no: u\r\nx-no: w\r\n"),
		},
	},
	addresses: {
		filters: [allow([path({ exact: "/direct" })], [{ direct_remote_ip: range("127.0.0.0", 8) }])],
		requests: { direct: get("/direct"), "the path too": get("/other") },
	},
	remote: {
		filters: [allow([any], [{ remote_ip: range("10.0.0.0", 8) }, { remote_ip: range("2001:db8::", 32) }])],
		requests: {
			"by x-forwarded-for": get("/", "x-forwarded-for: 10.1.2.3\r\n"),
			"by x-forwarded-for, version 6": get("/", "x-forwarded-for: 2001:db8::7\r\n"),
			"another address": get("/", "x-forwarded-for: 11.1.2.3\r\n"),
			"no header": get("/"),
		},
	},
	"destination port": {
		filters: [allow([{ and_rules: { rules: [{ destination_port_range: { start: 1, end: 65535 } }, { not_rule: { destination_port: 80 } }] } }])],
		requests: { "in the range": get("/") },
	},
	"destination address": {
		filters: [allow([{ destination_ip: range("127.0.0.1", 32) }])],
		requests: { "of the listener": get("/") },
	},
	names: {
		filters: [allow([{ requested_server_name: { prefix: "x" } }], [{ authenticated: {} }])],
		requests: { "there is no TLS": get("/") },
	},
	principals: {
		tls,
		filters: [
			byPrincipal({
				exact: principal({ exact: "spiffe://cluster.local/ns/foo/sa/alice" }),
				other: principal({ exact: "spiffe://cluster.local/ns/foo/sa/bob" }),
				regex: principal({ safe_regex: { regex: ".*/ns/foo/.*" } }),
				namespace: principal({ safe_regex: { regex: ".*/ns/bar/.*" } }),
				suffix: principal({ suffix: "/sa/alice" }),
				any: { authenticated: {} },
				prefix: principal({ prefix: "spiffe://" }),
				not: { not_id: principal({ prefix: "spiffe://" }) },
				subject: principal({ prefix: "CN=" }),
				empty: principal({ exact: "" }),
			}),
		],
		requests: Object.fromEntries(
			["exact", "other", "regex", "namespace", "suffix", "any", "prefix", "not", "subject", "empty"].map((name) => [name, get(`/${name}`)]),
		),
	},
	"server names": {
		tls,
		filters: [allow([{ requested_server_name: { suffix: ".test" } }, { requested_server_name: { exact: "Server.test" } }])],
		requests: { matched: get("/") },
	},
	"another server name": { tls, filters: [allow([{ requested_server_name: { exact: "other.test" } }])], requests: { "not matched": get("/") } },
	templates: {
		filters: [allow([template("/a/{id}/b"), template("/files/**"), template("/one/*"), template("/v/{rest=**}.json")])],
		requests: {
			variable: get("/a/12/b"),
			"a variable is one segment": get("/a/1/2/b"),
			"an empty variable": get("/a//b"),
			"with a query": get("/a/12/b?x=/"),
			"any depth": get("/files/x/y/z"),
			"no depth": get("/files/"),
			"one segment": get("/one/x"),
			"two segments": get("/one/x/y"),
			suffix: get("/v/a/b.json"),
			"another suffix": get("/v/a/b.xml"),
		},
	},
	shadow: {
		filters: [
			rbac({
				rules: { policies: { all: policy([any]) } },
				shadow_rules: deny("shady", [path({ prefix: "/s" })]),
				shadow_rules_stat_prefix: "istio_dry_run_deny_",
			}),
		],
		requests: { "would be denied": get("/s"), "would be allowed": get("/t") },
	},
	log: {
		filters: [rbac({ rules: { action: "LOG", policies: { hint: policy([path({ prefix: "/l" })]) } } })],
		requests: { logged: get("/l"), "not logged": get("/m") },
	},
	order: {
		filters: [
			rbac({ rules: { action: "DENY", policies: { b: policy([any]), a: policy([path({ prefix: "/a" })]), "C upper": policy([path({ prefix: "/c" })]) } } }),
		],
		requests: { "the first by name": get("/a"), "upper case comes first": get("/c"), "the last": get("/x") },
	},
	prefixed: {
		filters: [rbac({ rules: deny("p", [path({ prefix: "/d" })]), rules_stat_prefix: "mine", track_per_rule_stats: true })],
		requests: { denied: get("/d"), allowed: get("/e") },
	},
	routes: {
		filters: [allow([path({ exact: "/allowed-by-default" })])],
		host: {
			routes: [
				route("/open", { typed_per_filter_config: perRoute({}) }),
				route("/off", {
					typed_per_filter_config: { "envoy.filters.http.rbac": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true } },
				}),
				route("/own", { typed_per_filter_config: perRoute({ rbac: { rules: deny("own", [path({ suffix: "/x" })]) } }) }),
				route("/no-host", { typed_per_filter_config: perRoute({}), route: { cluster: "nobody" } }),
				{ match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "d" } } },
				{
					match: { prefix: "/weighted" },
					route: { weighted_clusters: { clusters: [{ name: "echo", weight: 1, typed_per_filter_config: perRoute({ rbac: { rules: deny("w", [any]) } }) }] } },
					typed_per_filter_config: perRoute({}),
				},
				{ match: { path: "/allowed-by-default" }, route: { cluster: "echo" } },
			],
			response_headers_to_add: [{ header: { key: "x-route", value: "said" } }],
		},
		requests: {
			"no rules of its own": get("/open"),
			"switched off": get("/off"),
			"denied by its own": get("/own/x"),
			"allowed by its own": get("/own/y"),
			"the router's answers have the route's headers": get("/no-host"),
			"a direct response is guarded": get("/direct"),
			"a weighted cluster has the last word": get("/weighted"),
			"the filter's": get("/allowed-by-default"),
			"no route, and not allowed": get("/nowhere"),
		},
	},
	"virtual host": {
		filters: [allow([path({ exact: "/x" })])],
		host: { typed_per_filter_config: perRoute({ rbac: { rules: deny("host", [path({ exact: "/x" })]) } }) },
		requests: { denied: get("/x"), allowed: get("/y") },
	},
	"off unless a route asks": {
		filters: [{ ...rbac({ rules: {} }), disabled: true }],
		host: { routes: [route("/on", { typed_per_filter_config: perRoute({ rbac: { rules: {} } }) }), route("/")] },
		requests: { on: get("/on"), off: get("/") },
	},
};

runScenarios("role-based access control", scenarios, {
	stats: /\.rbac\./,
	log: {
		shadow: "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
		hint: "%DYNAMIC_METADATA(envoy.common:access_log_hint)%",
	},
});
