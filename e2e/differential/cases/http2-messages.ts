import { data, type Field, fields, open, type UpstreamStream, whole } from "../http2-peers.ts";
import type { Http2Case } from "../http2-world.ts";
import { request as request1 } from "../suite.ts";

/** Fields of a request; `more` stands behind the pseudo headers. */
export const head = (method: string, path: string, more: readonly Field[] = [], authority = "test.example"): readonly Field[] => [
	[":method", method],
	[":scheme", "http"],
	[":path", path],
	[":authority", authority],
	...more,
];

/** Until an upstream has what was sent. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => void setTimeout(resolve, ms));

/** One stream that is opened with these fields, and pieces of its body, the last of which ends it. */
export function once(name: string, list: readonly Field[], body: readonly string[] = [], more: Partial<Http2Case> = {}): Http2Case {
	return {
		name,
		async run(client) {
			const id = client.open(list, body.length === 0 ? whole : open);
			for (const [i, piece] of body.entries()) client.send(data(id, piece, i === body.length - 1));
			await client.ended(id);
		},
		...more,
	};
}

/** Another length than it says, once the upstream has the head. */
function wrongLength(name: string, said: number): Http2Case {
	return {
		name,
		async run(client) {
			const id = client.open(head("POST", "/h2/a", [["content-length", String(said)]]), open);
			await pause(60);
			client.send(data(id, "abc", true));
			await client.ended(id);
		},
	};
}

interface Answer {
	readonly status: number;
	readonly headers?: readonly Field[];
	readonly body?: string;
	readonly trailers?: readonly Field[];
}

/** The same answer of either upstream. */
function answering({ status, headers = [], body, trailers }: Answer): Pick<Http2Case, "reply" | "script"> {
	const line = ([name, value]: Field) => `${name}: ${value}\r\n`;
	const hasLength = status !== 204 && status !== 304 && !headers.some(([name]) => name === "content-length");
	const framing = trailers !== undefined ? "transfer-encoding: chunked\r\n" : hasLength ? `content-length: ${(body ?? "").length}\r\n` : "";
	const chunks = `${body === undefined || body === "" ? "" : `${body.length.toString(16)}\r\n${body}\r\n`}0\r\n${(trailers ?? []).map(line).join("")}\r\n`;
	return {
		reply: `HTTP/1.1 ${status} Reason\r\n${headers.map(line).join("")}${framing}\r\n${trailers === undefined ? (body ?? "") : chunks}`,
		script: {
			onEnd(stream) {
				stream.head(status, headers, body === undefined && trailers === undefined ? whole : open);
				if (body !== undefined) stream.data(body, trailers === undefined);
				if (trailers !== undefined) stream.trailers(trailers);
			},
		},
	};
}

const grpc: readonly Field[] = [
	["content-type", "application/grpc"],
	["te", "trailers"],
];
const message = "\0\0\0\0\x02hi";

