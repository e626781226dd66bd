import { createAuthority, requireClientCertificate } from "../security/identities.ts";
import { extension, httpFilter } from "./config.ts";
import { custom, domains, exact, header, list, nested, network, path, prefix, range, ranges, ssl, value, xds } from "./matcher-trees.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;
type Verdict = "ALLOW" | "DENY" | "LOG";

const rbac = (config: Json) => httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", config);
const tree = (matcher: Json) => [rbac({ matcher })];
const act = (name: string, action: Verdict = "ALLOW") => ({ action: extension("action", "config.rbac.v3.Action", { name, action }) });
const present = { safe_regex: { google_re2: {}, regex: ".*" } };
const metadata = (key: string, match: Json) =>
	custom(
		network("DynamicMetadataInput", { filter: "envoy.filters.http.rbac", path: [{ key }] }),
		extension("metadata", "extensions.matching.input_matchers.metadata.v3.Metadata", match),
	);

const authority = createAuthority("cluster.local");
const server = requireClientCertificate(authority.issue("spiffe://cluster.local/ns/a/sa/server"), authority.caPem);
const shown = authority.issue("spiffe://cluster.local/ns/foo/sa/alice");
const tls = { server, client: { cert: shown.certChainPem, key: shown.privateKeyPem } };

const ident = (name: string): Json => ({ ident_expr: { name } });
const select = (operand: Json, field: string): Json => ({ select_expr: { operand, field } });
const call = (name: string, ...args: readonly Json[]): Json => ({ call_expr: { function: name, args } });
const text = (string_value: string): Json => ({ const_expr: { string_value } });
const isMethod = (method: string) => ({ expr: call("_==_", select(ident("request"), "method"), text(method)) });
const cel = (expr_match: Json) => custom(xds("HttpAttributesCelMatchInput"), xds("CelMatcher", { expr_match }));

