import { data, type Field, open } from "../http2-peers.ts";
import type { Http2Case } from "../http2-world.ts";
import { get } from "../suite.ts";
import { head, once } from "./http2-messages.ts";

const connect = (more: readonly Field[] = [], authority = "there.example:443"): readonly Field[] => [
	[":method", "CONNECT"],
	[":authority", authority],
	...more,
];
const extended = (path: string, protocol = "websocket", more: readonly Field[] = []): readonly Field[] => [
	[":method", "CONNECT"],
	[":protocol", protocol],
	[":scheme", "http"],
	[":path", path],
	[":authority", "test.example"],
	...more,
];

/** Opens, sends, and reads what comes back. */
function tunnel(name: string, list: readonly Field[], more: Partial<Http2Case> = {}): Http2Case {
	return {
		name,
		listener: "connect",
		async run(client) {
			const id = client.open(list, open);
			await client.answered(id);
			client.send(data(id, "ping"));
			await client.bodyOf(id, 4);
			client.send(data(id, "", true));
			await client.ended(id);
		},
		...more,
	};
}

const echoing: Http2Case["script"] = {
	onHead(stream) {
		stream.head(200);
		stream.data("pong", false);
		setTimeout(() => stream.data("", true), 80);
		return true;
	},
};
const switching = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\npong";

export const http2Tunnels: readonly Http2Case[] = [
	once("CONNECT where it is not allowed", connect(), ["x"]),
	once("extended CONNECT where it is not allowed", extended("/h2/ws"), ["x"]),
	tunnel("CONNECT to HTTP/2", connect(), { script: echoing }),
	// An answer that ends with its head crashes Envoy.
	once("CONNECT refused by the upstream", connect(), ["x"], { listener: "connect", script: { onEnd: (stream) => (stream.head(403), stream.data("no")) } }),
	once("CONNECT with a path", [...connect(), [":path", "/"]], ["x"], { listener: "connect" }),
	once("CONNECT with a scheme and a path", head("CONNECT", "/h2/a"), ["x"], { listener: "connect" }),
	once("CONNECT without authority", [[":method", "CONNECT"]], ["x"], { listener: "connect" }),
	tunnel("websocket to HTTP/2", extended("/h2/ws"), { script: echoing }),
	tunnel("websocket to HTTP/1", extended("/h1/ws", "websocket", [["sec-websocket-version", "13"]]), { reply: switching }),
	once("websocket refused by HTTP/2", extended("/h2/ws"), ["x"], {
		listener: "connect",
		script: { onHead: (stream) => (stream.head(403), stream.data("no"), true) },
	}),
	once("websocket refused by HTTP/1", extended("/h1/ws"), ["x"], { listener: "connect", reply: "HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno" }),
	once("another protocol", extended("/h2/ws", "chat"), ["x"], { listener: "connect" }),
	once("websocket on a route without it", extended("/retry-reset"), ["x"], { listener: "connect" }),
	once(
		"extended CONNECT without path",
		extended("/h2/ws").filter(([name]) => name !== ":path"),
		["x"],
		{ listener: "connect" },
	),
	once(":protocol of a GET", [...head("GET", "/h2/a"), [":protocol", "websocket"]], [], { listener: "connect" }),
	{
		name: "websocket of HTTP/1, HTTP/2 behind",
		settleMs: 400,
		send: get("/h2/ws", "connection: upgrade", "upgrade: websocket", "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="),
	},
];