/** Over either upstream. */
const bridged = (at: string): readonly Http2Case[] => [
	once(`${at}: GET`, head("GET", `${at}/a?b=c`, [["x-a", "1"]])),
	once(`${at}: HEAD`, head("HEAD", `${at}/a`), [], answering({ status: 200, headers: [["content-length", "12"]] })),
	once(`${at}: OPTIONS *`, head("OPTIONS", "*")),
	once(`${at}: POST with length`, head("POST", `${at}/a`, [["content-length", "6"]]), ["abc", "def"]),
	once(`${at}: POST without length`, head("POST", `${at}/a`), ["abc", "def"]),
	once(`${at}: POST of nothing`, head("POST", `${at}/a`), [""]),
	once(`${at}: POST that ends with its head`, head("POST", `${at}/a`)),
	once(`${at}: answer with a body`, head("GET", `${at}/a`), [], answering({ status: 201, headers: [["x-b", "2"]], body: "body" })),
	once(`${at}: answer of nothing`, head("GET", `${at}/a`), [], answering({ status: 200, body: "" })),
	once(`${at}: trailers of the answer`, head("GET", `${at}/a`, [["te", "trailers"]]), [], answering({ status: 200, body: "body", trailers: [["x-t", "1"]] })),
	{
		name: `${at}: trailers of the request`,
		async run(client) {
			const id = client.open(head("POST", `${at}/a`), open);
			client.send(data(id, "abc"), fields(id, [["x-t", "1"]], whole));
			await client.ended(id);
		},
	},
	{
		name: `${at}: trailers both ways`,
		async run(client) {
			const id = client.open(head("POST", `${at}/a`), open);
			client.send(data(id, "abc"), fields(id, [["x-t", "1"]], whole));
			await client.ended(id);
		},
		...answering({ status: 200, body: "body", trailers: [["x-u", "2"]] }),
	},
	...[204, 304].map((status) => once(`${at}: ${status}`, head("GET", `${at}/a`), [], answering({ status, headers: [["etag", '"x"']] }))),
	once(
		`${at}: two cookies`,
		head("GET", `${at}/a`, [
			["cookie", "a=1"],
			["cookie", "b=2"],
		]),
	),
	once(`${at}: one cookie of two pairs`, head("GET", `${at}/a`, [["cookie", "a=1; b=2"]])),
	once(
		`${at}: two set-cookie`,
		head("GET", `${at}/a`),
		[],
		answering({
			status: 200,
			headers: [
				["set-cookie", "a=1"],
				["set-cookie", "b=2"],
			],
			body: "x",
		}),
	),
	once(`${at}: te: trailers`, head("GET", `${at}/a`, [["te", "trailers"]])),
	once(`${at}: te: trailers and more`, head("GET", `${at}/a`, [["te", "trailers, gzip"]])),
	once(`${at}: te: gzip`, head("GET", `${at}/a`, [["te", "gzip"]])),
	once(`${at}: expect: 100-continue`, head("POST", `${at}/a`, [["expect", "100-continue"]]), ["abc"]),
	once(
		`${at}: gRPC ok`,
		head("POST", `${at}/pkg.S/M`, grpc),
		[message],
		answering({ status: 200, headers: [["content-type", "application/grpc"]], body: message, trailers: [["grpc-status", "0"]] }),
	),
	once(
		`${at}: gRPC error in trailers`,
		head("POST", `${at}/pkg.S/M`, grpc),
		[message],
		answering({
			status: 200,
			headers: [["content-type", "application/grpc"]],
			body: message,
			trailers: [
				["grpc-status", "13"],
				["grpc-message", "broken"],
			],
		}),
	),
	once(
		`${at}: gRPC trailers-only`,
		head("POST", `${at}/pkg.S/M`, grpc),
		[message],
		answering({
			status: 200,
			headers: [
				["content-type", "application/grpc"],
				["grpc-status", "5"],
				["grpc-message", "none"],
			],
		}),
	),
	once(`${at}: gRPC, an answer that is none`, head("POST", `${at}/pkg.S/M`, grpc), [message], answering({ status: 503, body: "no" })),
	once(`${at}: head of a host and an authority`, head("GET", `${at}/a`, [["host", "other.example"]])),
	once(`${at}: the same host and authority`, head("GET", `${at}/a`, [["host", "test.example"]])),
	once(`${at}: host and no authority`, [
		[":method", "GET"],
		[":scheme", "http"],
		[":path", `${at}/a`],
		["host", "only.example"],
	]),
	once(`${at}: no authority at all`, [
		[":method", "GET"],
		[":scheme", "http"],
		[":path", `${at}/a`],
	]),
	once(`${at}: scheme https`, [
		[":method", "GET"],
		[":scheme", "https"],
		[":path", `${at}/a`],
		[":authority", "a"],
	]),
	once(`${at}: an unknown method`, head("BREW", `${at}/a`)),
	once(
		`${at}: a header twice`,
		head("GET", `${at}/a`, [
			["x-a", "1"],
			["x-a", "2"],
		]),
	),
	once(`${at}: an empty value`, head("GET", `${at}/a`, [["x-a", ""]])),
	once(`${at}: bytes beyond ASCII`, head("GET", `${at}/a`, [["x-a", "caf\xe9"]])),
	once(`${at}: a fragment`, head("GET", `${at}/a#b`)),
	once(
		`${at}: headers between hops`,
		head("GET", `${at}/a`, [
			["keep-alive", "timeout=5"],
			["x-forwarded-for", "1.2.3.4"],
			["via", "1.1 x"],
		]),
	),
];

