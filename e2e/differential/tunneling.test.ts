import assert from "node:assert/strict";
import { createServer as createHttp2Server, type Http2Server, type Http2Stream, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, listener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

interface Case {
	readonly cluster: "h1" | "h2" | "dead" | "nowhere" | "empty";
	readonly tunnel?: object;
	readonly proxy?: object;
	/** How the host behaves: told to it by a header. */
	readonly mode?: "refuse" | "close" | "created" | "echo";
}

const nameOf = (name: string): string => name.replace(/\W+/g, "-");
const hostname = "db.example.com:5432";
const header = (key: string, value: string) => ({ header: { key, value } });

const cases: Readonly<Record<string, Case>> = {
	connect: { cluster: "h1" },
	post: { cluster: "h1", tunnel: { use_post: true } },
	"post to a path": { cluster: "h1", tunnel: { use_post: true, post_path: "/in" } },
	"names and headers that are filled in": {
		cluster: "h1",
		tunnel: {
			hostname: "%REQUESTED_SERVER_NAME%.%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%:80",
			headers_to_add: [header("x-from", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"), header("x-twice", "a"), header("x-twice", "b")],
		},
	},
	"the answer's head is kept": { cluster: "h1", tunnel: { propagate_response_headers: true } },
	"201 is as good as 200 in HTTP/1": { cluster: "h1", mode: "created" },
	refused: { cluster: "h1", mode: "refuse", tunnel: { propagate_response_headers: true } },
	"refused twice": { cluster: "h1", mode: "refuse", proxy: { max_connect_attempts: 2 } },
	"closed instead of an answer": { cluster: "h1", mode: "close" },
	"nobody listens": { cluster: "dead" },
	"no such cluster": { cluster: "nowhere" },
	"no host": { cluster: "empty" },
	"connect over HTTP/2": { cluster: "h2" },
	"post over HTTP/2": { cluster: "h2", tunnel: { use_post: true } },
	"trailers are kept": { cluster: "h2", tunnel: { propagate_response_headers: true, propagate_response_trailers: true } },
	"refused over HTTP/2": { cluster: "h2", mode: "refuse" },
	"201 is not 200 in HTTP/2": { cluster: "h2", mode: "created" },
	"reset over HTTP/2": { cluster: "h2", mode: "close" },
};
/** Without a tunnel: what fails, fails in the same words. */
const plain: Readonly<Record<string, Case>> = {
	"plain, nobody listens": { cluster: "dead" },
	"plain, no such cluster": { cluster: "nowhere" },
	"plain, no host": { cluster: "empty" },
};

/** Much, both ways at once, and the end of one of them. */
const bulk: Readonly<Record<string, Case>> = { "bulk HTTP/1": { cluster: "h1", mode: "echo" }, "bulk HTTP/2": { cluster: "h2", mode: "echo" } };
const bulkBytes = 8 * 1024 * 1024;

/** TCP connections through hosts that are asked by CONNECT or POST, beside a real Envoy. */
describe("tunnels of tcp_proxy, beside a real Envoy", { skip: skipReason }, () => {
	/** Heads that the hosts saw. */
	const seen: string[] = [];
	let http1: Server;
	let http2: Http2Server;
	let pair: readonly [Proxy, Proxy];
	const names = [...Object.keys(cases), ...Object.keys(plain)];
	const listeners = [...names, ...Object.keys(bulk)].map(nameOf);

	before(async () => {
		http1 = await listening(createServer({ allowHalfOpen: true }, (socket) => serveHttp1(socket, seen)));
		http2 = await listening(createHttp2Server());
		http2.on("stream", (stream: Http2Stream, headers) => serveHttp2(stream as ServerHttp2Stream, headers, seen));
		const port = (server: Server | Http2Server) => (server.address() as AddressInfo).port;
		pair = await startPair((accessLog) => bootstrap(accessLog, port(http1), port(http2)), listeners);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
		http1.close();
		http2.close();
	});

	for (const name of names) {
		test(name, async () => {
			const observed: unknown[] = [];
			for (const proxy of pair) {
				const lines = proxy.log().length;
				seen.length = 0;
				const answer = await talk(proxy.port(nameOf(name)));
				for (const end = performance.now() + 20_000; performance.now() < end && proxy.log().length === lines; await sleep(10));
				observed.push({ answer, seen: [...seen], log: proxy.log().slice(lines) });
			}
			assert.deepEqual(observed[1], observed[0]);
		});
	}

	for (const name of Object.keys(bulk)) {
		test(name, async () => {
			const sent = Buffer.alloc(bulkBytes, "0123456789abcdef");
			const socket = connect({ port: pair[1].port(nameOf(name)), host: "127.0.0.1", allowHalfOpen: true });
			const pieces: Buffer[] = [];
			socket.on("data", (bytes: Buffer) => pieces.push(bytes));
			socket.end(sent);
			await new Promise((resolve, reject) => socket.on("end", resolve).on("error", reject));
			const received = Buffer.concat(pieces);
			assert.equal(received.length, sent.length);
			assert.ok(received.equals(sent));
		});
	}
});

function bootstrap(accessLog: string, http1Port: number, http2Port: number): object {
	const log = fileLog(accessLog, {
		flags: "%RESPONSE_FLAGS%",
		cluster: "%UPSTREAM_CLUSTER%",
		sent: "%BYTES_SENT%",
		received: "%BYTES_RECEIVED%",
		failure: "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
		attempts: "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
		headers: "x%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers)%",
		trailers: "x%FILTER_STATE(envoy.tcp_proxy.propagate_response_trailers)%",
	});
	const proxyOf = (name: string, { cluster, mode, proxy, tunnel }: Case, isTunnel: boolean) => {
		const own = { hostname, ...(mode && { headers_to_add: [header("x-mode", mode)] }), ...tunnel };
		const fields = { stat_prefix: nameOf(name), cluster, access_log: [log], ...(isTunnel && { tunneling_config: own }), ...proxy };
		return listener(nameOf(name), [extension("tcp", "extensions.filters.network.tcp_proxy.v3.TcpProxy", fields)]);
	};
	const http2 = {
		typed_extension_protocol_options: {
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
				"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				explicit_http_config: { http2_protocol_options: { allow_connect: true } },
			},
		},
	};
	return {
		admin: { address: loopback(0) },
		static_resources: {
			clusters: [staticCluster("h1", http1Port), staticCluster("h2", http2Port, http2), staticCluster("dead", 1), staticCluster("empty", [])],
			listeners: [
				...Object.entries({ ...cases, ...bulk }).map(([name, one]) => proxyOf(name, one, true)),
				...Object.entries(plain).map(([name, one]) => proxyOf(name, one, false)),
			],
		},
	};
}

async function listening<S extends Server | Http2Server>(server: S): Promise<S> {
	await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
	return server;
}

/** Says `ping`, and ends once it is answered; gives what came. */
function talk(port: number): Promise<string> {
	return new Promise((resolve) => {
		let text = "";
		const socket: Socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
		socket.on("connect", () => socket.write("ping"));
		socket.on("data", (bytes) => {
			text += bytes.toString("latin1");
			if (text.includes("ping")) socket.end();
		});
		socket.on("end", () => socket.end());
		socket.on("error", () => {});
		socket.setTimeout(10_000, () => socket.destroy(new Error("no answer")));
		socket.on("close", () => resolve(text));
	});
}

/** Passes nothing on: it answers what comes through the tunnel itself. */
function serveHttp1(socket: Socket, seen: string[]): void {
	let head = "";
	let isOpen = false;
	socket.on("error", () => {});
	socket.on("end", () => socket.end());
	socket.on("data", (bytes) => {
		const text = bytes.toString("latin1");
		if (isOpen) {
			if (text.includes("ping")) socket.write("answer:ping");
			// The last chunk of a POST.
			if (text.endsWith("0\r\n\r\n")) socket.end();
			return;
		}
		head += text;
		if (!head.includes("\r\n\r\n")) return;
		seen.push(head);
		switch (/x-mode: (\S+)/.exec(head)?.[1]) {
			case "refuse":
				return void socket.write("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\nx-why: no\r\n\r\nno");
			case "close":
				return void socket.destroy();
			case "echo":
				socket.removeAllListeners("data").removeAllListeners("end");
				socket.write("HTTP/1.1 200 OK\r\n\r\n");
				return void socket.pipe(socket);
			case "created":
				isOpen = true;
				return void socket.write("HTTP/1.1 201 Created\r\n\r\n");
			default:
				isOpen = true;
				socket.write("HTTP/1.1 200 OK\r\nx-host: one\r\n\r\n");
		}
	});
}

function serveHttp2(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, seen: string[]): void {
	seen.push(JSON.stringify(Object.entries(headers).toSorted(([a], [b]) => (a < b ? -1 : 1))));
	stream.on("error", () => {});
	switch (headers["x-mode"]) {
		case "refuse":
			stream.respond({ ":status": 403 });
			return void stream.end("no");
		case "close":
			return stream.close(2);
		case "created":
			stream.respond({ ":status": 201 });
			return;
		case "echo":
			stream.respond({ ":status": 200 });
			return void stream.pipe(stream);
	}
	stream.respond({ ":status": 200, "x-host": "two" }, { waitForTrailers: true });
	stream.on("wantTrailers", () => stream.sendTrailers({ "x-trailer": "end" }));
	stream.on("data", (bytes: Buffer) => stream.write(`answer:${bytes.toString("latin1")}`));
	stream.on("end", () => stream.end());
}
