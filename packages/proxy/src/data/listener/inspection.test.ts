import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { describe, it } from "node:test";
import { connect as tlsConnect } from "node:tls";
import { clientHelloBytesMax, readClientHello } from "./client-hello.ts";
import { inspectHttp } from "./http-inspector.ts";
import { readProxyProtocol } from "./proxy-protocol.ts";

/** What node:tls really sends. */
async function captureHello(options: { readonly servername?: string; readonly ALPNProtocols?: string[] }): Promise<Buffer> {
	const server = createServer();
	server.listen(0, "127.0.0.1");
	await once(server, "listening");
	const address = server.address();
	const socket = tlsConnect({ host: "127.0.0.1", port: typeof address === "object" && address !== null ? address.port : 0, ...options });
	socket.on("error", () => {});
	const [accepted] = (await once(server, "connection")) as [ReturnType<typeof connect>];
	const [bytes] = (await once(accepted, "data")) as [Buffer];
	socket.destroy();
	accepted.destroy();
	server.close();
	return bytes;
}

describe("client hello", () => {
	it("gives server name and protocols once it is whole, whatever the pieces", async () => {
		const bytes = await captureHello({ servername: "A.Example", ALPNProtocols: ["istio", "h2"] });
		for (let length = 0; length < bytes.length; length++) assert.equal(readClientHello(bytes.subarray(0, length)).kind, "incomplete", `${length} bytes`);
		assert.deepEqual(readClientHello(bytes), { kind: "hello", hello: { serverName: "a.example", alpn: ["istio", "h2"] } });
	});
	it("does without both", async () => {
		assert.deepEqual(readClientHello(await captureHello({})), { kind: "hello", hello: { serverName: "", alpn: [] } });
	});
	it("reads a hello split over several records", async () => {
		const bytes = await captureHello({ servername: "split.example" });
		const message = bytes.subarray(5);
		const record = (part: Buffer) => Buffer.concat([Buffer.from([22, 3, 1, part.length >> 8, part.length & 255]), part]);
		const split = Buffer.concat([record(message.subarray(0, 40)), record(message.subarray(40))]);
		const verdict = readClientHello(split);
		assert.equal(verdict.kind === "hello" && verdict.hello.serverName, "split.example");
	});
	it("stays with its verdict when more has come", async () => {
		const hello = await captureHello({ servername: "early.example" });
		const kindOf = (...more: readonly Buffer[]) => readClientHello(Buffer.concat(more)).kind;
		assert.equal(kindOf(hello, Buffer.from([22, 3, 3, 0, 0])), "hello");
		assert.equal(kindOf(hello, Buffer.from([20, 3, 3, 0, 1, 1])), "hello");
		// A record of another type in the middle of it (RFC 8446 §5.1).
		assert.equal(kindOf(Buffer.from([22, 3, 1, 0, 1, 1]), Buffer.from([20, 3, 3, 0, 1]), hello), "notTls");
		const large = await captureHello({ ALPNProtocols: Array.from({ length: 80 }, (_, i) => `${i}-`.padEnd(250, "x")) });
		assert.ok(large.length > clientHelloBytesMax);
		assert.equal(readClientHello(large.subarray(0, clientHelloBytesMax - 1)).kind, "incomplete");
		for (const length of [clientHelloBytesMax, large.length]) assert.equal(readClientHello(large.subarray(0, length)).kind, "notTls");
	});
	for (const [what, bytes] of [
		["HTTP", Buffer.from("GET / HTTP/1.1\r\n")],
		["another record type", Buffer.from([23, 3, 1, 0, 5])],
		["another handshake message", Buffer.from([22, 3, 1, 0, 4, 2, 0, 0, 0])],
		["a record without content", Buffer.from([22, 3, 1, 0, 0, 1])],
	] as const) {
		it(`takes ${what} for no TLS`, () => assert.equal(readClientHello(bytes).kind, "notTls"));
	}
	it("survives any damage to a hello", async () => {
		const bytes = await captureHello({ servername: "damage.example", ALPNProtocols: ["a"] });
		for (let at = 0; at < bytes.length; at++) {
			const damaged = Buffer.from(bytes);
			damaged[at] = 255 - (damaged[at] ?? 0);
			assert.ok(["hello", "incomplete", "notTls"].includes(readClientHello(damaged).kind));
		}
	});
});

