import assert from "node:assert/strict";
import { connect, createServer, type Server, type Socket } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { extension, fileLog, httpListener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";

type Json = Readonly<Record<string, unknown>>;

const signature = "0d0a0d0a000d0a515549540a";
/** A header of version 2: command and family in hex, then its payload in hex; `length` says something else of it. */
const v2 = (command: string, family: string, payload: string, length = payload.length / 2): Buffer =>
	Buffer.from(`${signature}${command}${family}${length.toString(16).padStart(4, "0")}${payload}`, "hex");
const ipv4 = "c00002070a01020304d201bb";
const ipv6 = "20010db800000000000000000000000120010db800000000000000000000000204d201bb";

/** What comes before the request. */
const headers: Readonly<Record<string, string | Buffer>> = {
	none: "",
	"v1 TCP4": "PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\n",
	"v1 TCP6": "PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n",
	"v1 TCP6 in full": "PROXY TCP6 2001:0db8:0000:0000:0000:0000:0000:0001 2001:db8::2 1234 443\r\n",
	"v1 UNKNOWN": "PROXY UNKNOWN\r\n",
	"v1 UNKNOWN with more": "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
	"v1 of another family": "PROXY UDP4 192.0.2.7 10.1.2.3 1234 443\r\n",
	"v1 with an address of another family": "PROXY TCP4 2001:db8::1 2001:db8::2 1234 443\r\n",
	"v1 TCP6 with IPv4": "PROXY TCP6 192.0.2.7 10.1.2.3 1234 443\r\n",
	"v1 with mapped addresses": "PROXY TCP6 ::ffff:192.0.2.7 ::ffff:10.1.2.3 1234 443\r\n",
	"v1 with a bad address": "PROXY TCP4 192.0.2.777 10.1.2.3 1234 443\r\n",
	"v1 with a bad port": "PROXY TCP4 192.0.2.7 10.1.2.3 99999 443\r\n",
	"v1 with port 0": "PROXY TCP4 192.0.2.7 10.1.2.3 0 0\r\n",
	"v1 with leading zeros": "PROXY TCP4 192.0.2.007 10.1.2.3 01234 443\r\n",
	"v1 with too few parts": "PROXY TCP4 192.0.2.7 10.1.2.3 1234\r\n",
	"v1 with too many parts": "PROXY TCP4 192.0.2.7 10.1.2.3 1234 443 1\r\n",
	"v1 with two spaces": "PROXY TCP4  192.0.2.7 10.1.2.3 1234 443\r\n",
	"v1 with a bare LF": "PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\n",
	"v1 without its end": `PROXY TCP4 192.0.2.7 ${"1".repeat(120)}`,
	"v1 in small letters": "proxy tcp4 192.0.2.7 10.1.2.3 1234 443\r\n",
	"v1 twice": "PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\nPROXY TCP4 192.0.2.8 10.1.2.3 1234 443\r\n",
	"v2 IPv4": v2("21", "11", ipv4),
	"v2 IPv6": v2("21", "21", ipv6),
	"v2 LOCAL": v2("20", "00", ""),
	"v2 LOCAL with addresses": v2("20", "11", ipv4),
	"v2 LOCAL with more": v2("20", "00", "010203"),
	// Not UNSPEC by PROXY: the specification has it accepted, as it is here; Envoy refuses it.
	"v2 over UDP": v2("21", "12", ipv4),
	"v2 of a socket": v2("21", "31", "00".repeat(216)),
	"v2 too short for IPv4": v2("21", "11", "c0000207"),
	"v2 too short for IPv6": v2("21", "21", ipv4),
	"v2 of another version": v2("11", "11", ipv4),
	"v2 with another command": v2("22", "11", ipv4),
	"v2 with another family": v2("21", "41", ipv4),
	"v2 with another transport": v2("21", "13", ipv4),
	"v2 with a TLV": v2("21", "11", `${ipv4}030004aabbccdd`),
	"v2 with a TLV that is cut": v2("21", "11", `${ipv4}0300ffaabbccdd`),
	"v2 with half a TLV": v2("21", "11", `${ipv4}03`),
	"v2 of which half comes": v2("21", "11", "", 12),
};

const listeners: Readonly<Record<string, Json>> = {
	strict: {},
	lenient: { allow_requests_without_proxy_protocol: true },
	"only-v1": { disallowed_versions: ["V2"] },
	"only-v2": { disallowed_versions: ["V1"] },
	"lenient-only-v2": { disallowed_versions: ["V1"], allow_requests_without_proxy_protocol: true },
	named: { stat_prefix: "mine" },
};

describe("PROXY protocol of clients, beside a real Envoy", { skip: skipReason }, () => {
	let pair: readonly [Proxy, Proxy];
	before(async () => {
		pair = await startPair(
			(accessLog) => ({
				admin: { address: loopback(0) },
				static_resources: { listeners: Object.entries(listeners).map(([name, options]) => buildListener(name, options, accessLog)) },
			}),
			Object.keys(listeners),
		);
	});
	after(async () => {
		for (const proxy of pair ?? []) await proxy.stop();
	});

	for (const listener of Object.keys(listeners)) {
		describe(listener, () => {
			for (const [name, bytes] of Object.entries(headers)) {
				test(name, async () => {
					const [envoy, weft] = await Promise.all(pair.map((proxy) => talk(proxy, listener, Buffer.from(bytes))));
					assert.deepEqual(weft, envoy);
				});
			}
			test("in two pieces", async () => {
				for (const name of ["v1 TCP4", "v2 IPv4"]) {
					const [envoy, weft] = await Promise.all(pair.map((proxy) => talk(proxy, listener, Buffer.from(headers[name] ?? ""), 10)));
					assert.deepEqual(weft, envoy);
				}
			});
		});
	}

	test("statistics", async () => {
		const pattern = /^(listener\.(?!admin|.*worker_).*\.downstream_cx_total|proxy_proto\.)/;
		const [envoy, weft] = await Promise.all(pair.map(async (proxy) => [...(await proxy.counters(pattern))].filter(([, value]) => value !== 0).toSorted()));
		assert.deepEqual(weft, envoy);
	});
});

function buildListener(name: string, options: Json, accessLog: string): object {
	const log = fileLog(accessLog, {
		listener: name,
		from: "%DOWNSTREAM_REMOTE_ADDRESS%",
		to: "%DOWNSTREAM_LOCAL_ADDRESS%",
		direct: "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%",
		status: "%RESPONSE_CODE%",
		path: "%REQ(:PATH)%",
	});
	const route_config = { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, direct_response: { status: 200 } }] }] };
	return httpListener(
		name,
		{ access_log: [log], route_config, delayed_close_timeout: "0.01s" },
		{
			stat_prefix: name,
			listener_filters_timeout: "0.4s",
			listener_filters: [extension("envoy.filters.listener.proxy_protocol", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", options)],
		},
	);
}

let requests = 0;

/** The status, or how it ended, and the line of the log. `splitAt`: where the header is cut in two. */
async function talk(proxy: Proxy, listener: string, header: Buffer, splitAt?: number): Promise<unknown> {
	const path = `/${proxy.name}-${++requests}`;
	const socket = connect({ port: proxy.port(listener), host: "127.0.0.1", noDelay: true });
	let heard = "";
	socket.on("data", (bytes: Buffer) => void (heard += bytes.toString("latin1")));
	socket.on("error", () => {});
	const closed = new Promise((resolve) => socket.on("close", resolve));
	let isOpen = false;
	socket.setTimeout(2_000, () => {
		isOpen = true;
		socket.destroy();
	});
	const request = Buffer.from(`GET ${path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`);
	const own = `127.0.0.1:${proxy.port(listener)}`;
	if (splitAt !== undefined) {
		socket.write(header.subarray(0, splitAt));
		await sleep(50);
	}
	socket.write(Buffer.concat([header.subarray(splitAt ?? 0), request]));
	await closed;
	const status = heard.split(" ")[1] ?? (isOpen ? "open" : "closed");
	const end = performance.now() + 2_000;
	for (;;) {
		const line = proxy.log().find((one) => one["path"] === path);
		if (line !== undefined || status !== "200" || performance.now() > end) {
			const { path: _, from, to, ...rest } = line ?? {};
			// A client that is not named is itself: its port is any.
			return { status, ...rest, from: String(from).replace(/^127\.0\.0\.1:\d+$/, "<itself>"), to: String(to).replace(own, "<itself>") };
		}
		await sleep(15);
	}
}

describe("PROXY protocol to upstreams, beside a real Envoy", { skip: skipReason }, () => {
	let upstream: Server;
	let pair: readonly [Proxy, Proxy];
	/** First bytes of each connection, by the path or the text that follows them. */
	const seen: Buffer[] = [];
	const kinds = ["http-v1", "http-v2", "tcp-v1", "tcp-v2"];
	before(async () => {
		upstream = createServer((socket: Socket) => {
			let received: Buffer = Buffer.alloc(0);
			socket.on("error", () => {});
			socket.on("data", (bytes) => {
				received = Buffer.concat([received, Buffer.from(bytes)]);
				if (received.includes("\r\n\r\n") && received.subarray(-4).equals(Buffer.from("\r\n\r\n"))) {
					seen.push(received);
					socket.end("HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
				}
			});
		});
		await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", () => resolve()));
		const address = upstream.address();
		const port = typeof address === "object" && address !== null ? address.port : 0;
		pair = await startPair(() => upstreamBootstrap(port, kinds), kinds);
	});
	after(async () => {
		upstream?.close();
		for (const proxy of pair ?? []) await proxy.stop();
	});

	const origins = {
		"the client itself": "",
		"a client named by PROXY": "PROXY TCP4 192.0.2.7 10.1.2.3 1234 443\r\n",
		"a client of IPv6": "PROXY TCP6 2001:db8::1 2001:db8::2 1234 443\r\n",
	};
	for (const kind of kinds) {
		for (const [name, origin] of Object.entries(origins)) {
			test(`${kind}: ${name}`, async () => {
				const observed: string[] = [];
				for (const proxy of pair) {
					seen.length = 0;
					const heard = await ask(proxy.port(kind), origin);
					observed.push(`${heard} ${describeHeader(seen[0], proxy.port(kind))}`);
				}
				assert.equal(observed[1], observed[0]);
				assert.match(observed[0] ?? "", /^HTTP\/1.1 200 OK/);
			});
		}
	}
});

function upstreamBootstrap(port: number, kinds: readonly string[]): object {
	const cluster = (version: string) =>
		staticCluster(`to-${version}`, port, {
			transport_socket: extension(
				"envoy.transport_sockets.upstream_proxy_protocol",
				"extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
				{
					config: { version: version.toUpperCase() },
					transport_socket: extension("envoy.transport_sockets.raw_buffer", "extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
				},
			),
		});
	const listener_filters = [
		extension("envoy.filters.listener.proxy_protocol", "extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", {
			allow_requests_without_proxy_protocol: true,
		}),
	];
	const listeners = kinds.map((kind) => {
		const [protocol, version] = kind.split("-");
		const name = `to-${version}`;
		if (protocol === "http") {
			const route_config = { virtual_hosts: [{ name: "all", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: name } }] }] };
			return httpListener(kind, { route_config }, { listener_filters });
		}
		const filter = extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: kind, cluster: name });
		return { name: kind, address: loopback(0), listener_filters, filter_chains: [{ filters: [filter] }] };
	});
	return { admin: { address: loopback(0) }, static_resources: { listeners, clusters: [cluster("v1"), cluster("v2")] } };
}

function ask(port: number, origin: string): Promise<string> {
	return new Promise((resolve) => {
		let heard = "";
		const socket = connect({ port, host: "127.0.0.1" }, () => socket.write(`${origin}GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n`));
		socket.on("data", (bytes: Buffer) => void (heard += bytes.toString("latin1")));
		socket.on("error", () => {});
		socket.on("close", () => resolve(heard.slice(0, heard.indexOf("\r\n"))));
	});
}

/** What stands before the request; ephemeral ports are no matter. */
function describeHeader(bytes: Buffer | undefined, listenerPort: number): string {
	if (bytes === undefined) return "nothing";
	const header = bytes.subarray(0, bytes.indexOf("GET / "));
	if (!header.subarray(0, 12).equals(Buffer.from(signature, "hex")))
		return header
			.toString("latin1")
			.replace(` ${listenerPort}\r\n`, " <listener>\r\n")
			.replace(/^(PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1) \d+/, "$1 <port>");
	const hex = header.toString("hex");
	return hex.replace(/^(.{32}7f0000017f000001).{4}.{4}$/, (all, start: string) =>
		all.endsWith(listenerPort.toString(16).padStart(4, "0")) ? `${start}<port><listener>` : all,
	);
}