const scenarios: Readonly<Record<string, Scenario>> = {
	"a list": {
		filters: tree(
			list([
				[value(path, { exact: "/no" }), act("not this", "DENY")],
				[value(path, { prefix: "/a" }), act("a")],
				[value(path, { suffix: "z" }), act("z", "DENY")],
				[value(path, { contains: "IDD", ignore_case: true }), act("middle")],
				[value(path, { safe_regex: { google_re2: {}, regex: "/r[0-9]+" } }), act("regex")],
			]),
		),
		requests: {
			denied: get("/no"),
			"by prefix": get("/abc"),
			"the first that matches": get("/az"),
			"by suffix": get("/z"),
			contains: get("/middle"),
			regex: get("/r12"),
			"regex of a part": get("/r12x"),
			"nothing matches": get("/"),
			"with a query": get("/no?a=b"),
		},
	},
	predicates: {
		filters: tree(
			list([
				[{ and_matcher: { predicate: [value(header("x-a"), { exact: "1" }), value(header("x-b"), { exact: "1" })] } }, act("both")],
				[{ or_matcher: { predicate: [value(header("x-c"), { exact: "1" }), value(header("x-d"), { exact: "1" })] } }, act("either")],
				[{ and_matcher: { predicate: [value(path, { exact: "/not" }), { not_matcher: value(header("x-e"), present) }] } }, act("without")],
			]),
		),
		requests: {
			both: get("/", "x-a: 1\r\nx-b: 1\r\n"),
			"one of both": get("/", "x-a: 1\r\n"),
			either: get("/", "x-d: 1\r\n"),
			neither: get("/"),
			"without the header": get("/not"),
			"with it": get("/not", "x-e: 1\r\n"),
			"with an empty one": get("/not", "x-e:\r\n"),
		},
	},
	headers: {
		filters: tree(
			exact(header("X-A"), { "1": act("one"), "1,2": act("two lines"), "1, 2": act("one line"), "": act("empty") }, { on_no_match: act("no match", "DENY") }),
		),
		requests: {
			one: get("/", "x-a: 1\r\n"),
			"two lines": get("/", "x-a: 1\r\nx-a: 2\r\n"),
			"one line": get("/", "x-a: 1, 2\r\n"),
			empty: get("/", "x-a:\r\n"),
			another: get("/", "x-a: 3\r\n"),
			none: get("/"),
		},
	},
	"pseudo headers": {
		filters: tree(
			list([
				[value(header(":method"), { exact: "PUT" }), act("method")],
				[value(header(":authority"), { exact: "b.test" }), act("authority")],
				[value(header("host"), { exact: "c.test" }), act("host")],
				[value(header(":scheme"), { exact: "https" }), act("scheme")],
			]),
		),
		requests: {
			method: "PUT / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n",
			authority: get("/", "", "b.test"),
			host: get("/", "", "c.test"),
			none: get("/"),
		},
	},
	"a tree of prefixes": {
		filters: tree(
			prefix(path, {
				"/": act("root", "DENY"),
				"/api/": act("api"),
				"/api/admin": nested(exact(header("x-admin"), { yes: act("admin") })),
				"/open/": nested(exact(header("x-a"), { "1": act("one", "DENY") }, { on_no_match: act("otherwise") })),
			}),
		),
		requests: {
			root: get("/x"),
			longer: get("/api/x"),
			longest: get("/api/admin", "x-admin: yes\r\n"),
			"the longest does not match": get("/api/admin"),
			"a tree's own last word": get("/open/"),
			"a tree's own": get("/open/", "x-a: 1\r\n"),
		},
	},
	"nothing in a tree": {
		filters: tree(
			list(
				[
					[value(path, { prefix: "/a" }), nested(list([[value(header("x-a"), { exact: "1" }), act("deep")]]))],
					[value(path, { prefix: "/ab" }), act("next")],
				],
				{ on_no_match: nested(exact(path, { "/last": act("last") })) },
			),
		),
		requests: {
			deep: get("/ab", "x-a: 1\r\n"),
			"the next of the list": get("/ab"),
			"no next": get("/ac"),
			"a tree as the last word": get("/last"),
			nothing: get("/other"),
		},
	},
	"an exact tree that does not match": {
		filters: tree(exact(path, { "/a": nested(exact(header("x-a"), { "1": act("deep") })) }, { on_no_match: act("otherwise", "ALLOW") })),
		requests: { deep: get("/a", "x-a: 1\r\n"), "not deep": get("/a"), otherwise: get("/b") },
	},
	addresses: {
		filters: tree(
			list([
				[{ and_matcher: { predicate: [value(path, { exact: "/source" }), value(network("SourceIPInput"), { exact: "127.0.0.1" })] } }, act("source")],
				[{ and_matcher: { predicate: [value(path, { exact: "/direct" }), value(network("DirectSourceIPInput"), { exact: "127.0.0.1" })] } }, act("direct")],
				[
					{ and_matcher: { predicate: [value(path, { exact: "/destination" }), value(network("DestinationIPInput"), { exact: "127.0.0.1" })] } },
					act("destination"),
				],
				[
					{
						and_matcher: {
							predicate: [value(path, { exact: "/port" }), value(network("DestinationPortInput"), { safe_regex: { google_re2: {}, regex: "[0-9]+" } })],
						},
					},
					act("port"),
				],
				[
					{
						and_matcher: {
							predicate: [value(path, { exact: "/source-port" }), value(network("SourcePortInput"), { safe_regex: { google_re2: {}, regex: "[0-9]+" } })],
						},
					},
					act("source port"),
				],
				[value(network("ServerNameInput"), present), act("server name")],
				[
					custom(
						network("SourceIPInput"),
						extension("ip", "extensions.matching.input_matchers.ip.v3.Ip", { cidr_ranges: [range("10.1.0.0/16")], stat_prefix: "s" }),
					),
					act("range"),
				],
				[value(network("FilterStateInput", { key: "nobody" }), present), act("filter state")],
			]),
		),
		requests: {
			...Object.fromEntries(["source", "direct", "destination", "port", "source-port", "none"].map((name) => [name, get(`/${name}`)])),
			"by x-forwarded-for": get("/source", "x-forwarded-for: 10.2.2.3\r\n"),
			"direct, by x-forwarded-for": get("/direct", "x-forwarded-for: 10.2.2.3\r\n"),
			"in a range": get("/", "x-forwarded-for: 10.1.2.3\r\n"),
			"in another": get("/", "x-forwarded-for: 10.2.2.3\r\n"),
			"of version 6": get("/", "x-forwarded-for: 2001:db8::7\r\n"),
		},
	},
	"certificates without TLS": {
		filters: tree(
			list(
				[
					[{ or_matcher: { predicate: [value(ssl("SubjectInput"), present), value(header("x-or"), present)] } }, act("or")],
					[{ and_matcher: { predicate: [value(header("x-and"), present), value(ssl("UriSanInput"), present)] } }, act("and")],
					[value(header("x-next"), present), act("next")],
				],
				{ on_no_match: act("last") },
			),
		),
		requests: { "decide nothing": get("/", "x-next: 1\r\n"), "are not needed": get("/", "x-or: 1\r\n") },
	},
	"certificates without TLS, not asked for": {
		filters: tree(
			list(
				[
					[{ and_matcher: { predicate: [value(header("x-and"), present), value(ssl("UriSanInput"), present)] } }, act("and")],
					[{ and_matcher: { predicate: [value(header("x-not"), present), { not_matcher: value(ssl("DnsSanInput"), present) }] } }, act("not")],
				],
				{ on_no_match: act("last") },
			),
		),
		requests: { "the last word": get("/"), "asked for": get("/", "x-and: 1\r\n"), "not them": get("/", "x-not: 1\r\n") },
	},
	"a tree of certificates without TLS": {
		filters: tree(exact(ssl("SubjectInput"), { "CN=a": act("a") }, { on_no_match: act("last") })),
		requests: { "decides nothing": get("/") },
	},
	"a tree of ranges": {
		filters: tree({
			matcher_tree: {
				input: network("SourceIPInput"),
				custom_match: ranges(
					[["10.0.0.0/8", "2001:db8::/32"], act("wide")],
					[["10.1.0.0/16"], nested(exact(header("x-a"), { "1": act("narrow") }))],
					[["10.1.0.0/12"], act("exclusive"), true],
					[["192.168.0.0/16"], act("alone", "ALLOW"), true],
					[["192.168.0.0/16"], act("the second of two")],
				),
			},
			on_no_match: act("none", "DENY"),
		}),
		requests: {
			wide: get("/", "x-forwarded-for: 10.200.0.1\r\n"),
			"version 6": get("/", "x-forwarded-for: 2001:db8::7\r\n"),
			narrow: get("/", "x-forwarded-for: 10.1.0.1\r\nx-a: 1\r\n"),
			"a narrow tree without a match": get("/", "x-forwarded-for: 10.1.0.1\r\n"),
			exclusive: get("/", "x-forwarded-for: 10.2.0.1\r\n"),
			"exclusive, and alone": get("/", "x-forwarded-for: 192.168.0.1\r\n"),
			none: get("/", "x-forwarded-for: 172.16.0.1\r\n"),
		},
	},
	"a tree of server names": {
		filters: tree({
			matcher_tree: {
				input: header(":authority"),
				custom_match: domains(
					[["a.example.com"], act("exact")],
					[["*.example.com"], act("one label")],
					[["*.b.example.com"], nested(exact(header("x-a"), { "1": act("deep") }))],
					[["Upper.test"], act("upper")],
				),
			},
			on_no_match: act("none", "DENY"),
		}),
		requests: {
			exact: get("/", "", "a.example.com"),
			wildcard: get("/", "", "c.example.com"),
			"several labels": get("/", "", "c.d.example.com"),
			"the longer one": get("/", "x-a: 1\r\n", "x.b.example.com"),
			"the longer one does not match": get("/", "", "x.b.example.com"),
			"without a label": get("/", "", "example.com"),
			"as written": get("/", "", "Upper.test"),
			"in lower case": get("/", "", "upper.test"),
			"a name in upper case": get("/", "", "A.example.com"),
			none: get("/", "", "a.test"),
		},
	},
	"a tree of server names with a rest": {
		filters: tree({
			matcher_tree: {
				input: header(":authority"),
				custom_match: domains([["*"], act("rest")], [["a.test"], nested(exact(header("x-a"), { "1": act("deep") }))]),
			},
		}),
		requests: { rest: get("/", "", "b"), deep: get("/", "x-a: 1\r\n", "a.test"), "not deep": get("/", "", "a.test") },
	},
	certificates: {
		tls,
		filters: tree(
			list([
				[
					{ and_matcher: { predicate: [value(path, { exact: "/uri" }), value(ssl("UriSanInput"), { exact: "spiffe://cluster.local/ns/foo/sa/alice" })] } },
					act("uri"),
				],
				[{ and_matcher: { predicate: [value(path, { exact: "/dns" }), value(ssl("DnsSanInput"), present)] } }, act("dns")],
				[{ and_matcher: { predicate: [value(path, { exact: "/subject" }), value(ssl("SubjectInput"), present)] } }, act("subject")],
				[{ and_matcher: { predicate: [value(path, { exact: "/name" }), value(network("ServerNameInput"), { exact: "server.test" })] } }, act("server name")],
			]),
		),
		requests: Object.fromEntries(["uri", "dns", "subject", "name", "other"].map((name) => [name, get(`/${name}`)])),
	},
	expressions: {
		filters: tree(
			list([
				[cel({ cel_expr_parsed: isMethod("PUT") }), act("parsed")],
				[cel({ cel_expr_checked: isMethod("GET") }), act("checked", "DENY")],
				[cel({ parsed_expr: isMethod("HEAD") }), act("by the older name")],
			]),
		),
		requests: {
			parsed: "PUT / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 0\r\n",
			checked: get("/"),
			"by the older name": "HEAD / HTTP/1.1\r\nhost: a.test\r\n",
			none: "DELETE / HTTP/1.1\r\nhost: a.test\r\n",
		},
	},
	"dynamic metadata": {
		filters: [
			rbac({ shadow_matcher: exact(path, { "/a": act("shadow a"), "/d": act("shadow d", "DENY") }) }),
			rbac({
				matcher: list([
					[metadata("shadow_effective_policy_id", { value: { string_match: { exact: "shadow a" } } }), act("a")],
					[metadata("shadow_engine_result", { value: { string_match: { exact: "allowed" } }, invert: true }), act("denied before", "DENY")],
				]),
			}),
		],
		requests: { "the same": get("/a"), another: get("/d"), none: get("/x") },
	},
	shadow: {
		filters: [
			rbac({
				matcher: exact(path, { "/s": act("real") }, { on_no_match: act("rest") }),
				shadow_matcher: exact(path, { "/s": act("shady", "DENY"), "/log": act("logged", "LOG") }),
				shadow_rules_stat_prefix: "dry_",
				rules_stat_prefix: "wet",
				track_per_rule_stats: true,
			}),
		],
		requests: { "would be denied": get("/s"), "would be denied, since nothing matches": get("/t"), "would be logged": get("/log") },
	},
	log: {
		filters: tree(exact(path, { "/l": act("hint", "LOG"), "/d": act("deny", "DENY"), "/a": act("allow") })),
		requests: { logged: get("/l"), allowed: get("/a"), denied: get("/d"), "nothing matches": get("/x") },
	},
	empty: { filters: tree({}), requests: { "nothing matches": get("/") } },
	"only a last word": { filters: tree({ on_no_match: act("all") }), requests: { allowed: get("/") } },
	"rules beside a matcher": {
		filters: [
			rbac({
				matcher: { on_no_match: act("matcher") },
				rules: { action: "DENY", policies: { p: { permissions: [{ any: true }], principals: [{ any: true }] } } },
			}),
		],
		requests: { "are not looked at": get("/") },
	},
	"of a route": {
		filters: tree({ on_no_match: act("filter", "DENY") }),
		host: {
			typed_per_filter_config: {
				"envoy.filters.http.rbac": {
					"@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute",
					rbac: { matcher: exact(path, { "/x": act("host") }) },
				},
			},
		},
		requests: { allowed: get("/x"), denied: get("/y") },
	},
};

runScenarios("role-based access control by trees of matchers", scenarios, {
	stats: /\.rbac\./,
	log: {
		shadow: "%DYNAMIC_METADATA(envoy.filters.http.rbac)%",
		hint: "%DYNAMIC_METADATA(envoy.common:access_log_hint)%",
	},
});
