import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { connect as tlsConnect, createSecureContext, TLSSocket } from "node:tls";
import { createTestIdentity } from "../tls/test-identity.ts";
import type { Connection, ConnectionHandler, ListeningSocket, Transport, TransportHooks } from "./connection.ts";
import { createNetTransport } from "./net-transport.ts";
import { loadRawBindings } from "./raw-bindings.ts";
import { createRawTransport } from "./raw-transport.ts";
import { openRing, passesSelfTest } from "./transport.ts";

const handlerErrors: Error[] = [];
const hooks: TransportHooks = { afterEvent() {}, beforeClose() {}, onHandlerError: (error) => void handlerErrors.push(error) };

function handle(connection: Connection, parts: Partial<ConnectionHandler>): Connection {
	connection.handler = { onData() {}, onEnd() {}, onBlocked() {}, onDrain() {}, onClose() {}, ...parts };
	connection.resume();
	return connection;
}

function dial(transport: Transport, port: number): Promise<Connection> {
	return new Promise((resolve, reject) => {
		transport.connect({ address: { kind: "ip", address: "127.0.0.1", port }, bindAddress: "", keepaliveSeconds: undefined }, (result) =>
			result instanceof Error ? reject(result) : resolve(result),
		);
	});
}

/** Uniform in [0, 1), by a linear congruence. */
function createRandom(seed: number): () => number {
	let state = seed;
	return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

/** Answers what comes, in the manner of TCP proxying: from the shared buffer by a copy, from memory of its own by reference. */
function echo(connection: Connection, random: () => number): void {
	let isOwn = false;
	const rest = (ms: number) => {
		connection.pause();
		setTimeout(() => connection.resume(), ms);
	};
	handle(connection, {
		onData(bytes, start, end) {
			const part = bytes.subarray(start, end);
			if (connection.write(isOwn ? part : Buffer.from(part)) !== "written") return connection.pause();
			if (random() < 0.1) rest(2 * random());
			if (random() < 0.01) connection.expectLargeReads();
			if (random() > 0.05) return;
			isOwn = !isOwn;
			connection.useReadBuffer(isOwn ? Buffer.allocUnsafeSlow(128 * 1024) : undefined);
		},
		onDrain: () => connection.resume(),
		onEnd: () => connection.end(),
	});
}

/** Sends parts of all sizes and holds what comes back against them. */
function converse(connection: Connection, client: number, random: () => number): Promise<void> {
	const { promise, resolve, reject } = Promise.withResolvers<void>();
	const total = 400_000;
	const byteAt = (at: number) => (at * 31 + (at >> 9) + client) & 0xff;
	let sent = 0;
	let received = 0;
	const send = () => {
		while (sent < total) {
			const size = Math.min(total - sent, random() < 0.7 ? 1 + Math.floor(random() * 3000) : Math.floor(random() * 90_000));
			const from = sent;
			sent += size;
			const status = connection.write(Buffer.from(Uint8Array.from({ length: size }, (_, i) => byteAt(from + i))));
			if (status !== "written") return;
			if (random() < 0.3) return void setTimeout(send, random());
		}
		connection.end();
	};
	handle(connection, {
		onData(bytes, start, end) {
			for (let i = start; i < end; i++) if (bytes[i] !== byteAt(received++)) return reject(new Error(`byte ${received - 1} of client ${client} is another's`));
			if (random() > 0.05) return;
			connection.pause();
			setTimeout(() => connection.resume(), random());
		},
		onDrain: send,
		onEnd() {
			if (received !== total) reject(new Error(`${received} of ${total} bytes came back`));
			connection.destroy();
			resolve();
		},
		onClose: (error) => error && reject(error),
	});
	send();
	return promise;
}

const bindings = loadRawBindings();
const transports: Transport[] = [createNetTransport(hooks)];
if (bindings !== undefined) transports.push(createRawTransport(bindings, hooks));
const ring = bindings && (await openRing(bindings));
if (bindings !== undefined && ring !== undefined) transports.push(createRawTransport(bindings, hooks, ring));

it("passes the self-test with this Node's raw handles", async () => {
	assert.ok(bindings !== undefined);
	assert.equal(await passesSelfTest(bindings), true);
});

for (const transport of transports) {
	describe(`${transport.kind} transport`, () => {
		let server: ListeningSocket;
		let accept: (connection: Connection) => void = () => {};
		before(async () => {
			server = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 16, reusePort: false }, (connection) => accept(connection));
		});
		after(() => server.close());

		it("delivers bytes, then the end, then the close", async () => {
			const { promise, resolve } = Promise.withResolvers<string>();
			let seen = "";
			accept = (connection) => {
				handle(connection, {
					onData: (bytes, start, end) => (seen += bytes.latin1Slice(start, end)),
					onEnd: () => {
						seen += "|end";
						connection.destroy();
					},
					onClose: (error) => resolve(`${seen}|close:${error?.message}`),
				});
			};
			const client = handle(await dial(transport, server.port), {});
			client.write(Buffer.from("hello"));
			client.end();
			assert.equal(await promise, "hello|end|close:undefined");
			client.destroy();
		});

		it("resets when it is told to", async () => {
			const { promise, resolve } = Promise.withResolvers<NodeJS.ErrnoException | undefined>();
			const accepted = new Promise<void>((done) => {
				accept = (connection) => {
					handle(connection, { onClose: resolve });
					done();
				};
			});
			const client = handle(await dial(transport, server.port), {});
			await accepted;
			client.reset();
			assert.equal((await promise)?.code, "ECONNRESET");
			assert.ok(client.isClosed);
		});

		it("refuses a connection to a closed port with an error, not a throw", async () => {
			const other = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 1, reusePort: false }, () => {});
			const { port } = other;
			other.close();
			await new Promise((resolve) => setImmediate(resolve));
			await assert.rejects(dial(transport, port), /ECONNREFUSED/);
		});

		it("rejects a port in use", async () => {
			const other = transport.listen({ address: "127.0.0.1", port: server.port, backlog: 1, reusePort: false }, () => {});
			await assert.rejects(other, /EADDRINUSE/);
		});

		it("closes only the connection whose handler throws", async () => {
			handlerErrors.length = 0;
			const { promise, resolve } = Promise.withResolvers<Error | undefined>();
			accept = (connection) => {
				handle(connection, {
					onData: () => {
						throw new Error("bad handler");
					},
					onClose: resolve,
				});
			};
			const client = handle(await dial(transport, server.port), {});
			client.write(Buffer.from("x"));
			assert.equal((await promise)?.message, "bad handler");
			assert.equal(handlerErrors.length, 1);
			client.destroy();
		});

		it("tells the writer to wait for a peer that does not read, and delivers every byte in order once it does", async () => {
			const total = 8 * 1024 * 1024;
			const chunk = Buffer.alloc(64 * 1024);
			const { promise, resolve } = Promise.withResolvers<void>();
			let blocked = 0;
			accept = (connection) => {
				let sent = 0;
				const pump = () => {
					while (sent < total) {
						// Pinned memory must not be touched: a fresh copy for each write.
						const bytes = Buffer.from(chunk.fill(sent / chunk.length));
						sent += bytes.length;
						if (connection.write(bytes) === "written") continue;
						blocked++;
						return;
					}
					connection.end();
				};
				connection.handler = { onData() {}, onEnd() {}, onBlocked() {}, onDrain: pump, onClose() {} };
				pump();
			};
			const client = await dial(transport, server.port);
			await new Promise((r) => setTimeout(r, 20));
			let received = 0;
			let isOrdered = true;
			handle(client, {
				onData: (bytes, start, end) => {
					for (let i = start; i < end; i += 4099) isOrdered &&= bytes[i] === (Math.floor((received + i - start) / chunk.length) & 0xff);
					received += end - start;
				},
				onEnd: resolve,
			});
			await promise;
			assert.equal(received, total);
			assert.equal(isOrdered, true);
			assert.ok(blocked > 0);
			client.destroy();
		});

		it("reads nothing while paused", async () => {
			const { promise, resolve } = Promise.withResolvers<Connection>();
			let seen = "";
			accept = (connection) => {
				connection.handler = { onData: (b, s, e) => (seen += b.latin1Slice(s, e)), onEnd() {}, onBlocked() {}, onDrain() {}, onClose() {} };
				resolve(connection);
			};
			const client = await dial(transport, server.port);
			client.write(Buffer.from("early"));
			const accepted = await promise;
			await new Promise((r) => setTimeout(r, 20));
			assert.equal(seen, "");
			accepted.resume();
			await new Promise((r) => setTimeout(r, 20));
			assert.equal(seen, "early");
			client.destroy();
			accepted.destroy();
		});

		for (const seed of [1, 2, 3, 4]) {
			it(`carries every byte of conversations whose sizes and pauses are random (${seed})`, async () => {
				accept = (connection) => echo(connection, createRandom(seed * 1000 + connection.id));
				await Promise.all(Array.from({ length: 24 }, async (_, i) => converse(await dial(transport, server.port), i, createRandom(seed * 100 + i))));
			});
		}

		it("survives many writes in one turn over TLS, where a second outstanding one would abort the process", async () => {
			const identity = createTestIdentity("spiffe://test/ns/a/sa/b");
			const received = Promise.withResolvers<string>();
			accept = (connection) => {
				const socket = transport.toSocket(connection, undefined);
				const tls = new TLSSocket(socket, { isServer: true, secureContext: createSecureContext({ cert: identity.certChainPem, key: identity.privateKeyPem }) });
				tls.on("error", () => {});
				tls.on("secure", () => {
					const secure = handle(transport.adoptTls(tls), {});
					for (let i = 0; i < 200; i++) secure.write(Buffer.from(`${i},`));
					secure.end();
				});
			};
			let text = "";
			const client = tlsConnect({ host: "127.0.0.1", port: server.port, rejectUnauthorized: false });
			client.on("data", (bytes) => (text += bytes.toString("latin1")));
			client.on("end", () => received.resolve(text));
			assert.equal(await received.promise, `${Array.from({ length: 200 }, (_, i) => i).join(",")},`);
			client.destroy();
		});
	});
}