/** HTTP/1 in front, HTTP/2 behind. */
const upward = [
	["GET", request1("GET", "/h2/a?b", ["x-a: 1"])],
	["POST", request1("POST", "/h2/a", [], "abc")],
	["POST in chunks with trailers", `${request1("POST", "/h2/a", ["transfer-encoding: chunked"])}3\r\nabc\r\n0\r\nx-t: 1\r\n\r\n`],
	["hop-by-hop headers", request1("GET", "/h2/a", ["connection: x-drop", "x-drop: 1", "keep-alive: 5", "te: trailers"])],
	["te: gzip", request1("GET", "/h2/a", ["te: gzip"])],
	["expect: 100-continue", request1("POST", "/h2/a", ["expect: 100-continue"], "abc")],
	["cookies", request1("GET", "/h2/a", ["cookie: a=1; b=2", "cookie: c=3"])],
	["names in capitals", request1("GET", "/h2/a", ["X-Upper: Value"])],
	["gRPC", request1("POST", "/h2/a", ["content-type: application/grpc", "te: trailers"], message)],
] as const;

const reset1: Http2Case["script"] = { onEnd: (stream: UpstreamStream) => stream.reset(2) };

/** Local replies, to gRPC and to others. */
const local = (["plain", "gRPC"] as const).flatMap((kind): readonly Http2Case[] => {
	const more = kind === "gRPC" ? grpc : [];
	const post = (path: string) => head("POST", path, more);
	return [
		once(`local reply, ${kind}: no route`, post("/nowhere"), [message]),
		once(`local reply, ${kind}: refused`, post("/refused")),
		once(`local reply, ${kind}: upstream reset`, post("/h2/a"), [message], { script: reset1 }),
		once(`local reply, ${kind}: timeout`, post("/short"), [message], { script: { onEnd() {} } }),
		once(`local reply, ${kind}: direct 403`, post("/denied"), [message]),
		once(`local reply, ${kind}: direct 200`, post("/direct"), [message]),
		once(`local reply, ${kind}: redirect`, post("/elsewhere"), [message]),
		once(`local reply, ${kind}: HEAD`, head("HEAD", "/nowhere", more)),
	];
});

