import { httpListener, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const preserving = {
	http_protocol_options: {
		header_key_format: {
			stateful_formatter: {
				name: "preserve_case",
				typed_config: { "@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig" },
			},
		},
	},
};

const everything = (cluster: string) => ({
	name: "r",
	virtual_hosts: [
		{
			name: "all",
			domains: ["*"],
			routes: [
				{ name: "direct", match: { path: "/direct" }, direct_response: { status: 200, body: { inline_string: "ok" } } },
				{ name: "rest", match: { prefix: "/" }, route: { cluster } },
			],
		},
	],
});

/** Listener → how its connection manager takes who the request is from. */
const managers = {
	main: {},
	edge: { use_remote_address: true },
	"edge-one-hop": { use_remote_address: true, xff_num_trusted_hops: 1 },
	"one-hop": { xff_num_trusted_hops: 1 },
	internal: { use_remote_address: true, internal_address_config: { cidr_ranges: [{ address_prefix: "127.0.0.0", prefix_len: 8 }] } },
	"internal-inside": { internal_address_config: { cidr_ranges: [{ address_prefix: "10.0.0.0", prefix_len: 8 }] } },
	"no-append": { use_remote_address: true, skip_xff_append: true },
	via: { via: "weft", use_remote_address: true },
	"keep-id": { use_remote_address: true, preserve_external_request_id: true, always_set_request_id_in_response: true },
	"no-id": { generate_request_id: false },
	"strip-any": { strip_any_host_port: true },
	"strip-matching": { strip_matching_host_port: true },
	"strip-dot": { strip_trailing_host_dot: true },
	server: { server_name: "mine" },
	"server-absent": { server_name: "mine", server_header_transformation: "APPEND_IF_ABSENT" },
	"server-through": { server_name: "mine", server_header_transformation: "PASS_THROUGH" },
	https: { scheme_header_transformation: { scheme_to_overwrite: "https" } },
	"drop-underscores": { common_http_protocol_options: { headers_with_underscores_action: "DROP_HEADER" } },
	"reject-underscores": { common_http_protocol_options: { headers_with_underscores_action: "REJECT_REQUEST" } },
	"few-headers": { common_http_protocol_options: { max_headers_count: 5 } },
	"small-head": { max_request_headers_kb: 1 },
	proper: { http_protocol_options: { header_key_format: { proper_case_words: {} } } },
	preserve: { ...preserving, route_config: everything("preserving") },
	custom: { http_protocol_options: { allow_custom_methods: true } },
	"no-absolute": { http_protocol_options: { allow_absolute_url: false } },
	"pass-100": { proxy_100_continue: true },
} as const;

type Listener = keyof typeof managers;

const xff = ["", "1.2.3.4", "1.2.3.4, 10.0.0.1", "1.2.3.4,5.6.7.8 , 10.1.1.1", "nonsense", "1.2.3.4, nonsense", "::1", "10.0.0.1", "", "1.2.3.4:80"];
const forwarded = (listener: Listener): readonly Case[] =>
	xff.map((value, i) => ({
		name: `${listener}: x-forwarded-for ${value || "missing"} (${i})`,
		listener,
		send: get("/", ...(value === "" ? [] : [`x-forwarded-for: ${value}`])),
	}));
const one = (listener: Listener, name: string, ...lines: readonly string[]): Case => ({ name: `${listener}: ${name}`, listener, send: get("/x", ...lines) });

const internalHeaders = [
	"x-envoy-retry-on: 5xx",
	"x-envoy-max-retries: 3",
	"x-envoy-upstream-rq-timeout-ms: 5000",
	"x-envoy-force-trace: true",
	"x-envoy-original-path: /old",
	"x-envoy-decorator-operation: op",
	"x-envoy-downstream-service-cluster: c",
	"x-envoy-downstream-service-node: n",
	"x-envoy-expected-rq-timeout-ms: 17",
	"x-envoy-attempt-count: 7",
	"x-envoy-internal: true",
	"x-envoy-external-address: 9.9.9.9",
	"x-envoy-unknown: kept",
	"x-forwarded-proto: https",
	"x-forwarded-host: other",
	"x-request-id: mine",
	"x-forwarded-client-cert: By=spiffe://a/b",
];

const cases: readonly Case[] = [
	...(["main", "edge", "edge-one-hop", "one-hop", "internal", "internal-inside", "no-append"] as const).flatMap(forwarded),
	...(["main", "edge", "internal", "internal-inside", "edge-one-hop", "keep-id"] as const).map((listener) =>
		one(listener, "everything that only insiders may say", ...internalHeaders),
	),
	one("internal-inside", "an internal caller's headers", "x-forwarded-for: 10.0.0.1", ...internalHeaders),
	one("via", "via", "via: 1.1 other"),
	one("keep-id", "a request id of the client's", "x-request-id: mine"),
	one("keep-id", "no request id"),
	one("edge", "a request id of the client's", "x-request-id: mine"),
	one("no-id", "no request id"),
	one("no-id", "a request id of the client's", "x-request-id: mine"),
	...["a:80", "a", "[::1]:80", "[::1]", "a:x"].map((host) => one("strip-any", `host ${host}`, `host: ${host}`)),
	...["a:80", "a:1"].map((host) => one("strip-matching", `host ${host}`, `host: ${host}`)),
	...["a.", "a.:80", "a", "a.."].map((host) => one("strip-dot", `host ${host}`, `host: ${host}`)),
	...(["server", "server-absent", "server-through"] as const).flatMap((listener) => [
		{ ...one(listener, "upstream names itself"), reply: reply(200, ["server: theirs"]) },
		one(listener, "upstream does not"),
		{ ...one(listener, "a direct response"), send: get("/direct") },
	]),
	one("https", "scheme overwritten"),
	one("https", "scheme overwritten, x-forwarded-proto given", "x-forwarded-proto: http"),
	one("main", "x-forwarded-proto https", "x-forwarded-proto: https"),
	one("main", "x-forwarded-proto nonsense", "x-forwarded-proto: ftp"),
	one("edge", "x-forwarded-proto nonsense", "x-forwarded-proto: ftp"),
	one("edge-one-hop", "x-forwarded-proto https", "x-forwarded-proto: https"),
	one("drop-underscores", "underscores", "x_a: 1", "x-b: 2"),
	one("reject-underscores", "underscores", "x_a: 1"),
	one("reject-underscores", "none", "x-a: 1"),
	one("few-headers", "as many as may be", "a: 1", "b: 2", "c: 3", "d: 4"),
	one("few-headers", "one too many", "a: 1", "b: 2", "c: 3", "d: 4", "e: 5"),
	one("small-head", "small", `x-a: ${"x".repeat(500)}`),
	one("small-head", "large", `x-a: ${"x".repeat(1500)}`),
	...(["proper", "preserve"] as const).map((listener) => ({
		...one(listener, "cases of names", "X-sTrange: 1", "x-lower: 2", "X-UPPER: 3"),
		reply: "HTTP/1.1 200 OK\r\nX-oDD: 1\r\nx-low-er: 2\r\nContent-Length: 0\r\n\r\n",
	})),
	{ name: "custom: a method of its own", listener: "custom", send: request("BREW", "/x") },
	{ name: "custom: a method of its own with a body", listener: "custom", send: request("BREW", "/x", [], "abc") },
	{ name: "no-absolute: absolute form", listener: "no-absolute", send: "GET http://a/x HTTP/1.1\r\nhost: b\r\n\r\n" },
	{
		name: "pass-100: 103 before",
		listener: "pass-100",
		send: get("/x"),
		reply: `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${reply(200)}`,
	},
	{ name: "pass-100: 100 before", listener: "pass-100", send: get("/x"), reply: `HTTP/1.1 100 Continue\r\n\r\n${reply(200)}` },
	{ name: "pass-100: expected", listener: "pass-100", send: request("POST", "/x", ["expect: 100-continue"], "abc") },
	...[
		"ACL BIND CHECKOUT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH M-SEARCH NOTIFY OPTIONS PATCH POST PROPFIND",
		"PROPPATCH PURGE PUT REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE QUERY Get DESCRIBE LABEL",
	]
		.join(" ")
		.split(" ")
		.map((method): Case => ({ name: `method ${method}`, send: request(method, "/x") })),
];

export const origin: Suite = {
	name: "origin and heads",
	upstreams: ["a"],
	listeners: Object.keys(managers),
	log: { direct: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%" },
	resources: ({ upstream }, accessLog) => ({
		listeners: Object.entries(managers).map(([name, manager]) =>
			httpListener(name, { access_log: accessLog, delayed_close_timeout: "0.01s", route_config: everything("a"), ...manager }),
		),
		clusters: [staticCluster("a", upstream["a"] as number), staticCluster("preserving", upstream["a"] as number, preserving)],
	}),
	cases,
};
