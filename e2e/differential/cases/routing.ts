import { extension, httpListener, staticCluster } from "../config.ts";
import { type Case, get, request, type Suite } from "../suite.ts";

const to = (cluster: string, more: object = {}) => ({ route: { cluster, ...more } });
const regex = (text: string) => ({ safe_regex: { regex: text } });
const header = (name: string, more: object) => ({ prefix: "/header", headers: [{ name, ...more }] });

const templated = (name: string, path_template: string, path_template_rewrite: string) => ({
	name,
	match: { path_match_policy: extension("m", "extensions.path.match.uri_template.v3.UriTemplateMatchConfig", { path_template }) },
	...to("a", { path_rewrite_policy: extension("r", "extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig", { path_template_rewrite }) }),
});

/** First match wins: each route of the first virtual host is there for some cases below, named like them. */
const routes = [
	{ name: "exact", match: { path: "/exact" }, ...to("a") },
	{ name: "exact-any-case", match: { path: "/Folded", case_sensitive: false }, ...to("a") },
	{ name: "prefix", match: { prefix: "/prefix/" }, ...to("b") },
	{ name: "separated", match: { path_separated_prefix: "/dir" }, ...to("b") },
	{ name: "regex", match: regex("/items/[0-9]+"), ...to("a") },
	{
		name: "template",
		match: {
			path_match_policy: {
				name: "t",
				typed_config: { "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig", path_template: "/shop/{id}/cart" },
			},
		},
		...to("a"),
	},
	{ name: "header-exact", match: header("x-kind", { string_match: { exact: "gold" } }), ...to("a") },
	{ name: "header-prefix-case", match: header("x-kind", { string_match: { prefix: "SIL", ignore_case: true } }), ...to("a") },
	{ name: "header-suffix", match: header("x-kind", { string_match: { suffix: "end" } }), ...to("a") },
	{ name: "header-contains", match: header("x-kind", { string_match: { contains: "mid" } }), ...to("a") },
	{ name: "header-regex", match: header("x-kind", { string_match: regex("r[ae]+d") }), ...to("a") },
	{ name: "header-range", match: header("x-count", { range_match: { start: "-5", end: "10" } }), ...to("a") },
	{ name: "header-present", match: header("x-there", { present_match: true }), ...to("a") },
	{ name: "header-inverted", match: header("x-not", { string_match: { exact: "no" }, invert_match: true }), ...to("b") },
	{
		name: "header-missing-as-empty",
		match: header("x-maybe", { string_match: { exact: "no" }, invert_match: true, treat_missing_header_as_empty: true }),
		...to("b"),
	},
	{ name: "query-exact", match: { prefix: "/query", query_parameters: [{ name: "v", string_match: { exact: "1" } }] }, ...to("a") },
	{ name: "query-present", match: { prefix: "/query", query_parameters: [{ name: "flag", present_match: true }] }, ...to("b") },
	{ name: "query-regex", match: { prefix: "/query", query_parameters: [{ name: "v", string_match: regex("[a-f]+") }] }, ...to("b") },
	{ name: "method", match: { prefix: "/method", headers: [{ name: ":method", string_match: { exact: "PUT" } }] }, ...to("b") },
	{ name: "grpc", match: { prefix: "/pkg.Service", grpc: {} }, ...to("a") },
	{ name: "cluster-header", match: { prefix: "/by-header" }, route: { cluster_header: "x-cluster" } },
	{ name: "unknown-cluster", match: { prefix: "/unknown-cluster" }, ...to("nowhere") },
	{ name: "unknown-cluster-404", match: { prefix: "/unknown404" }, ...to("nowhere", { cluster_not_found_response_code: "NOT_FOUND" }) },
	{
		name: "weighted-all-b",
		match: { prefix: "/weighted" },
		route: {
			weighted_clusters: {
				clusters: [
					{ name: "a", weight: 0 },
					{ name: "b", weight: 100, request_headers_to_add: [{ header: { key: "x-picked", value: "b" } }] },
				],
			},
		},
	},
	...Object.entries({
		plain: "/new",
		query: "/new?b=1",
		header: "/to/%REQ(x-to)%",
		empty: "%REQ(x-none)%",
		path: "/under%REQ(:PATH)%",
		added: "/%REQ(x-added)%",
	}).map(([name, path_rewrite]) => ({
		name: `format-${name}`,
		match: { prefix: `/format/${name}` },
		...to("a", { path_rewrite }),
		request_headers_to_add: [{ header: { key: "x-added", value: "added" } }],
	})),
	...Object.entries({ plain: "new.example", header: "%REQ(x-to)%.example", empty: "%REQ(x-none)%", missing: "a%REQ(x-none)%" }).map(([name, host_rewrite]) => ({
		name: `host-format-${name}`,
		match: { prefix: `/host-format/${name}` },
		...to("a", { host_rewrite, append_x_forwarded_host: true }),
	})),
	...Object.entries({ plain: "/new", query: "/new?b=1", header: "/to/%REQ(x-to)%", empty: "%REQ(x-none)%", path: "/under%REQ(:PATH)%" }).map(
		([name, path_rewrite]) => ({
			name: `redirect-format-${name}`,
			match: { prefix: `/redirect-format/${name}` },
			redirect: { path_rewrite },
		}),
	),
	templated("swapped", "/swap/{a}/with/{b=**}", "/{b}/and/{a}.html"),
	templated("fixed", "/fix/*", "/fixed/%41"),
	{
		name: "weighted-by-hash",
		match: { prefix: "/hashed" },
		route: {
			hash_policy: [{ header: { header_name: "x-user" } }],
			weighted_clusters: {
				clusters: [
					{ name: "a", weight: 50 },
					{ name: "b", weight: 50 },
				],
				use_hash_policy: true,
				runtime_key_prefix: "none",
			},
		},
	},
	{ name: "direct", match: { path: "/direct" }, direct_response: { status: 418, body: { inline_string: "teapot\n" } } },
	{ name: "direct-empty", match: { path: "/direct-empty" }, direct_response: { status: 204 } },
	{ name: "redirect-host", match: { prefix: "/redirect/host" }, redirect: { host_redirect: "other.example" } },
	{ name: "redirect-https", match: { prefix: "/redirect/https" }, redirect: { https_redirect: true } },
	{ name: "redirect-path", match: { prefix: "/redirect/path" }, redirect: { path_redirect: "/there?x=1", response_code: "FOUND" } },
	{ name: "redirect-prefix", match: { prefix: "/redirect/prefix" }, redirect: { prefix_rewrite: "/short", response_code: "TEMPORARY_REDIRECT" } },
	{
		name: "redirect-strip",
		match: { prefix: "/redirect/strip" },
		redirect: { path_redirect: "/clean", strip_query: true, response_code: "PERMANENT_REDIRECT" },
	},
	{ name: "redirect-port", match: { prefix: "/redirect/port" }, redirect: { port_redirect: 8443, scheme_redirect: "https", response_code: "SEE_OTHER" } },
	{
		name: "redirect-regex",
		match: { prefix: "/redirect/regex" },
		redirect: { regex_rewrite: { pattern: { regex: "/redirect/regex/(.*)" }, substitution: "/r/\\1" } },
	},
	{ name: "rewrite-prefix", match: { prefix: "/rewrite/prefix/" }, ...to("a", { prefix_rewrite: "/" }) },
	{
		name: "rewrite-regex",
		match: { prefix: "/rewrite/regex/" },
		...to("a", { regex_rewrite: { pattern: { regex: "/rewrite/regex/([^/]+)/(.*)" }, substitution: "/\\2/of/\\1" } }),
	},
	{ name: "rewrite-host", match: { prefix: "/rewrite/host" }, ...to("a", { host_rewrite_literal: "rewritten.example", append_x_forwarded_host: true }) },
	{ name: "rewrite-host-header", match: { prefix: "/rewrite/from-header" }, ...to("a", { host_rewrite_header: "x-host" }) },
	{
		name: "rewrite-host-path",
		match: { prefix: "/rewrite/from-path" },
		...to("a", { host_rewrite_path_regex: { pattern: { regex: "/rewrite/from-path/([a-z]+).*" }, substitution: "\\1.example" } }),
	},
	{
		name: "added",
		match: { prefix: "/added" },
		...to("a"),
		request_headers_to_add: [
			{ header: { key: "x-added", value: "%REQ(x-source)%|%PROTOCOL%|%REQ(:path)%" } },
			{ header: { key: "x-kept", value: "route" }, append_action: "ADD_IF_ABSENT" },
			{ header: { key: "x-over", value: "route" }, append_action: "OVERWRITE_IF_EXISTS" },
		],
		request_headers_to_remove: ["x-gone"],
		response_headers_to_add: [{ header: { key: "x-route", value: "%RESPONSE_CODE%" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" }],
		response_headers_to_remove: ["x-secret"],
	},
	{ name: "rest", match: { prefix: "/rest" }, ...to("a") },
];

const virtualHosts = [
	{
		name: "main",
		domains: ["test.example", "test.example:8080"],
		routes,
		request_headers_to_add: [{ header: { key: "x-vhost", value: "main" } }],
		include_request_attempt_count: true,
	},
	{ name: "suffix-long", domains: ["*.deep.wild.example"], routes: [{ name: "s1", match: { prefix: "/" }, ...to("a") }] },
	{ name: "suffix", domains: ["*.wild.example"], routes: [{ name: "s2", match: { prefix: "/" }, ...to("b") }] },
	{ name: "prefix", domains: ["api.*"], routes: [{ name: "p1", match: { prefix: "/" }, ...to("b") }] },
	{ name: "secure", domains: ["secure.example"], require_tls: "ALL", routes: [{ match: { prefix: "/" }, ...to("a") }] },
	{ name: "attempts", domains: ["attempts.example"], include_attempt_count_in_response: true, routes: [{ match: { prefix: "/" }, ...to("a") }] },
];

const paths: readonly Case[] = [
	"/exact",
	"/exact?q=1",
	"/exact/",
	"/EXACT",
	"/folded",
	"/FOLDED?x",
	"/prefix/",
	"/prefix/x?y=z",
	"/prefix",
	"/dir",
	"/dir/sub",
	"/dir?x",
	"/directory",
	"/items/42",
	"/items/42?x=y",
	"/items/42a",
	"/items/",
	"/shop/7/cart",
	"/shop/7/8/cart",
	"/none",
	"/",
].map((target) => ({ name: `path ${target}`, send: get(target) }));

const withHeaders: readonly Case[] = [
	["x-kind: gold"],
	["x-kind: Gold"],
	["x-kind: silver"],
	["x-kind: the end"],
	["x-kind: amidst"],
	["x-kind: raed"],
	["x-kind: rd"],
	["x-kind: gold", "x-kind: more"],
	["x-count: 9"],
	["x-count: 10"],
	["x-count: -5"],
	["x-count: nine"],
	["x-there:"],
	["x-there: yes"],
	["x-not: no"],
	["x-not: no", "x-maybe: no"],
	["x-not: yes"],
	[],
].map((lines) => ({ name: `headers ${lines.join(", ") || "none"}`, send: get("/header", ...lines) }));

const queries: readonly Case[] = [
	"/query?v=1",
	"/query?v=1&v=2",
	"/query?v=2&v=1",
	"/query?flag",
	"/query?flag=",
	"/query?v=abc",
	"/query?V=1",
	"/query?v=%31",
	"/query",
	"/query?v",
].map((target) => ({ name: `query ${target}`, send: get(target) }));

const hosts: readonly Case[] = [
	"test.example",
	"TEST.Example",
	"test.example:8080",
	"test.example:81",
	"a.wild.example",
	"a.deep.wild.example",
	"wild.example",
	".wild.example",
	"api.anything",
	"api.",
	"unknown.example",
	"test.example.",
].map((host) => ({
	name: `host ${host}`,
	send: get("/rest", `host: ${host}`),
}));

const actions: readonly Case[] = [
	{ name: "method PUT", send: request("PUT", "/method", [], "abc") },
	{ name: "method GET", send: get("/method") },
	{ name: "grpc by content type", send: request("POST", "/pkg.Service/Do", ["content-type: application/grpc"], "12345") },
	{ name: "grpc with suffix", send: request("POST", "/pkg.Service/Do", ["content-type: application/grpc+proto"], "12345") },
	{ name: "not grpc", send: request("POST", "/pkg.Service/Do", ["content-type: application/grpcx"], "12345") },
	{ name: "cluster header to b", send: get("/by-header", "x-cluster: b") },
	{ name: "cluster header missing", send: get("/by-header") },
	{ name: "cluster header unknown", send: get("/by-header", "x-cluster: zzz") },
	{ name: "unknown cluster", send: get("/unknown-cluster") },
	{ name: "unknown cluster, 404", send: get("/unknown404") },
	...["/swap/1/with/2", "/swap/1/with/2/3?q=/4", "/swap/1/with/", "/swap/$1/with/$2", "/fix/1?x", "/fix/1/2"].map(
		(path): Case => ({ name: `template rewrite of ${path}`, send: get(path) }),
	),
	...["plain", "query", "header", "empty", "path", "added"].map(
		(name): Case => ({ name: `path format: ${name}`, send: get(`/format/${name}/1?q=2`, "x-to: there") }),
	),
	...["plain", "header", "empty", "missing"].map((name): Case => ({ name: `host format: ${name}`, send: get(`/host-format/${name}/1?q=2`, "x-to: there") })),
	...["plain", "query", "header", "empty", "path"].map(
		(name): Case => ({ name: `path format of a redirect: ${name}`, send: get(`/redirect-format/${name}/1?q=2`, "x-to: there") }),
	),
	{ name: "weighted, all on one", send: get("/weighted") },
	...["ann", "bob", "cid", "dan", "eve", "fay"].map((user): Case => ({ name: `weighted by hash: ${user}`, send: get("/hashed", `x-user: ${user}`) })),
	{ name: "direct response", send: get("/direct") },
	{ name: "direct response to HEAD", send: request("HEAD", "/direct") },
	{ name: "direct response without body", send: get("/direct-empty") },
	...["host/a?b=c", "https?x", "path?old=1", "prefix/rest?q", "strip?gone=1", "port/x", "regex/abc?q=1"].map((rest) => ({
		name: `redirect ${rest}`,
		send: get(`/redirect/${rest}`),
	})),
	{ name: "redirect of a POST", send: request("POST", "/redirect/host", [], "body") },
	{ name: "redirect with a port in the host", send: get("/redirect/https", "host: test.example:8080") },
	...["prefix/", "prefix/a/b?c", "regex/one/two?three", "regex/one/", "host", "from-path/shop/x?y"].map((rest) => ({
		name: `rewrite ${rest}`,
		send: get(`/rewrite/${rest}`),
	})),
	{ name: "rewrite host from a header", send: get("/rewrite/from-header", "x-host: chosen.example") },
	{ name: "rewrite host from a missing header", send: get("/rewrite/from-header") },
	{ name: "headers added, kept, overwritten, removed", send: get("/added?x=1", "x-source: me", "x-kept: client", "x-over: client", "x-gone: 1") },
	{ name: "headers added where none was", send: get("/added") },
	{
		name: "response headers added and removed",
		send: get("/added"),
		reply: "HTTP/1.1 201 Created\r\nx-secret: s\r\nx-route: upstream\r\ncontent-length: 2\r\n\r\nok",
	},
	{ name: "TLS required", send: get("/x?y", "host: secure.example") },
	{ name: "attempt count in the response", send: get("/x", "host: attempts.example") },
];

export const routing: Suite = {
	name: "routing",
	upstreams: ["a", "b"],
	listeners: ["main"],
	resources: ({ upstream }, accessLog) => ({
		listeners: [
			httpListener("main", {
				delayed_close_timeout: "0.01s",
				access_log: accessLog,
				route_config: {
					name: "table",
					validate_clusters: false,
					virtual_hosts: virtualHosts,
					request_headers_to_add: [{ header: { key: "x-table", value: "t" } }],
				},
			}),
		],
		clusters: Object.entries(upstream).map(([name, port]) => staticCluster(name, port)),
	}),
	cases: [...paths, ...withHeaders, ...queries, ...hosts, ...actions],
};
