import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SocketOptions } from "../../config/sockets.ts";
import type { Connection, TransportHooks } from "./connection.ts";
import { createNetTransport } from "./net-transport.ts";
import { createOriginalDst, formatIpv6 } from "./original-dst.ts";
import { loadRawBindings } from "./raw-bindings.ts";
import { createRawTransport } from "./raw-transport.ts";
import { loadSocketCalls } from "./socket-calls.ts";
import { applySocketOptions, sourceOptions } from "./socket-options.ts";

const bindings = loadRawBindings();
const solSocket = 1;
const soKeepAlive = 9;
const soRcvbuf = 8;

function option(parts: Partial<SocketOptions>): SocketOptions {
	return { transparent: false, freebind: false, custom: [], ...parts };
}

const int = (value: number) => new Uint8Array(new Int32Array([value]).buffer);

for (const library of ["node:ffi", "koffi"] as const) {
	const calls = await loadSocketCalls([library]);
	const skip = calls !== undefined && bindings !== undefined ? false : `needs Linux and ${library === "koffi" ? "the package koffi: npm ci" : "Node 26"}`;
	describe(`socket options by ${library}`, { skip }, () => {
		const hooks: TransportHooks = { afterEvent() {}, beforeClose() {}, onHandlerError: (error) => assert.fail(error), socketCalls: calls };
		const transport = bindings && createRawTransport(bindings, hooks);

		it("are set, and read back", () => {
			const fd = calls?.open(4) ?? -1;
			assert.ok(fd >= 0);
			const custom = [{ level: solSocket, name: soKeepAlive, value: int(1), state: "bound" as const }];
			assert.equal(calls && applySocketOptions(calls, fd, 4, option({ custom }), "prebind"), undefined);
			assert.equal(calls?.getOption(fd, solSocket, soKeepAlive, 4)?.readInt32LE(0), 0, "not before its time");
			assert.equal(calls && applySocketOptions(calls, fd, 4, option({ custom }), "bound"), undefined);
			assert.equal(calls?.getOption(fd, solSocket, soKeepAlive, 4)?.readInt32LE(0), 1);
			calls?.close(fd);
		});

		it("one that the system refuses is named", () => {
			const fd = calls?.open(4) ?? -1;
			const custom = [{ level: 6, name: 9999, value: int(1), state: "prebind" as const }];
			assert.equal(calls && applySocketOptions(calls, fd, 4, option({ custom }), "prebind"), "socket option 6/9999");
			calls?.close(fd);
			assert.equal(calls?.setOption(fd, solSocket, soKeepAlive, int(1)), false, "a closed socket has none");
		});

		it("a listener and a connection have them from the start", async () => {
			assert.ok(transport && calls);
			const rcvbuf = (state: "prebind" | "listening") => option({ custom: [{ level: solSocket, name: soRcvbuf, value: int(65_536), state }] });
			const accepted = Promise.withResolvers<Connection>();
			const server = await transport.listen(
				{ address: "127.0.0.1", port: 0, backlog: 1, reusePort: false, socketOptions: rcvbuf("prebind") },
				accepted.resolve,
			);
			const connected = Promise.withResolvers<Connection | Error>();
			const to = { address: { kind: "ip" as const, address: "127.0.0.1", port: server.port }, bindAddress: "127.0.0.6", keepaliveSeconds: undefined };
			transport.connect({ ...to, socketOptions: rcvbuf("prebind") }, connected.resolve);
			const [inbound, outbound] = await Promise.all([accepted.promise, connected.promise]);
			assert.ok(!(outbound instanceof Error));
			// Linux doubles what it is told.
			for (const { fd } of [inbound, outbound]) assert.equal(calls.getOption(fd, solSocket, soRcvbuf, 4)?.readInt32LE(0), 131_072);
			assert.equal(inbound.remoteAddress, "127.0.0.6");
			assert.equal(createOriginalDst(calls)(inbound), undefined, "nobody redirected it");
			inbound.destroy();
			outbound.destroy();
			server.close();
		});

		it("a refused one refuses the listener and the connection, and leaves no socket", async () => {
			assert.ok(transport);
			const bad = option({ custom: [{ level: 6, name: 9999, value: int(1), state: "prebind" }] });
			await assert.rejects(
				transport.listen({ address: "127.0.0.1", port: 0, backlog: 1, reusePort: false, socketOptions: bad }, () => {}),
				/refuses socket option 6\/9999/,
			);
			const result = await new Promise<Connection | Error>((resolve) => {
				const address = { kind: "ip" as const, address: "127.0.0.1", port: 1 };
				transport.connect({ address, bindAddress: "", keepaliveSeconds: undefined, socketOptions: bad }, resolve);
			});
			assert.match(String(result), /refuses socket option 6\/9999/);
		});
	});
}

it("without system calls, and on plain sockets, a socket with options is refused with the reason", async () => {
	const hooks: TransportHooks = { afterEvent() {}, beforeClose() {}, onHandlerError: (error) => assert.fail(error) };
	for (const transport of [createNetTransport(hooks), ...(bindings === undefined ? [] : [createRawTransport(bindings, hooks)])]) {
		const listening = transport.listen({ address: "127.0.0.1", port: 0, backlog: 1, reusePort: false, socketOptions: sourceOptions(1337) }, () => {});
		await assert.rejects(listening, transport.kind === "net" ? /raw transport/ : /node:ffi/);
		const result = await new Promise<Connection | Error>((resolve) => {
			const address = { kind: "ip" as const, address: "127.0.0.1", port: 1 };
			transport.connect({ address, bindAddress: "127.0.0.1", keepaliveSeconds: undefined, socketOptions: sourceOptions(0) }, resolve);
		});
		assert.ok(result instanceof Error);
	}
});

describe("IPv6 addresses are written as the system writes them", () => {
	for (const [hex, text] of [
		["00000000000000000000000000000001", "::1"],
		["00000000000000000000000000000000", "::"],
		["fd440000000000000000000000000003", "fd44::3"],
		["20010db8000000010000000000000001", "2001:db8:0:1::1"],
		["20010db8000100020003000400050006", "2001:db8:1:2:3:4:5:6"],
		["20010db8000000000001000000000000", "2001:db8:0:0:1::"],
		["20010db8000000010001000100010001", "2001:db8:0:1:1:1:1:1"],
	] as const) {
		it(text, () => assert.equal(formatIpv6(Buffer.from(hex, "hex")), text));
	}
});
