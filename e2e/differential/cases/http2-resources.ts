import { settingId } from "../../../packages/proxy/src/data/http2/protocol.ts";
import { httpListener, staticCluster } from "../config.ts";
import type { Http2Suite } from "../http2-world.ts";
import type { Ports } from "../suite.ts";

type Json = Readonly<Record<string, unknown>>;

const http2 = (fields: Json = {}, common: Json = {}) => ({
	typed_extension_protocol_options: {
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			explicit_http_config: { http2_protocol_options: fields },
			common_http_protocol_options: common,
		},
	},
});
const http1 = {
	typed_extension_protocol_options: {
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
			"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			explicit_http_config: { http_protocol_options: { enable_trailers: true } },
		},
	},
};

const to = (prefix: string, cluster: string, action: Json = {}) => ({ name: prefix.slice(1), match: { prefix }, route: { cluster, timeout: "3s", ...action } });
const websocket = { upgrade_configs: [{ upgrade_type: "websocket" }] };
const fast = { retry_back_off: { base_interval: "0.001s", max_interval: "0.002s" } };

const routes = [
	{ name: "connect", match: { connect_matcher: {} }, route: { cluster: "h2", upgrade_configs: [{ upgrade_type: "CONNECT" }] } },
	to("/h1", "h1", websocket),
	to("/h2-one", "h2-one"),
	to("/h2-window", "h2-window"),
	to("/h2-per", "h2-per"),
	to("/h2-strict", "h2-strict"),
	to("/h2-lenient", "h2-lenient"),
	to("/h2-idle", "h2-idle"),
	to("/h2", "h2", websocket),
	to("/short", "h2", { timeout: "0.15s" }),
	to("/retry-refused", "h2", { retry_policy: { retry_on: "refused-stream", num_retries: 2, ...fast } }),
	to("/retry-reset", "h2", { retry_policy: { retry_on: "reset", num_retries: 1, ...fast } }),
	to("/retry-grpc", "h2", { retry_policy: { retry_on: "unavailable", num_retries: 1, ...fast } }),
	to("/duration", "h2", { max_stream_duration: { max_stream_duration: "0.15s" } }),
	to("/grpc-duration", "h2", { timeout: "0s", max_stream_duration: { max_stream_duration: "1s", grpc_timeout_header_max: "0s" } }),
	to("/idle", "h2", { idle_timeout: "0.15s" }),
	to("/refused", "closed"),
	{ name: "direct", match: { prefix: "/direct" }, direct_response: { status: 200, body: { inline_string: "direct" } } },
	{ name: "denied", match: { prefix: "/denied" }, direct_response: { status: 403, body: { inline_string: "no" } } },
	{ name: "elsewhere", match: { prefix: "/elsewhere" }, redirect: { host_redirect: "else.example" } },
];

function listenerOf(name: string, fields: Json, log: readonly object[]): object {
	return httpListener(name, {
		access_log: log,
		delayed_close_timeout: "0.1s",
		route_config: { name, virtual_hosts: [{ name: "all", domains: ["*"], routes }] },
		...fields,
	});
}

/** What the listeners are for stands in their names. */
const managers: Readonly<Record<string, Json>> = {
	main: { http_protocol_options: { enable_trailers: true } },
	connect: { http2_protocol_options: { allow_connect: true }, upgrade_configs: [{ upgrade_type: "websocket" }] },
	lenient: { http2_protocol_options: { override_stream_error_on_invalid_http_message: true } },
	"strict-first": { stream_error_on_invalid_http_message: true },
	"one-stream": { http2_protocol_options: { max_concurrent_streams: 1 } },
	"small-window": { http2_protocol_options: { initial_stream_window_size: 65535, initial_connection_window_size: 65535 } },
	duration: { common_http_protocol_options: { max_connection_duration: "0.3s" }, drain_timeout: "0.2s" },
	"two-requests": { common_http_protocol_options: { max_requests_per_connection: 2 }, drain_timeout: "0.2s" },
	idle: { common_http_protocol_options: { idle_timeout: "0.3s" }, drain_timeout: "0.2s" },
	"stream-idle": { stream_idle_timeout: "0.2s" },
	"request-timeout": { request_timeout: "0.2s" },
	"headers-timeout": { request_headers_timeout: "0.2s" },
	"stream-duration": { common_http_protocol_options: { max_stream_duration: "0.2s" } },
	"small-head": { max_request_headers_kb: 2 },
	"few-headers": { common_http_protocol_options: { max_headers_count: 10 } },
	underscores: { common_http_protocol_options: { headers_with_underscores_action: "REJECT_REQUEST" } },
	"drop-underscores": { common_http_protocol_options: { headers_with_underscores_action: "DROP_HEADER" } },
	"keep-alive": { http2_protocol_options: { connection_keepalive: { interval: "0.1s", timeout: "0.1s", interval_jitter: { value: 0 } } } },
	preserve: { preserve_external_request_id: true, proxy_100_continue: true },
};

const upstreams = {
	h2: [[settingId.enableConnectProtocol, 1]],
	"h2-one": [[settingId.maxConcurrentStreams, 1]],
	"h2-window": [
		[settingId.initialWindowSize, 5],
		[settingId.maxFrameSize, 20_000],
	],
	"h2-per": [],
	"h2-strict": [],
	"h2-lenient": [],
	"h2-idle": [],
} as const;

export const http2Resources: Http2Suite = {
	http1Upstreams: ["h1"],
	http2Upstreams: upstreams,
	listeners: Object.keys(managers),
	resources: ({ upstream, closed }: Ports, log) => ({
		listeners: Object.entries(managers).map(([name, fields]) => listenerOf(name, fields, log)),
		clusters: [
			staticCluster("h1", upstream["h1"] as number, http1),
			staticCluster("closed", closed, http2()),
			...(["h2", "h2-one", "h2-window"] as const).map((name) => staticCluster(name, upstream[name] as number, http2())),
			staticCluster("h2-per", upstream["h2-per"] as number, http2({}, { max_requests_per_connection: 1 })),
			staticCluster("h2-strict", upstream["h2-strict"] as number, http2({ max_concurrent_streams: 1 })),
			staticCluster("h2-lenient", upstream["h2-lenient"] as number, http2({ override_stream_error_on_invalid_http_message: true })),
			staticCluster("h2-idle", upstream["h2-idle"] as number, http2({}, { idle_timeout: "0.1s" })),
		],
	}),
};
