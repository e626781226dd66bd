import { httpFilter, keyedHost, loopback } from "./config.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const toMetadata = (fields: Json) => httpFilter("envoy.filters.http.header_to_metadata", "header_to_metadata.v3.Config", fields);
const setMetadata = (...metadata: readonly Json[]) => httpFilter("envoy.filters.http.set_metadata", "set_metadata.v3.Config", { metadata });
const setState = (values: readonly Json[], fields: Json = {}) =>
	httpFilter("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", { on_request_headers: values, ...fields });
const object = (object_key: string, format: string, fields: Json = {}) => ({
	object_key,
	factory_key: "envoy.string",
	format_string: { text_format_source: { inline_string: format } },
	...fields,
});
const clearRoute = setState([], { clear_route_cache: true });
const pair = (key: string, fields: Json = {}) => ({ metadata_namespace: "a", key, ...fields });
const found = (header: string, key: string, fields: Json = {}) => ({ header, on_header_present: pair(key, fields) });
const route = (name: string, match: Json, action: Json = { route: { cluster: "echo" } }) => ({ name, match: { prefix: "/", ...match }, ...action });
const override = (name: string, message: string, fields: Json) => ({
	[`envoy.filters.http.${name}`]: { "@type": `type.googleapis.com/envoy.extensions.filters.http.${name}.v3.${message}`, ...fields },
});
const substitute = (regex: string, substitution: string) => ({ regex_value_rewrite: { pattern: { google_re2: {}, regex }, substitution } });
const base64 = (text: string | Uint8Array) => Buffer.from(text as string).toString("base64");
const lines = (...headers: readonly string[]) => headers.map((header) => `${header}\r\n`).join("");

