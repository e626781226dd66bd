import { httpFilter, httpListener, router, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const statuses = [
	200, 201, 202, 203, 204, 205, 206, 207, 208, 226, 300, 301, 302, 303, 304, 305, 307, 308, 400, 401, 402, 403, 404, 405, 406, 407, 408, 409, 410, 411, 412,
	413, 414, 415, 416, 417, 418, 421, 422, 423, 424, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 506, 507, 508, 510, 511, 599,
];

const faults = httpFilter("envoy.filters.http.fault", "fault.v3.HTTPFault", {
	abort: { header_abort: {}, percentage: { numerator: 100 } },
	delay: { header_delay: {}, percentage: { numerator: 100 } },
});

const mapped = {
	mappers: [
		{
			filter: { status_code_filter: { comparison: { op: "EQ", value: { default_value: 404, runtime_key: "x" } } } },
			status_code: 410,
			body: { inline_string: "gone" },
			headers_to_add: [{ header: { key: "x-mapped", value: "%RESPONSE_CODE%" } }],
		},
		{
			filter: { header_filter: { header: { name: "x-json", present_match: true } } },
			body_format_override: { json_format: { code: "%RESPONSE_CODE%", body: "%LOCAL_REPLY_BODY%", path: "%REQ(:path)%" } },
		},
	],
	body_format: { text_format_source: { inline_string: "[%LOCAL_REPLY_BODY%] %RESPONSE_CODE%\n" } },
};

const upgrades = (name: string): readonly Case[] => [
	{
		name: `${name}: websocket`,
		listener: name,
		send: [get("/ws", "connection: upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==")],
		reply: "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nx-a: 1\r\n\r\n",
	},
	{
		name: `${name}: websocket refused by the upstream`,
		listener: name,
		send: get("/ws", "connection: upgrade", "upgrade: websocket"),
		reply: reply(403, [], "no"),
	},
	{ name: `${name}: another protocol`, listener: name, send: get("/ws", "connection: upgrade", "upgrade: chat") },
	{ name: `${name}: websocket on a route that does not have it`, listener: name, send: get("/no-ws", "connection: upgrade", "upgrade: websocket") },
];

const cases: readonly Case[] = [
	...statuses.map((status): Case => ({ name: `direct response ${status}`, send: get(`/status/${status}`) })),
	...[404, 503, 200].map(
		(status): Case => ({ name: `direct response ${status} to gRPC`, send: request("POST", `/status/${status}`, ["content-type: application/grpc"], "12345") }),
	),
	...["200", "404", "503", "600", "99", "abc"].map(
		(value): Case => ({ name: `fault abort ${value}`, listener: "faults", send: get("/x", `x-envoy-fault-abort-request: ${value}`) }),
	),
	{
		name: "fault abort with gRPC status",
		listener: "faults",
		send: request("POST", "/x", ["content-type: application/grpc", "x-envoy-fault-abort-grpc-request: 5"], "12345"),
	},
	{ name: "fault delay", listener: "faults", send: get("/x", "x-envoy-fault-delay-request: 30") },
	{
		name: "fault delay and abort",
		listener: "faults",
		send: get("/x", "x-envoy-fault-delay-request: 30", "x-envoy-fault-abort-request: 501"),
	},
	{
		name: "fault abort, zero percent by header",
		listener: "faults",
		send: get("/x", "x-envoy-fault-abort-request: 501", "x-envoy-fault-abort-request-percentage: 0"),
	},
	{ name: "mapped: no route", listener: "mapped", send: get("/nowhere", "host: unknown.example") },
	{ name: "mapped: by header", listener: "mapped", send: get("/status/500", "x-json: 1") },
	{ name: "mapped: format only", listener: "mapped", send: get("/status/500") },
	{ name: "mapped: an upstream's 404 stays", listener: "mapped", send: get("/x"), reply: reply(404, [], "theirs") },
	...upgrades("upgrades"),
	{
		name: "CONNECT through",
		listener: "connect",
		send: "CONNECT target.example:443 HTTP/1.1\r\nhost: target.example:443\r\n\r\n",
		reply: "HTTP/1.1 200 OK\r\n\r\n",
		quietMs: 500,
	},
	{
		name: "CONNECT refused by the upstream",
		listener: "connect",
		send: "CONNECT target.example:443 HTTP/1.1\r\nhost: target.example:443\r\n\r\n",
		reply: reply(403, [], "no"),
	},
];

const hosts = [
	{
		name: "all",
		domains: ["test.example", "target.example:443"],
		routes: [
			...statuses.map((status) => ({
				name: `s${status}`,
				match: { path: `/status/${status}` },
				direct_response: { status, body: { inline_string: `body of ${status}` } },
			})),
			{ name: "no-ws", match: { prefix: "/no-ws" }, route: { cluster: "a", upgrade_configs: [{ upgrade_type: "websocket", enabled: false }] } },
			{ name: "connect", match: { connect_matcher: {} }, route: { cluster: "a", upgrade_configs: [{ upgrade_type: "CONNECT" }] } },
			{ name: "rest", match: { prefix: "/" }, route: { cluster: "a" } },
		],
	},
];

export const replies: Suite = {
	name: "replies",
	upstreams: ["a"],
	listeners: ["main", "faults", "mapped", "upgrades", "connect"],
	resources: ({ upstream }, accessLog) => {
		const listener = (name: string, manager: object = {}) =>
			httpListener(name, { access_log: accessLog, delayed_close_timeout: "0.01s", route_config: { name: "r", virtual_hosts: hosts }, ...manager });
		return {
			listeners: [
				listener("main"),
				listener("faults", { http_filters: [faults, router] }),
				listener("mapped", { local_reply_config: mapped }),
				listener("upgrades", { upgrade_configs: [{ upgrade_type: "websocket" }] }),
				listener("connect", { upgrade_configs: [{ upgrade_type: "CONNECT" }] }),
			],
			clusters: [staticCluster("a", upstream["a"] as number)],
		};
	},
	cases,
};
