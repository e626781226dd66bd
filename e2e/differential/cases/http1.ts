import { extension, httpListener, staticCluster } from "../config.ts";
import { type Case, get, reply, request, type Suite } from "../suite.ts";

const redirect = { name: "redirect", match: { path: "/redirect" }, redirect: { path_redirect: "/" } };
const everything = (cluster: string) => ({
	name: cluster,
	virtual_hosts: [{ name: "all", domains: ["*"], routes: [redirect, { name: "all", match: { prefix: "/" }, route: { cluster } }] }],
});
const spelledAnew = (cluster: string) => ({
	...everything(cluster),
	request_headers_to_add: [overwrite("X-Set"), { header: { key: "X-More", value: "1" } }],
	response_headers_to_add: [overwrite("X-RSET")],
});
const raw = (name: string, send: string, more: Partial<Case> = {}): Case => ({ name, send, ...more });
const host = "host: test.example\r\n";

const chunked = (trailers: string) => `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n${trailers}\r\n`;
const names = (count: number) => Array.from({ length: count }, (_, i) => `x-${i}`).join(",");
const spelled = (method: string, more: string) => `${method} / HTTP/1.1\r\nHOST: test.example\r\nX-One: 1\r\nx-ONE: 2\r\nX-SET: old\r\n${more}\r\n`;
const answer = (more: string) => `HTTP/1.1 200 OK\r\nX-Rset: old\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n${more}\r\n`;
const overwrite = (key: string) => ({ header: { key, value: "new" }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" });
const preserved = {
	header_key_format: {
		stateful_formatter: extension("preserve_case", "extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"),
	},
};

const requests: readonly Case[] = [
	raw("no host", "GET / HTTP/1.1\r\n\r\n"),
	raw("empty host", "GET / HTTP/1.1\r\nhost:\r\n\r\n"),
	raw("two hosts", "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"),
	raw("HTTP/1.0", "GET / HTTP/1.0\r\nhost: a\r\n\r\n"),
	raw("HTTP/1.0 where it is accepted", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", { listener: "old" }),
	raw("HTTP/1.0 without host where it is accepted", "GET / HTTP/1.0\r\n\r\n", { listener: "old" }),
	raw("HTTP/1.0 with keep-alive", "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n", { listener: "old" }),
	...["keep-alive", "close"].map((value) =>
		raw(`HTTP/1.0 with ${value}, and nothing said of a length`, `HEAD / HTTP/1.0\r\nhost: a\r\nconnection: ${value}\r\n\r\n`, {
			listener: "old",
			reply: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
		}),
	),
	raw("HTTP/1.0 with keep-alive, 204", "GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n", {
		listener: "old",
		reply: "HTTP/1.1 204 No Content\r\n\r\n",
	}),
	raw("HTTP/2.0 in the line", `GET / HTTP/2.0\r\n${host}\r\n`),
	raw("HTTP/1.2", `GET / HTTP/1.2\r\n${host}\r\n`),
	raw("absolute form", "GET http://other.example/x?y HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("absolute form with an empty port", "GET http://other.example:/x HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("absolute form of another scheme", "GET ftp://other.example/x HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("absolute form without path", "GET http://other.example HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("absolute form with https", "GET https://other.example/ HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("OPTIONS *", "OPTIONS * HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("GET *", "GET * HTTP/1.1\r\nhost: test.example\r\n\r\n"),
	raw("target without slash", `GET foo HTTP/1.1\r\n${host}\r\n`),
	raw("fragment", `GET /a#b HTTP/1.1\r\n${host}\r\n`),
	raw("fragment after query", `GET /a?b#c HTTP/1.1\r\n${host}\r\n`),
	raw("unknown method", `BREW /pot HTTP/1.1\r\n${host}\r\n`),
	raw("lower-case method", `get / HTTP/1.1\r\n${host}\r\n`),
	raw("CONNECT without upgrade", "CONNECT test.example:443 HTTP/1.1\r\nhost: test.example:443\r\n\r\n"),
	raw("content-length and chunked", `POST / HTTP/1.1\r\n${host}content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
	raw("two content-lengths alike", `POST / HTTP/1.1\r\n${host}content-length: 3\r\ncontent-length: 3\r\n\r\nabc`),
	raw("two content-lengths that differ", `POST / HTTP/1.1\r\n${host}content-length: 3\r\ncontent-length: 4\r\n\r\nabcd`),
	raw("content-length with plus", `POST / HTTP/1.1\r\n${host}content-length: +3\r\n\r\nabc`),
	raw("negative content-length", `POST / HTTP/1.1\r\n${host}content-length: -3\r\n\r\nabc`),
	raw("identity transfer-encoding", `POST / HTTP/1.1\r\n${host}transfer-encoding: identity\r\n\r\n`),
	raw("gzip, chunked", `POST / HTTP/1.1\r\n${host}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n`),
	raw("chunked, gzip", `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked, gzip\r\n\r\n0\r\n\r\n`),
	raw("Chunked in capitals", `POST / HTTP/1.1\r\n${host}transfer-encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`),
	raw("chunk extension", `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0\r\n\r\n`),
	raw("chunk size that is none", `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n`),
	raw("trailers", `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n`),
	raw("trailers where they pass", `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n`, { listener: "trailers" }),
	...["drop", "reject"].map((listener) => raw(`underscore in a trailer: ${listener}`, chunked("x_t: 1\r\nx-t: 2\r\n"), { listener })),
	raw("trailers that are too large", chunked(`x-t: ${"t".repeat(1100)}\r\n`), { listener: "drop" }),
	raw("too many trailers", chunked("x-t: 1\r\n".repeat(11)), { listener: "drop" }),
	...["preserve", "proper", "main"].flatMap((listener) =>
		[
			raw("names as they came", spelled("GET", ""), { reply: answer("Content-Length: 0\r\n") }),
			raw("names as they came, chunked", spelled("POST", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n", {
				reply: answer("TRANSFER-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n",
			}),
			raw("names of a direct response", spelled("GET", "").replace("/", "/redirect")),
		].map((one) => ({ ...one, name: `${listener}: ${one.name}`, listener })),
	),
	raw("space before the colon", `GET / HTTP/1.1\r\n${host}x-a : b\r\n\r\n`),
	raw("folded header", `GET / HTTP/1.1\r\n${host}x-a: b\r\n c\r\n\r\n`),
	raw("header without colon", `GET / HTTP/1.1\r\n${host}nonsense\r\n\r\n`),
	raw("empty header name", `GET / HTTP/1.1\r\n${host}: b\r\n\r\n`),
	raw("NUL in a header", `GET / HTTP/1.1\r\n${host}x-a: b\0c\r\n\r\n`),
	raw("bare LF lines", "GET / HTTP/1.1\nhost: test.example\n\n"),
	raw("bare CR in a value", `GET / HTTP/1.1\r\n${host}x-a: b\rc\r\n\r\n`),
	raw("bytes beyond ASCII in a value", `GET / HTTP/1.1\r\n${host}x-a: caf\xe9\r\n\r\n`),
	raw("bytes beyond ASCII in the path", `GET /caf\xe9 HTTP/1.1\r\n${host}\r\n`),
	raw("empty lines before the request", `\r\n\r\nGET / HTTP/1.1\r\n${host}\r\n`),
	raw("header names in capitals", `GET / HTTP/1.1\r\nHOST: test.example\r\nX-UPPER: Value\r\n\r\n`),
	raw("underscore in a header name", `GET / HTTP/1.1\r\n${host}x_under: 1\r\n\r\n`),
	raw("white space around a value", `GET / HTTP/1.1\r\n${host}x-a:  \t b \t \r\n\r\n`),
	raw("empty value", `GET / HTTP/1.1\r\n${host}x-a:\r\n\r\n`),
	raw("repeated header", `GET / HTTP/1.1\r\n${host}x-a: 1\r\nx-a: 2\r\n\r\n`),
	raw("two cookies", `GET / HTTP/1.1\r\n${host}cookie: a=1\r\ncookie: b=2\r\n\r\n`),
	raw("a head that is too large", `GET / HTTP/1.1\r\n${host}x-big: ${"x".repeat(70_000)}\r\n\r\n`),
	raw("too many headers", `GET / HTTP/1.1\r\n${host}${Array.from({ length: 120 }, (_, i) => `x-${i}: 1\r\n`).join("")}\r\n`),
	raw("connection: close", get("/", "connection: close")),
	raw("connection that names a header", get("/", "connection: x-drop, close", "x-drop: 1")),
	...["x-forwarded-for", "close, X-Forwarded-Proto", ":path", names(9), names(10)].map((value) =>
		raw(`connection that names ${value}`, get("/", `connection: ${value}`)),
	),
	raw("connection that names a long te", get("/", "connection: te", `te: ${"x".repeat(256)}`)),
	...["gzip, trailers", "Trailers", "gzip"].flatMap((value) => [
		raw(`te: ${value}`, get("/", `te: ${value}`)),
		raw(`te: ${value}, named`, get("/", `te: ${value}`, "connection: TE")),
	]),
	raw("te: trailers", get("/", "te: trailers", "connection: te")),
	raw("keep-alive and proxy-connection", get("/", "keep-alive: timeout=5", "proxy-connection: keep-alive")),
	raw("upgrade that is not allowed", get("/", "connection: upgrade", "upgrade: websocket")),
	raw("expect: 100-continue", request("POST", "/", ["expect: 100-continue"], "abc")),
	raw("expect: 100-continue without a body", request("POST", "/", ["expect: 100-continue"])),
	raw("expect: 100-continue of a GET", get("/redirect", "expect: 100-continue")),
	raw("expect something else", request("POST", "/", ["expect: 200-ok"], "abc")),
	raw("HEAD", request("HEAD", "/")),
	raw("GET with a body", request("GET", "/", [], "body")),
	raw("a length that is taken away", request("POST", "/", [], "body"), { listener: "lengthless" }),
	raw("a length of 0 that is taken away", request("POST", "/", ["content-length: 0"]), { listener: "lengthless" }),
	raw("a length that is taken away, chunked", `POST / HTTP/1.1\r\n${host}transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n`, { listener: "lengthless" }),
	raw("POST without length", request("POST", "/")),
	raw("two requests in one piece", get("/1") + get("/2"), { responses: 2 }),
	{ name: "two requests, one after the other", send: [get("/1"), get("/2")] },
];

const responses: readonly Case[] = [
	raw("204", get("/"), { reply: "HTTP/1.1 204 No Content\r\n\r\n" }),
	raw("204 with a length", get("/"), { reply: "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n" }),
	raw("304 with a length", get("/"), { reply: "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\netag: x\r\n\r\n" }),
	raw("chunked", get("/"), { reply: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" }),
	raw("response trailers", get("/"), { reply: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n" }),
	raw("until close", get("/"), { reply: () => ({ bytes: "HTTP/1.1 200 OK\r\n\r\nall of it", close: true }) }),
	raw("HTTP/1.0 response", get("/"), { reply: () => ({ bytes: "HTTP/1.0 200 OK\r\n\r\nold", close: true }) }),
	raw("an unknown status", get("/"), { reply: reply(299) }),
	raw("a status over 599", get("/"), { reply: reply(777) }),
	raw("no reason", get("/"), { reply: "HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n" }),
	raw("103 before", get("/"), { reply: `HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n${reply(200)}` }),
	raw("100 before", get("/"), { reply: `HTTP/1.1 100 Continue\r\n\r\n${reply(200)}` }),
	raw("101 that nobody asked for", get("/"), { reply: "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n" }),
	raw("not HTTP", get("/"), { reply: "SSH-2.0-server\r\n\r\n" }),
	raw("two content-lengths that differ", get("/"), { reply: "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab" }),
	raw("content-length and chunked", get("/"), { reply: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" }),
	raw("hop-by-hop headers", get("/"), {
		reply: reply(200, ["connection: keep-alive, x-drop", "x-drop: 1", "keep-alive: timeout=3", "proxy-connection: close"]),
	}),
	raw("connection: close", get("/"), { reply: () => ({ bytes: reply(200, ["connection: close"], "bye"), close: true }) }),
	raw("its own date and server", get("/"), { reply: reply(200, ["date: Thu, 01 Jan 1970 00:00:00 GMT", "server: theirs"]) }),
	raw("set-cookie twice", get("/"), { reply: reply(200, ["set-cookie: a=1", "set-cookie: b=2"]) }),
	raw("names in capitals", get("/"), { reply: "HTTP/1.1 200 OK\r\nX-Upper: 1\r\nContent-Length: 0\r\n\r\n" }),
	raw("cut short", get("/"), { reply: () => ({ bytes: "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc", close: true }) }),
	raw("nothing at all", get("/"), { reply: () => ({ bytes: "", close: true }) }),
	raw("nothing at all, to a POST", request("POST", "/", [], "abc"), { reply: () => ({ bytes: "", close: true }) }),
	raw("half a head", get("/"), { reply: () => ({ bytes: "HTTP/1.1 200 OK\r\nx-a: b", close: true }) }),
	raw("HEAD with a length", request("HEAD", "/"), { reply: "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" }),
	...[200, 204, 301, 404].map((status) =>
		raw(`${status} to websocket`, get("/", "connection: upgrade", "upgrade: websocket"), {
			listener: "upgrades",
			reply: reply(status, ["x-a: 1"], status === 204 ? "" : "no"),
		}),
	),
	raw("HEAD, chunked", request("HEAD", "/"), { reply: "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" }),
	raw("HEAD, and nothing said of a length", request("HEAD", "/"), { reply: "HTTP/1.1 200 OK\r\n\r\n" }),
	raw("HEAD, 304, chunked", request("HEAD", "/"), { reply: "HTTP/1.1 304 Not Modified\r\ntransfer-encoding: chunked\r\n\r\n" }),
	raw("HEAD of what is redirected", request("HEAD", "/redirect")),
	raw("a length that is taken away", get("/"), { listener: "lengthless", reply: reply(200, [], "abc") }),
	raw("HEAD, a length that is taken away", request("HEAD", "/"), { listener: "lengthless", reply: "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n" }),
	raw("a head that is too large", get("/"), { reply: `HTTP/1.1 200 OK\r\nx-big: ${"x".repeat(90_000)}\r\ncontent-length: 0\r\n\r\n` }),
	raw("an upstream that nobody is", get("/"), { listener: "down" }),
	raw("an upstream that nobody is, by POST", request("POST", "/", [], "abc"), { listener: "down" }),
	raw("a TLS upstream that never answers", get("/"), { listener: "untrue", reply: "HTTP/1.1 400 Bad Request\r\n\r\n" }),
	raw("a gRPC request to it", request("POST", "/p.S/M", ["content-type: application/grpc"], "12345"), { listener: "down" }),
];

export const http1: Suite = {
	name: "HTTP/1",
	upstreams: ["a"],
	listeners: ["main", "old", "trailers", "lengthless", "drop", "reject", "preserve", "proper", "upgrades", "down", "untrue"],
	resources: ({ upstream, closed }, accessLog) => {
		const listener = (name: string, manager: object, cluster = "a") =>
			httpListener(name, { access_log: accessLog, delayed_close_timeout: "0.01s", route_config: everything(cluster), ...manager });
		return {
			listeners: [
				listener("main", {}),
				listener("old", { http_protocol_options: { accept_http_10: true, default_host_for_http_10: "default.example" } }),
				listener("trailers", { http_protocol_options: { enable_trailers: true } }),
				listener("lengthless", {
					route_config: { ...everything("a"), request_headers_to_remove: ["content-length"], response_headers_to_remove: ["content-length"] },
				}),
				...["DROP_HEADER", "REJECT_REQUEST"].map((headers_with_underscores_action) =>
					listener(headers_with_underscores_action === "DROP_HEADER" ? "drop" : "reject", {
						max_request_headers_kb: 1,
						common_http_protocol_options: { headers_with_underscores_action, max_headers_count: 10 },
						http_protocol_options: { enable_trailers: true },
					}),
				),
				listener("preserve", { http_protocol_options: preserved, route_config: spelledAnew("preserve") }, "preserve"),
				listener("proper", { http_protocol_options: { header_key_format: { proper_case_words: {} } }, route_config: spelledAnew("proper") }),
				listener("upgrades", { upgrade_configs: [{ upgrade_type: "websocket" }] }),
				listener("down", {}, "down"),
				listener("untrue", {}, "untrue"),
			],
			clusters: [
				staticCluster("a", upstream["a"] as number, { http_protocol_options: { enable_trailers: true } }),
				staticCluster("preserve", upstream["a"] as number, { http_protocol_options: preserved }),
				staticCluster("proper", upstream["a"] as number, { http_protocol_options: { header_key_format: { proper_case_words: {} } } }),
				staticCluster("down", closed),
				staticCluster("untrue", upstream["a"] as number, {
					connect_timeout: "0.2s",
					transport_socket: extension("envoy.transport_sockets.tls", "extensions.transport_sockets.tls.v3.UpstreamTlsContext"),
				}),
			],
		};
	},
	cases: [...requests.map((one) => ({ ...one, name: `request: ${one.name}` })), ...responses.map((one) => ({ ...one, name: `response: ${one.name}` }))],
};