const scenarios: Readonly<Record<string, Scenario>> = {
	"headers of requests": {
		filters: [
			toMetadata({
				stat_prefix: "rules",
				request_rules: [
					found("x-plain", "plain"),
					found("X-Upper", "upper"),
					found("x-fixed", "fixed", { value: "always" }),
					{ header: "x-both", on_header_present: pair("both"), on_header_missing: pair("both", { value: "missing" }) },
					{ header: "x-gone", on_header_present: pair("gone"), remove: true },
					{ header: "x-alone", on_header_missing: pair("alone", { value: "missing" }), remove: true },
					{ header: "x-elsewhere", on_header_present: { key: "elsewhere" } },
					found(":path", "path"),
					found("host", "host"),
					found(":method", "method"),
				],
			}),
		],
		requests: {
			none: get("/none?a=b"),
			all: get("/", lines("x-plain: 1", "x-upper: 2", "x-fixed: 3", "x-both: 4", "x-gone: 5", "x-alone: 6", "x-elsewhere: 7")),
			empty: get("/", lines("x-plain:", "x-fixed:", "x-both:", "x-gone:")),
			"several lines": get("/", lines("x-plain: 1", "x-plain: 2", "x-gone: a", "x-gone: b")),
			"too long": get("/", lines(`x-plain: ${"a".repeat(8 * 1024)}`, `x-upper: ${"a".repeat(8 * 1024 - 1)}`)),
			"not ASCII": get("/", lines("x-plain: gr\u00fc\u00df")),
		},
	},
	"values of types": {
		filters: [
			toMetadata({
				stat_prefix: "types.",
				request_rules: [
					found("x-number", "number", { type: "NUMBER" }),
					found("x-base64", "text", { encode: "BASE64" }),
					found("x-base64-number", "n", { encode: "BASE64", type: "NUMBER" }),
					found("x-value", "value", { encode: "BASE64", type: "PROTOBUF_VALUE" }),
					found("x-raw", "raw", { type: "PROTOBUF_VALUE" }),
					{ header: "x-missing", on_header_missing: pair("missing", { value: "12.5", type: "NUMBER" }) },
				],
			}),
		],
		requests: {
			...Object.fromEntries(
				["1", "-1.5", "+2", "1e3", ".5", "5.", "0x10", "-0x1.8p1", "0x.8", "0x", "1e", ".", "1 2", "a", "1_000"].map((number) => [
					number,
					get("/", `x-number: ${number}\r\n`),
				]),
			),
			text: get("/", `x-base64: ${base64("hello, world")}\r\n`),
			"without padding": get("/", `x-base64: ${base64("hello, world!").replace(/=+$/, "")}\r\n`),
			"more padding": get("/", `x-base64: ${base64("hello")}==\r\n`),
			"padding for nothing": get("/", `x-base64: ${base64("abc")}==\r\n`),
			"bad base64": get("/", "x-base64: a*b\r\n"),
			"bits that do not count": get("/", "x-base64: YR\r\n"),
			"URL-safe": get("/", "x-base64: _-__\r\n"),
			"UTF-8": get("/", `x-base64: ${base64("gr\u00fc\u00df")}\r\n`),
			"a number in base64": get("/", `x-base64-number: ${base64(" 42 ")}\r\n`),
			"a struct": get("/", `x-value: ${base64(Buffer.from([0x2a, 0x0b, 0x0a, 0x09, 0x0a, 0x01, 0x6b, 0x12, 0x04, 0x1a, 0x02, 0x68, 0x69]))}\r\n`),
			"a list": get("/", `x-value: ${base64(Buffer.from([0x32, 0x08, 0x0a, 0x02, 0x20, 0x01, 0x0a, 0x02, 0x08, 0x00]))}\r\n`),
			"no value": get("/", `x-value: ${base64(Buffer.from([0x2a, 0x7f, 0x01]))}\r\n`),
			raw: get("/", "x-raw: \u001a\u0001a\r\n".replace(/[^\u0020-\u007e\r\n]/g, "x")),
		},
	},
	cookies: {
		filters: [
			toMetadata({
				request_rules: [
					{ cookie: "session", on_header_present: pair("session"), on_header_missing: pair("session", { value: "none" }) },
					{ cookie: "user", on_header_present: pair("user", substitute("^([a-z]+)-.*$", "\\1")) },
				],
				response_rules: [{ cookie: "session", on_header_missing: pair("answered", { value: "no cookies" }) }],
			}),
		],
		requests: {
			none: get("/"),
			one: get("/", "cookie: session=abc\r\n"),
			among: get("/", 'cookie: a=b; session="quoted"; user=joe-17\r\n'),
			"an empty one": get("/", "cookie: session=; user=x\r\n"),
			"several lines": get("/", "cookie: a=1\r\ncookie: session=second\r\n"),
			"with a comma": get("/", "cookie: a=1,2; session=x,y\r\n"),
			twice: get("/", "cookie: session=1; session=2\r\n"),
			"space behind": get("/", "cookie: session=1 ; a=2\r\n"),
			"a tab before": get("/", "cookie: a=2;\tsession=1\r\n"),
			"of a longer name": get("/", "cookie: sessions=1\r\n"),
		},
	},
	rewrites: {
		filters: [
			toMetadata({
				stat_prefix: "rewrites",
				request_rules: [
					found(":path", "first", substitute("^/([^/]+)/.*$", "\\1")),
					found("x-gone", "gone", substitute(".*", "")),
					found("x-all", "all", substitute("a", "bb")),
				],
			}),
		],
		requests: { first: get("/tenant/rest"), "no match": get("/x"), emptied: get("/", "x-gone: abc\r\n"), all: get("/", "x-all: banana\r\n") },
	},
	"headers of responses": {
		filters: [
			toMetadata({
				stat_prefix: "responses",
				response_rules: [
					found("x-answer", "answer"),
					found(":status", "status", { type: "NUMBER" }),
					{ header: "x-hidden", on_header_present: pair("hidden"), remove: true },
					{ header: "x-no", on_header_missing: pair("no", { value: "missing" }) },
				],
			}),
		],
		host: { routes: [route("direct", { prefix: "/direct" }, { direct_response: { status: 203 } }), route("all", {})] },
		requests: { "of a host": get("/answers"), "the proxy's own": get("/direct") },
	},
	"said by routes": {
		filters: [
			toMetadata({ request_rules: [found("x-a", "filter")], response_rules: [{ header: "x-no", on_header_missing: pair("filter-response", { value: "1" }) }] }),
		],
		host: {
			typed_per_filter_config: override("header_to_metadata", "Config", { request_rules: [found("x-a", "host")] }),
			routes: [
				{ ...route("own", { prefix: "/own" }), typed_per_filter_config: override("header_to_metadata", "Config", { request_rules: [found("x-a", "route")] }) },
				{
					...route("off", { prefix: "/off" }),
					typed_per_filter_config: {
						"envoy.filters.http.header_to_metadata": { "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", disabled: true },
					},
				},
				route("host's", {}),
			],
		},
		requests: { route: get("/own", "x-a: 1\r\n"), host: get("/", "x-a: 1\r\n"), off: get("/off", "x-a: 1\r\n") },
	},
	"metadata is set": {
		filters: [
			setMetadata(
				{ metadata_namespace: "a", value: { text: "one", number: 1, list: [1, "x"], struct: { k: 1, l: { m: true } }, none: null, kind: "text" } },
				{ metadata_namespace: "a", value: { text: "not", other: "not" } },
				{
					metadata_namespace: "a",
					allow_overwrite: true,
					value: { text: "two", list: [2], struct: { k: 2, l: { n: [] } }, kind: { a: 1 }, none: null, more: "yes" },
				},
				{ metadata_namespace: "b" },
				{ metadata_namespace: "envoy.filters.http.header_to_metadata", value: { from: "set" } },
			),
			toMetadata({ request_rules: [found("x-a", "text"), { header: "x-b", on_header_present: { key: "from" } }] }),
		],
		requests: { plain: get("/"), "changed by a header": get("/", "x-a: 3\r\nx-b: 4\r\n") },
	},
	"metadata is set, in the old way": {
		filters: [
			httpFilter("envoy.filters.http.set_metadata", "set_metadata.v3.Config", {
				metadata_namespace: "a",
				value: { text: "old" },
				metadata: [{ metadata_namespace: "a", value: { text: "new" } }],
			}),
		],
		requests: { plain: get("/") },
	},
	"routes by metadata": {
		filters: [toMetadata({ request_rules: [found("x-tenant", "tenant"), found("x-level", "level", { type: "NUMBER" })] }), clearRoute],
		host: {
			routes: [
				route("blue", { dynamic_metadata: [{ filter: "a", path: [{ key: "tenant" }], value: { string_match: { exact: "blue" } } }] }),
				route("high", { dynamic_metadata: [{ filter: "a", path: [{ key: "level" }], value: { double_match: { range: { start: 5, end: 10 } } } }] }),
				route("other", {}),
			],
		},
		requests: { blue: get("/", "x-tenant: blue\r\n"), high: get("/", "x-level: 7\r\n"), low: get("/", "x-level: 3\r\n"), none: get("/") },
	},
	"RBAC by metadata": {
		filters: [
			toMetadata({ request_rules: [found("x-tenant", "tenant")] }),
			httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", {
				rules: {
					action: "DENY",
					policies: {
						blue: {
							permissions: [{ any: true }],
							principals: [{ metadata: { filter: "a", path: [{ key: "tenant" }], value: { string_match: { exact: "blue" } } } }],
						},
					},
				},
			}),
		],
		requests: { blue: get("/", "x-tenant: blue\r\n"), none: get("/") },
	},
	"rate limits by metadata": {
		filters: [
			toMetadata({ request_rules: [found("x-tenant", "tenant")] }),
			httpFilter("envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", {
				stat_prefix: "limits",
				filter_enabled: { default_value: { numerator: 100 } },
				filter_enforced: { default_value: { numerator: 100 } },
				token_bucket: { max_tokens: 1000, tokens_per_fill: 1000, fill_interval: "3600s" },
				descriptors: [{ entries: [{ key: "tenant", value: "blue" }], token_bucket: { max_tokens: 1, tokens_per_fill: 1, fill_interval: "3600s" } }],
			}),
		],
		host: {
			rate_limits: [{ actions: [{ metadata: { descriptor_key: "tenant", metadata_key: { key: "a", path: [{ key: "tenant" }] } } }] }],
		},
		requests: { first: get("/", "x-tenant: blue\r\n"), second: get("/", "x-tenant: blue\r\n"), other: get("/", "x-tenant: red\r\n") },
	},
	"headers by metadata": {
		filters: [toMetadata({ request_rules: [found("x-tenant", "tenant"), found("x-level", "level", { type: "NUMBER" })] })],
		host: {
			request_headers_to_add: [
				{ header: { key: "x-said", value: "%DYNAMIC_METADATA(a:tenant)%" } },
				{ header: { key: "x-all", value: "%DYNAMIC_METADATA(a)%" } },
				{ header: { key: "x-number", value: "%DYNAMIC_METADATA(a:level)%" } },
			],
		},
		requests: { one: get("/", "x-tenant: blue\r\n"), number: get("/", "x-level: 7\r\n"), none: get("/") },
	},
	"hosts by metadata": {
		filters: [toMetadata({ request_rules: [{ header: "x-version", on_header_present: { metadata_namespace: "envoy.lb", key: "version" } }] })],
		host: {
			routes: [
				route("stage", { prefix: "/stage" }, { route: { cluster: "subsets", metadata_match: { filter_metadata: { "envoy.lb": { stage: "prod" } } } } }),
				route("version", { prefix: "/one" }, { route: { cluster: "subsets", metadata_match: { filter_metadata: { "envoy.lb": { version: "1" } } } } }),
				route("all", {}, { route: { cluster: "subsets" } }),
			],
		},
		requests: {
			one: get("/", "x-version: 1\r\n"),
			two: get("/", "x-version: 2\r\n"),
			"no such host": get("/", "x-version: 3\r\n"),
			"with what the route says": get("/stage", "x-version: 2\r\n"),
			"instead of what the route says": get("/one", "x-version: 2\r\n"),
			"what the route says": get("/one"),
			"nothing is said": get("/"),
		},
	},
	"filter state": {
		filters: [
			setState([
				object("k", "%REQ(x-a)%"),
				object("twice", "first"),
				object("twice", "second"),
				object("fixed", "first", { read_only: true }),
				object("fixed", "second"),
				object("both", "first", { read_only: true }),
				object("both", "second", { read_only: true }),
				object("fixed2", "first"),
				object("fixed2", "second", { read_only: true }),
				object("skipped", "%REQ(x-none)%", {
					skip_if_empty: true,
					format_string: { omit_empty_values: true, text_format_source: { inline_string: "%REQ(x-none)%" } },
				}),
				object("empty", "", { format_string: { omit_empty_values: true, text_format_source: { inline_string: "%REQ(x-none)%" } } }),
				object("hash", "%REQ(x-a)%", { factory_key: "envoy.hashable_string" }),
				object("envoy.network.upstream_server_name", "%REQ(x-a)%", { factory_key: "" }),
				object("envoy.network.transport_socket.original_dst_address", "%REQ(x-to)%", { factory_key: "" }),
			]),
		],
		host: {
			request_headers_to_add: [
				{ header: { key: "x-state", value: "%FILTER_STATE(k)%" } },
				{ header: { key: "x-plain", value: "a%FILTER_STATE(k:PLAIN)%b" } },
				{ header: { key: "x-typed", value: "a%FILTER_STATE(k:TYPED)%b" } },
				{ header: { key: "x-short", value: "%FILTER_STATE(k:PLAIN):3%" } },
				{ header: { key: "x-short-typed", value: "%FILTER_STATE(k:TYPED):3%" } },
				{ header: { key: "x-name", value: "%FILTER_STATE(envoy.network.upstream_server_name:PLAIN)% %FILTER_STATE(envoy.network.upstream_server_name)%" } },
				{
					header: {
						key: "x-address",
						value:
							"%FILTER_STATE(envoy.network.transport_socket.original_dst_address:PLAIN)% %FILTER_STATE(envoy.network.transport_socket.original_dst_address)%",
					},
				},
				{ header: { key: "x-none", value: "%FILTER_STATE(nobody:PLAIN)%" } },
			],
		},
		requests: {
			said: get("/", "x-a: some text\r\n"),
			'with "quotes"': get("/", 'x-a: "\\q"\r\n'),
			missing: get("/"),
			address: get("/", "x-to: 10.0.0.1:80\r\n"),
			"an address of version 6": get("/", "x-to: [2001:db8:0::1]:80\r\n"),
			"no address": get("/", "x-to: 10.0.0.1\r\n"),
		},
	},
	"filter state said by routes": {
		filters: [setState([object("k", "filter"), object("twice", "filter")])],
		routeConfig: {},
		host: {
			typed_per_filter_config: override("set_filter_state", "Config", { on_request_headers: [object("twice", "host"), object("fixed", "host")] }),
			routes: [
				{
					...route("own", { prefix: "/own" }),
					typed_per_filter_config: override("set_filter_state", "Config", {
						clear_route_cache: true,
						on_request_headers: [object("twice", "route"), object("fixed2", "route")],
					}),
				},
				route("late", { prefix: "/", filter_state: [{ key: "fixed2", string_match: { exact: "route" } }] }),
				route("all", {}),
			],
		},
		requests: { own: get("/own"), all: get("/") },
	},
	"routes by filter state": {
		filters: [setState([object("k", "%REQ(x-a)%")], { clear_route_cache: true })],
		host: {
			routes: [
				route("exact", { filter_state: [{ key: "k", string_match: { exact: "blue" } }] }),
				route("prefix", {
					filter_state: [
						{ key: "k", string_match: { prefix: "gr" } },
						{ key: "k", string_match: { suffix: "n" } },
					],
				}),
				route("nobody", { filter_state: [{ key: "nobody", string_match: { safe_regex: { google_re2: {}, regex: ".*" } } }] }),
				route("cookie", {
					cookies: [
						{ name: "c", string_match: { exact: "1" } },
						{ name: "d", string_match: { exact: "1" }, invert_match: true },
					],
				}),
				route("all", {}),
			],
		},
		requests: {
			exact: get("/", "x-a: blue\r\n"),
			prefix: get("/", "x-a: green\r\n"),
			all: get("/", "x-a: grey\r\n"),
			none: get("/"),
			cookies: get("/", "cookie: c=1; d=2\r\n"),
			"a cookie is missing": get("/", "cookie: c=1\r\n"),
			"a cookie that must not be": get("/", "cookie: c=1; d=1\r\n"),
		},
	},
	"hashes of filter state": {
		filters: [setState([object("hash", "%REQ(x-a)%", { factory_key: "envoy.hashable_string" }), object("k", "%REQ(x-a)%")])],
		host: {
			routes: [
				route(
					"plain",
					{ prefix: "/plain" },
					{ route: { cluster: "ring", hash_policy: [{ filter_state: { key: "k" }, terminal: true }, { header: { header_name: "x-b" } }] } },
				),
				route("all", {}, { route: { cluster: "ring", hash_policy: [{ filter_state: { key: "hash" } }] } }),
			],
		},
		requests: {
			...Object.fromEntries(["a", "b", "c", "d", "e", "f"].map((value) => [value, get("/", `x-a: ${value}\r\n`)])),
			...Object.fromEntries(["a", "b", "c", "d"].map((value) => [`what cannot be hashed ${value}`, get("/plain", `x-a: x\r\nx-b: ${value}\r\n`)])),
		},
	},
	expressions: {
		filters: [
			toMetadata({ request_rules: [found("x-tenant", "tenant"), found("x-level", "level", { type: "NUMBER" })] }),
			setState([object("k", "%REQ(x-tenant)%")]),
		],
		host: {
			request_headers_to_add: [
				{ header: { key: "x-cel", value: "%CEL(metadata.filter_metadata['a']['tenant'])%" } },
				{ header: { key: "x-state", value: "%CEL(filter_state['k'])%" } },
			],
		},
		requests: { said: get("/", "x-tenant: blue\r\nx-level: 7\r\n"), none: get("/") },
	},
	"statistics of routes": {
		filters: [],
		host: {
			name: "shop",
			virtual_clusters: [{ name: "all", headers: [{ name: ":path", string_match: { prefix: "/" } }] }],
			routes: [
				{ ...route("good", { prefix: "/good" }), stat_prefix: "good" },
				{ ...route("bad", { prefix: "/fails" }, { route: { cluster: "echo", retry_policy: { retry_on: "5xx", num_retries: 2 } } }), stat_prefix: "bad.route" },
				{ ...route("second", { prefix: "/second" }, { route: { cluster: "echo", retry_policy: { retry_on: "5xx", num_retries: 1 } } }), stat_prefix: "good" },
				{ ...route("nobody", { prefix: "/nobody" }, { route: { cluster: "nobody" } }), stat_prefix: "nobody" },
				{ ...route("gone", { prefix: "/direct" }, { direct_response: { status: 200 } }), stat_prefix: "direct" },
				{ ...route("slow", { prefix: "/slow" }, { route: { cluster: "echo", timeout: "0.2s" } }), stat_prefix: "slow" },
			],
		},
		requests: {
			...Object.fromEntries(["/good", "/good/2", "/fails", "/second", "/nobody", "/direct", "/other"].map((path) => [path, get(path)])),
		},
	},
};