describe("HTTP inspection", () => {
	for (const [text, verdict] of [
		["", "incomplete"],
		["GE", "incomplete"],
		["GET /a HTTP/1.1", "incomplete"],
		["GET /a HTTP/1.1\r\n", "http/1.1"],
		["GET /a HTTP/1.0\r\n", "http/1.0"],
		["GET /a HTTP/3.0\r\n", "none"],
		["PRI * HT", "incomplete"],
		["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "h2c"],
		["\u0010\u0000\u0001", "none"],
		["EHLO mail\r\n", "none"],
	] as const) {
		it(`takes ${JSON.stringify(text)} for ${verdict}`, () => assert.equal(inspectHttp(Buffer.from(text, "latin1")), verdict));
	}
});

describe("PROXY protocol", () => {
	it("reads version 1", () => {
		assert.deepEqual(readProxyProtocol(Buffer.from("PROXY TCP4 1.2.3.4 5.6.7.8 11 22\r\nGET")), {
			kind: "header",
			stat: "versions.v1.found",
			length: 34,
			source: { address: "1.2.3.4", port: 11 },
			destination: { address: "5.6.7.8", port: 22 },
			tlvs: [],
		});
	});
	it("reads version 2", () => {
		const header = Buffer.concat([Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"), Buffer.from([0x21, 0x11, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8, 0, 11, 0, 22])]);
		assert.deepEqual(readProxyProtocol(header), {
			kind: "header",
			stat: "versions.v2.found",
			length: 28,
			source: { address: "1.2.3.4", port: 11 },
			destination: { address: "5.6.7.8", port: 22 },
			tlvs: [],
		});
		assert.equal(readProxyProtocol(header.subarray(0, 20)).kind, "incomplete");
	});
	it("takes version 1 for 107 bytes at most, however they come", () => {
		const longest = Buffer.from(`PROXY UNKNOWN ${"x".repeat(91)}\r\nrest`);
		assert.equal(readProxyProtocol(longest).kind, "header");
		for (let length = 0; length < 107; length++) assert.equal(readProxyProtocol(longest.subarray(0, length)).kind, "incomplete");
		const longer = Buffer.from(`PROXY UNKNOWN ${"x".repeat(92)}\r\n`);
		for (const length of [107, 108]) assert.equal(readProxyProtocol(longer.subarray(0, length)).kind, "invalid");
	});
	it("does not judge a connection that has not said anything", () => {
		for (const version of ["v1", "v2"] as const)
			assert.equal(readProxyProtocol(Buffer.alloc(0), { allowWithout: true, versions: [version] }).kind, "incomplete");
	});
	it("reads what follows the addresses of version 2", () => {
		const withTlvs = (...tlvs: readonly number[]) =>
			readProxyProtocol(
				Buffer.concat([
					Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1"),
					Buffer.from([0x21, 0x11, 0, 12 + tlvs.length, 1, 2, 3, 4, 5, 6, 7, 8, 0, 11, 0, 22, ...tlvs]),
				]),
			);
		const read = withTlvs(2, 0, 2, 97, 98, 0xe0, 0, 0);
		assert.ok(read.kind === "header");
		assert.deepEqual(
			read.tlvs.map(({ type, value }) => [type, value.toString()]),
			[
				[2, "ab"],
				[0xe0, ""],
			],
		);
		for (const cut of [[2], [2, 0], [2, 0, 3, 97]]) assert.equal(withTlvs(...cut).kind, "invalid");
	});
	for (const bad of [
		"GET / HTTP/1.1\r\n",
		"PROXY TCP4 nonsense\r\n",
		`PROXY ${"x".repeat(200)}`,
		"PROXY TCP4 .... 1.2.3.4 11 22\r\n",
		"PROXY TCP4 1.2.3.4 1.2.3.400 11 22\r\n",
		"PROXY TCP4 ::1 ::1 11 22\r\n",
		"PROXY TCP6 ::1 1.2.3.4 11 22\r\n",
	]) {
		it(`refuses ${JSON.stringify(bad.slice(0, 40))}`, () => assert.equal(readProxyProtocol(Buffer.from(bad)).kind, "invalid"));
	}
});