const malformed: readonly Http2Case[] = [
	...["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"].map((name) =>
		once(`connection-specific: ${name}`, head("GET", "/h2/a", [[name, name === "transfer-encoding" ? "chunked" : "x"]])),
	),
	once("upper-case name", head("GET", "/h2/a", [["X-Upper", "1"]])),
	once("no method", head("GET", "/h2/a").slice(1)),
	once(
		"no scheme",
		head("GET", "/h2/a").filter(([name]) => name !== ":scheme"),
	),
	once(
		"no path",
		head("GET", "/h2/a").filter(([name]) => name !== ":path"),
	),
	once("empty path", head("GET", "")),
	once("path without slash", head("GET", "h2/a")),
	once("GET *", head("GET", "*")),
	once("path with a space", head("GET", "/h2/a b")),
	once("path beyond ASCII", head("GET", "/h2/caf\xe9")),
	once("absolute path", head("GET", "http://x.example/h2/a")),
	...[":method", ":scheme", ":path", ":authority"].map((name) =>
		once(`two of ${name}`, [...head("GET", "/h2/a"), ...head("GET", "/h2/a").filter(([key]) => key === name)]),
	),
	once("unknown pseudo header", [[":foo", "1"], ...head("GET", "/h2/a")]),
	once(":status of a request", [[":status", "200"], ...head("GET", "/h2/a")]),
	once("pseudo header behind others", [...head("GET", "/h2/a").slice(0, 3), ["x-a", "1"], [":authority", "test.example"]]),
	once("NUL in a value", head("GET", "/h2/a", [["x-a", "a\0b"]])),
	once("line end in a value", head("GET", "/h2/a", [["x-a", "a\r\nb: c"]])),
	once("white space around a value", head("GET", "/h2/a", [["x-a", " b "]])),
	once("space in a name", head("GET", "/h2/a", [["x a", "1"]])),
	once("colon in a name", head("GET", "/h2/a", [["x:a", "1"]])),
	once("empty name", head("GET", "/h2/a", [["", "1"]])),
	once("method that is no token", head("G T", "/h2/a")),
	once("empty method", head("", "/h2/a")),
	once("scheme ftp", [
		[":method", "GET"],
		[":scheme", "ftp"],
		[":path", "/h2/a"],
		[":authority", "a"],
	]),
	once("empty authority", head("GET", "/h2/a", [], "")),
	once("authority with user information", head("GET", "/h2/a", [], "u:p@test.example")),
	once("authority with a space", head("GET", "/h2/a", [], "a b")),
	once("authority with a slash", head("GET", "/h2/a", [], "a/b")),
	once(
		"two hosts that differ",
		head("GET", "/h2/a", [
			["host", "a"],
			["host", "b"],
		]),
	),
	once("content-length that is none", head("POST", "/h2/a", [["content-length", "x"]]), ["abc"]),
	once(
		"two content-lengths alike",
		head("POST", "/h2/a", [
			["content-length", "3"],
			["content-length", "3"],
		]),
		["abc"],
	),
	once(
		"two content-lengths that differ",
		head("POST", "/h2/a", [
			["content-length", "3"],
			["content-length", "4"],
		]),
		["abc"],
	),
	wrongLength("more than content-length", 2),
	wrongLength("less than content-length", 4),
	once("content-length without a body", head("GET", "/h2/a", [["content-length", "4"]])),
	{
		name: "trailers that do not end the stream",
		async run(client) {
			const id = client.open(head("POST", "/h2/a"), open);
			client.send(data(id, "abc"));
			await pause(60);
			client.send(fields(id, [["x-t", "1"]], open));
			await client.ended(id);
		},
	},
	{
		name: "pseudo header in trailers",
		async run(client) {
			const id = client.open(head("POST", "/h2/a"), open);
			client.send(data(id, "abc"));
			await pause(60);
			client.send(fields(id, [[":path", "/"]], whole));
			await client.ended(id);
		},
	},
	{
		name: "upper-case name in trailers",
		async run(client) {
			const id = client.open(head("POST", "/h2/a"), open);
			client.send(data(id, "abc"));
			await pause(60);
			client.send(fields(id, [["X-T", "1"]], whole));
			await client.ended(id);
		},
	},
	...["reject", "drop"].map((what) =>
		once(`underscore in a name: ${what}`, head("GET", "/h2/a", [["x_a", "1"]]), [], { listener: what === "drop" ? "drop-underscores" : "underscores" }),
	),
];

/** The listener that ends streams alone, and the one whose option says so by its older name. */
const lenient: readonly Http2Case[] = (["lenient", "strict-first"] as const).flatMap((listener) =>
	[
		once("upper-case name", head("GET", "/h2/a", [["X-Upper", "1"]])),
		once("connection: close", head("GET", "/h2/a", [["connection", "close"]])),
		once(
			"no path",
			head("GET", "/h2/a").filter(([name]) => name !== ":path"),
		),
		wrongLength("more than content-length", 2),
		once("NUL in a value", head("GET", "/h2/a", [["x-a", "a\0b"]])),
		once("colon in a name", head("GET", "/h2/a", [["x:a", "1"]])),
	].map((one) => ({ ...one, listener, name: `${listener}: ${one.name}` })),
);

export const http2Messages: readonly Http2Case[] = [
	...["/h1", "/h2"].flatMap(bridged),
	...upward.map(([name, send]) => ({ name: `HTTP/1 to HTTP/2: ${name}`, send })),
	...local,
	...malformed,
	...lenient,
];