const subsetHosts = (port: number) => ({
	name: "subsets",
	type: "STATIC",
	connect_timeout: "2s",
	lb_subset_config: { fallback_policy: "NO_FALLBACK", subset_selectors: [{ keys: ["version"] }, { keys: ["stage", "version"] }] },
	load_assignment: {
		cluster_name: "subsets",
		endpoints: [
			{
				lb_endpoints: [
					{ endpoint: { address: loopback(port), hostname: "one.test" }, metadata: { filter_metadata: { "envoy.lb": { version: "1", stage: "prod" } } } },
					{
						endpoint: { address: { socket_address: { address: "127.0.0.2", port_value: port } }, hostname: "two.test" },
						metadata: { filter_metadata: { "envoy.lb": { version: "2", stage: "prod" } } },
					},
				],
			},
		],
	},
});

const ring = (port: number) => ({
	name: "ring",
	type: "STATIC",
	connect_timeout: "2s",
	lb_policy: "RING_HASH",
	load_assignment: {
		cluster_name: "ring",
		endpoints: [
			{
				lb_endpoints: ["a", "b", "c"].map((name, i) => ({
					...keyedHost(name, port),
					endpoint: { hostname: `${name}.test`, address: { socket_address: { address: `127.0.0.${i + 1}`, port_value: port } } },
				})),
			},
		],
	},
});

