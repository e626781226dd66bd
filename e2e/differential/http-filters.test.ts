import { httpFilter } from "./config.ts";
import { get, post, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const perRoute = (name: string, type: string, config: Json) => ({
	[name]: { "@type": `type.googleapis.com/envoy.extensions.filters.http.${type}`, ...config },
});
const percent = (numerator: number) => ({ default_value: { numerator, denominator: "HUNDRED" } });
const route = (prefix: string, more: Json = {}, action: Json = {}) => ({ match: { prefix }, route: { cluster: "echo", ...action }, ...more });
const header = (key: string, value: string, append_action = "APPEND_IF_EXISTS_OR_ADD") => ({ header: { key, value }, append_action });

const limit = (config: Json) =>
	httpFilter("envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", {
		stat_prefix: "rl",
		filter_enabled: percent(100),
		filter_enforced: percent(100),
		...config,
	});
const bucket = (max_tokens: number, fill_interval = "3600s") => ({ max_tokens, tokens_per_fill: max_tokens, fill_interval });
const mutation = (mutations: Json, more: Json = {}) =>
	httpFilter("envoy.filters.http.header_mutation", "header_mutation.v3.HeaderMutation", { mutations, ...more });
const mutations = (request: readonly Json[], response: readonly Json[] = []) => ({ request_mutations: request, response_mutations: response });
const csrf = httpFilter("envoy.filters.http.csrf", "csrf.v3.CsrfPolicy", { filter_enabled: percent(100), additional_origins: [{ suffix: ".friend.test" }] });
const buffer = (max_request_bytes: number) => httpFilter("envoy.filters.http.buffer", "buffer.v3.Buffer", { max_request_bytes });
const chunked = (path: string, body: string, headers = "") =>
	`POST ${path} HTTP/1.1\r\nhost: a.test\r\ntransfer-encoding: chunked\r\n${headers}\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
const check = (config: Json) => httpFilter("envoy.filters.http.health_check", "health_check.v3.HealthCheck", config);
const isCheck = [{ name: ":path", string_match: { exact: "/hc" } }];
const authz = (config: Json, service: Json = {}) =>
	httpFilter("envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthz", {
		http_service: { server_uri: { uri: "http://authz.test:81", cluster: "echo", timeout: "1s" }, path_prefix: "/authz", ...service },
		...config,
	});
const list = (...exact: readonly string[]) => ({ patterns: exact.map((value) => ({ exact: value })) });
const frame = (text: string) => `\0\0\0\0${String.fromCharCode(text.length)}${text}`;

const many = (request: string, count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`${i + 1}`, request]));

const scenarios: Readonly<Record<string, Scenario>> = {
	"rate limit": { filters: [limit({ token_bucket: bucket(2), response_headers_to_add: [header("x-limited", "yes")] })], requests: many(get("/"), 4) },
	"rate limit on gRPC": { filters: [limit({ token_bucket: bucket(1) })], requests: many(post("/a.B/c", "", "content-type: application/grpc\r\n"), 2) },
	"rate limit as exhausted": {
		filters: [limit({ token_bucket: bucket(1), rate_limited_as_resource_exhausted: true, status: { code: "ServiceUnavailable" } })],
		requests: { ...many(get("/"), 2), gRPC: post("/a.B/c", "", "content-type: application/grpc\r\n") },
	},
	"rate limit with headers": { filters: [limit({ token_bucket: bucket(2), enable_x_ratelimit_headers: "DRAFT_VERSION_03" })], requests: many(get("/"), 3) },
	"rate limit not enforced": {
		filters: [limit({ token_bucket: bucket(1), filter_enforced: percent(0), request_headers_to_add_when_not_enforced: [header("x-over", "yes")] })],
		requests: many(get("/"), 2),
	},
	"rate limit not enabled": { filters: [limit({ token_bucket: bucket(1), filter_enabled: percent(0) })], requests: many(get("/"), 2) },
	"rate limit by descriptor": {
		filters: [
			limit({
				token_bucket: bucket(100),
				descriptors: [
					{ entries: [{ key: "client", value: "a" }], token_bucket: bucket(1) },
					{
						entries: [
							{ key: "client", value: "b" },
							{ key: "path", value: "/p" },
						],
						token_bucket: bucket(2),
					},
					{ entries: [{ key: "any" }], token_bucket: bucket(1) },
				],
			}),
		],
		host: {
			routes: [
				route(
					"/",
					{},
					{
						rate_limits: [
							{ actions: [{ request_headers: { header_name: "x-client", descriptor_key: "client" } }] },
							{
								actions: [
									{ request_headers: { header_name: "x-client", descriptor_key: "client" } },
									{ request_headers: { header_name: ":path", descriptor_key: "path" } },
								],
							},
							{ actions: [{ request_headers: { header_name: "x-any", descriptor_key: "any" } }] },
							{ stage: 1, actions: [{ generic_key: { descriptor_value: "never" } }] },
						],
					},
				),
			],
		},
		requests: {
			"a, first": get("/", "x-client: a\r\n"),
			"a, second": get("/", "x-client: a\r\n"),
			"b, first": get("/p", "x-client: b\r\n"),
			"b, second": get("/p", "x-client: b\r\n"),
			"b, third": get("/p", "x-client: b\r\n"),
			"b, elsewhere": get("/q", "x-client: b\r\n"),
			nobody: get("/"),
			"any 1": get("/", "x-any: 1\r\n"),
			"any 1 again": get("/", "x-any: 1\r\n"),
			"any 2": get("/", "x-any: 2\r\n"),
		},
	},
	"rate limit of a route": {
		filters: [limit({})],
		host: {
			routes: [
				route("/limited", {
					typed_per_filter_config: perRoute("envoy.filters.http.local_ratelimit", "local_ratelimit.v3.LocalRateLimit", {
						stat_prefix: "own",
						token_bucket: bucket(1),
						filter_enabled: percent(100),
						filter_enforced: percent(100),
					}),
				}),
				route("/"),
			],
		},
		requests: { "limited, 1": get("/limited"), "limited, 2": get("/limited"), other: get("/") },
	},
	"header mutation": {
		filters: [
			mutation(
				mutations(
					[
						{ append: header("x-added", "own") },
						{ remove: "x-gone" },
						{ append: header("x-set", "new", "OVERWRITE_IF_EXISTS_OR_ADD") },
						{ append: header("x-absent", "filled", "ADD_IF_ABSENT") },
						{ append: header("x-known", "over", "OVERWRITE_IF_EXISTS") },
						{ append: header("x-format", "%REQ(x-set)%-%PROTOCOL%") },
					],
					[{ append: header("x-response", "own") }, { remove: "server" }],
				),
			),
		],
		host: {
			routes: [
				route("/more", {
					typed_per_filter_config: perRoute("envoy.filters.http.header_mutation", "header_mutation.v3.HeaderMutationPerRoute", {
						mutations: mutations([{ append: header("x-set", "route", "OVERWRITE_IF_EXISTS_OR_ADD") }], [{ append: header("x-response", "route") }]),
					}),
				}),
				{ match: { prefix: "/direct" }, direct_response: { status: 204 } },
				route("/"),
			],
			typed_per_filter_config: perRoute("envoy.filters.http.header_mutation", "header_mutation.v3.HeaderMutationPerRoute", {
				mutations: mutations([{ append: header("x-set", "host", "OVERWRITE_IF_EXISTS_OR_ADD") }]),
			}),
		},
		requests: {
			"all of it": get("/", "x-gone: 1\r\nx-set: old\r\nx-known: old\r\n"),
			"some of it": get("/", "x-absent: mine\r\n"),
			"a route's and its host's": get("/more", "x-set: old\r\n"),
			"a local answer": get("/direct"),
		},
	},
	"header mutation, most specific": {
		filters: [mutation(mutations([{ append: header("x-set", "own", "OVERWRITE_IF_EXISTS_OR_ADD") }]), { most_specific_header_mutations_wins: true })],
		host: {
			routes: [
				route("/", {
					typed_per_filter_config: perRoute("envoy.filters.http.header_mutation", "header_mutation.v3.HeaderMutationPerRoute", {
						mutations: mutations([{ append: header("x-set", "route", "OVERWRITE_IF_EXISTS_OR_ADD") }]),
					}),
				}),
			],
			typed_per_filter_config: perRoute("envoy.filters.http.header_mutation", "header_mutation.v3.HeaderMutationPerRoute", {
				mutations: mutations([{ append: header("x-set", "host", "OVERWRITE_IF_EXISTS_OR_ADD") }]),
			}),
		},
		requests: { all: get("/") },
	},
	csrf: {
		filters: [csrf],
		host: {
			routes: [
				route("/off", { typed_per_filter_config: perRoute("envoy.filters.http.csrf", "csrf.v3.CsrfPolicy", { filter_enabled: percent(0) }) }),
				route("/shadow", {
					typed_per_filter_config: perRoute("envoy.filters.http.csrf", "csrf.v3.CsrfPolicy", { filter_enabled: percent(0), shadow_enabled: percent(100) }),
				}),
				route("/"),
			],
		},
		requests: {
			"reading is free": get("/", "origin: http://evil.test\r\n"),
			"no origin": post("/", ""),
			"the same origin": post("/", "", "origin: http://a.test\r\n"),
			"another origin": post("/", "", "origin: http://evil.test\r\n"),
			"another port": post("/", "", "origin: http://a.test:81\r\n"),
			"an allowed origin": post("/", "", "origin: https://x.friend.test\r\n"),
			"by referer": post("/", "", "referer: http://a.test/page?x\r\n"),
			"by another referer": post("/", "", "referer: http://evil.test/page\r\n"),
			null: post("/", "", "origin: null\r\n"),
			"switched off": post("/off", "", "origin: http://evil.test\r\n"),
			"only looked at": post("/shadow", "", "origin: http://evil.test\r\n"),
		},
	},
	buffer: {
		filters: [buffer(10)],
		host: {
			routes: [
				route("/off", { typed_per_filter_config: perRoute("envoy.filters.http.buffer", "buffer.v3.BufferPerRoute", { disabled: true }) }),
				route("/large", { typed_per_filter_config: perRoute("envoy.filters.http.buffer", "buffer.v3.BufferPerRoute", { buffer: { max_request_bytes: 100 } }) }),
				route("/"),
			],
		},
		requests: {
			"no body": get("/"),
			small: post("/", "0123456789"),
			"small, in chunks": chunked("/", "0123"),
			large: post("/", "0123456789a"),
			"large, in chunks": chunked("/", "0123456789abc"),
			"large, and switched off": post("/off", "0123456789abc"),
			"large, and allowed": chunked("/large", "0123456789abc"),
		},
	},
	"health check": {
		filters: [check({ pass_through_mode: false, headers: isCheck })],
		requests: { answered: get("/hc"), "not one": get("/other") },
	},
	"health check passed": { filters: [check({ pass_through_mode: true, headers: isCheck })], requests: { passed: get("/hc"), "not one": get("/other") } },
	"health check cached": { filters: [check({ pass_through_mode: true, cache_time: "100s", headers: isCheck })], requests: many(get("/hc"), 2) },
	"health check of clusters": {
		filters: [check({ pass_through_mode: false, headers: isCheck, cluster_min_healthy_percentages: { echo: { value: 50 } } })],
		requests: { answered: get("/hc") },
	},
	"health check of a cluster without hosts": {
		filters: [check({ pass_through_mode: false, headers: isCheck, cluster_min_healthy_percentages: { nobody: { value: 50 } } })],
		requests: { answered: get("/hc") },
	},
	"health check of no cluster": {
		filters: [check({ pass_through_mode: false, headers: isCheck, cluster_min_healthy_percentages: { missing: { value: 50 } } })],
		requests: { answered: get("/hc") },
	},
	"authorization service": {
		filters: [
			authz(
				{ allowed_headers: list("x-user") },
				{
					authorization_request: { headers_to_add: [{ key: "x-from", value: "proxy" }] },
					authorization_response: {
						allowed_upstream_headers: list("x-verdict", "x-saw"),
						allowed_upstream_headers_to_append: list("x-more"),
						allowed_client_headers: list("x-reason"),
						allowed_client_headers_on_success: list("x-welcome"),
						dynamic_metadata_from_headers: list("x-verdict"),
					},
				},
			),
		],
		host: {
			routes: [
				route("/skip", { typed_per_filter_config: perRoute("envoy.filters.http.ext_authz", "ext_authz.v3.ExtAuthzPerRoute", { disabled: true }) }),
				route("/"),
			],
		},
		requests: {
			allowed: get("/ok?q=1", "x-user: u\r\nx-secret: s\r\nauthorization: Basic abc\r\nx-verdict: mine\r\nx-more: mine\r\n"),
			denied: get("/no", "x-user: u\r\n"),
			"sent elsewhere": get("/login"),
			"an error": get("/broken"),
			"not asked": get("/skip"),
			"with a body": post("/ok", "hello"),
		},
	},
	"authorization service, all headers": { filters: [authz({})], requests: { denied: get("/no"), allowed: get("/ok") } },
	"authorization service that is not there": {
		filters: [authz({ stat_prefix: "mine", status_on_error: { code: "BadGateway" } }, { server_uri: { uri: "http://x", cluster: "nobody", timeout: "1s" } })],
		requests: { refused: get("/") },
	},
	"authorization service that may fail": {
		filters: [authz({ failure_mode_allow: true, failure_mode_allow_header_add: true }, { server_uri: { uri: "http://x", cluster: "nobody", timeout: "1s" } })],
		requests: { allowed: get("/") },
	},
	"authorization service with bodies": {
		filters: [
			authz(
				{ with_request_body: { max_request_bytes: 8, allow_partial_message: true } },
				{ authorization_response: { allowed_upstream_headers: list("x-saw") } },
			),
		],
		requests: { small: post("/ok", "hello"), none: get("/ok"), "a part": post("/ok", "hello hello") },
	},
	"authorization service with bodies up to a limit": {
		filters: [authz({ with_request_body: { max_request_bytes: 8 } }, { authorization_response: { allowed_upstream_headers: list("x-saw") } })],
		requests: { small: post("/ok", "hello"), large: post("/ok", "hello hello") },
	},
	"authorization by metadata": {
		filters: [authz({ filter_enabled_metadata: { filter: "f", path: [{ key: "k" }], value: { string_match: { exact: "v" } } } })],
		requests: { "not asked": get("/no") },
	},
	"grpc web": {
		filters: [httpFilter("envoy.filters.http.grpc_web", "grpc_web.v3.GrpcWeb", {})],
		requests: {
			binary: post("/grpc", frame("hi"), "content-type: application/grpc-web+proto\r\nx-grpc-web: 1\r\n"),
			"binary, without a suffix": post("/grpc", frame("hi"), "content-type: application/grpc-web\r\n"),
			"not gRPC-Web": post("/plain", "x", "content-type: application/json\r\n"),
		},
	},
	"grpc statistics": {
		filters: [httpFilter("envoy.filters.http.grpc_stats", "grpc_stats.v3.FilterConfig", { stats_for_all_methods: true, emit_filter_state: true })],
		requests: { call: post("/my.Service/Method", frame("hi") + frame("there"), "content-type: application/grpc\r\n"), plain: get("/my.Service/Method") },
	},
	session: {
		filters: [
			httpFilter("envoy.filters.http.stateful_session", "stateful_session.v3.StatefulSession", {
				session_state: {
					name: "envoy.http.stateful_session.cookie",
					typed_config: {
						"@type": "type.googleapis.com/envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState",
						cookie: { name: "sticky", path: "/s" },
					},
				},
			}),
		],
		requests: { "off its path": get("/"), "a bad cookie": get("/", "cookie: sticky=zzz\r\n") },
	},
};

const saw = (headers: Json) =>
	JSON.stringify(
		Object.entries(headers)
			.filter(([name]) => name !== "x-case")
			.toSorted(),
	);

runScenarios("HTTP filters", scenarios, {
	stats: /http_local_rate_limit|csrf\.(missing|request)|ext_authz\.|\.grpc\./,
	log: { verdict: "%DYNAMIC_METADATA(envoy.filters.http.ext_authz:x-verdict)%" },
	answer: {
		"/authz/ok": ({ headers, method }) => ({
			status: 200,
			headers: { "x-verdict": "good", "x-more": "more", "x-welcome": "hello", "x-other": "o", "x-saw": `${method} ${saw(headers)}` },
		}),
		"/authz/no": () => ({ status: 403, headers: { "x-reason": "because", "x-other": "o", "content-type": "text/x" }, body: "go away" }),
		"/authz/login": () => ({ status: 302, headers: { location: "http://login.test/", "set-cookie": "a=b" } }),
		"/authz/broken": () => ({ status: 503, body: "no" }),
		"/grpc": () => ({ status: 200, headers: { "content-type": "application/grpc", "grpc-status": "0", "grpc-message": "fine" }, body: frame("yo") }),
		"/plain": () => ({ status: 200, headers: { "content-type": "text/plain" }, body: "plain" }),
		"/my.Service/Method": () => ({ status: 200, headers: { "content-type": "application/grpc", "grpc-status": "0" }, body: frame("yo") }),
	},
});