runScenarios("metadata and filter state", scenarios, {
	stats:
		/^(http\.(?!admin|async)[^.]+\.(rbac|set_metadata|header)|.*http_filter_name|cluster\.subsets\.lb_subsets_(selected|fallback)|vhost\.(?!.*upstream_rq_time)|limits)/,
	clusters: (port) => [subsetHosts(port), ring(port)],
	log: {
		route: "%ROUTE_NAME%",
		a: "%DYNAMIC_METADATA(a)%",
		b: "%DYNAMIC_METADATA(b)%",
		own: "%DYNAMIC_METADATA(envoy.filters.http.header_to_metadata)%",
		host: "%UPSTREAM_HOST_NAME%",
		k: "%FILTER_STATE(k:PLAIN)%",
		typed: "%FILTER_STATE(k:TYPED)%",
		text: "x%FILTER_STATE(k:TYPED)%",
		bare: "%FILTER_STATE(k)%",
		twice: "%FILTER_STATE(twice:PLAIN)%",
		fixed: "%FILTER_STATE(fixed:PLAIN)% %FILTER_STATE(fixed2:PLAIN)% %FILTER_STATE(both:PLAIN)%",
		empty: "%FILTER_STATE(empty:PLAIN)%%FILTER_STATE(skipped:PLAIN)%%FILTER_STATE(hash:TYPED)%",
	},
	settle: (text) => text.replace(/\.test:\d+/g, ".test"),
	answer: {
		"/answers": () => ({ status: 201, headers: { "x-answer": "yes", "x-hidden": "secret" }, body: "" }),
		"/fails": () => ({ status: 503, body: "no" }),
		"/second": () => ({ status: 503, body: "no" }),
	},
});
