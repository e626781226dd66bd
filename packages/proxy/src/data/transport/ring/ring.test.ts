import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { after, describe, it } from "node:test";
import type { Connection, ConnectionHandler, TransportHooks } from "../connection.ts";
import { loadRawBindings, type RawBindings } from "../raw-bindings.ts";
import { createRawTransport } from "../raw-transport.ts";
import { createTransport, openRing } from "../transport.ts";
import { IoRing } from "./io-ring.ts";
import { receiveBufferBytes, receiveBuffers } from "./receive-buffers.ts";
import { loadRingCalls, type RingCalls } from "./ring-calls.ts";
import type { RingConnection } from "./ring-connection.ts";
import { RingLoop } from "./ring-loop.ts";

const hooks: TransportHooks = { afterEvent() {}, beforeClose() {}, onHandlerError: (error) => assert.fail(error) };
const bindings = loadRawBindings() as RawBindings;
const ring = await openRing(bindings);
const calls = await loadRingCalls();
const older = calls && RingLoop.open(asOlderSystem(calls), bindings);
const skip = ring === undefined && "this system has no io_uring, or hands none out (kernel.io_uring_disabled, seccomp)";

/** As it is before Linux 6.17, where a receive cannot be limited. */
function asOlderSystem(real: RingCalls): RingCalls {
	let memory: Int32Array | undefined;
	return {
		...real,
		map(...request) {
			const mapped = real.map(...request);
			if (mapped !== undefined) memory ??= new Int32Array(mapped);
			return mapped;
		},
		enter(...request) {
			const taken = real.enter(...request);
			// What says that the limit was understood, and only the socket missing.
			const at = memory?.indexOf(-88) ?? -1;
			if (at >= 0 && memory !== undefined) memory[at] = -22;
			return taken;
		},
	};
}

function handle(connection: Connection, parts: Partial<ConnectionHandler>): Connection {
	connection.handler = { onData() {}, onEnd() {}, onBlocked() {}, onDrain() {}, onClose() {}, ...parts };
	return connection;
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

for (const [name, loop] of [["a ring", ring] as const, ["a ring of an older system", older] as const])
	describe(`connections of ${name}`, { skip }, () => {
		const transport = createRawTransport(bindings, hooks, loop);
		after(() => transport.close());

		/** Both ends of a new connection. */
		async function pair(): Promise<{ readonly near: Connection; readonly far: Connection; close(): void }> {
			const accepted = Promise.withResolvers<Connection>();
			const server = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 16, reusePort: false }, accepted.resolve);
			const near = await dial(server.port);
			const far = await accepted.promise;
			server.close();
			return {
				near,
				far,
				close() {
					near.destroy();
					far.destroy();
				},
			};
		}

		function dial(port: number): Promise<Connection> {
			return new Promise((resolve, reject) => {
				transport.connect({ address: { kind: "ip", address: "127.0.0.1", port }, bindAddress: "", keepaliveSeconds: undefined }, (result) =>
					result instanceof Error ? reject(result) : resolve(result),
				);
			});
		}

		/** All that comes, as text. */
		function collect(connection: Connection): { readonly text: () => string; until(length: number): Promise<void> } {
			let text = "";
			let wanted = Infinity;
			const { promise, resolve } = Promise.withResolvers<void>();
			handle(connection, {
				onData(bytes, start, end) {
					text += bytes.latin1Slice(start, end);
					if (text.length >= wanted) resolve();
				},
			});
			connection.resume();
			return {
				text: () => text,
				until(length) {
					wanted = length;
					if (text.length >= wanted) resolve();
					return promise;
				},
			};
		}

		it("serves many more connections at once than there are buffers", async () => {
			const clients = 5 * receiveBuffers;
			const server = await transport.listen({ address: "127.0.0.1", port: 0, backlog: clients, reusePort: false }, (connection) => {
				handle(connection, { onData: (bytes, start, end) => void connection.write(Buffer.from(bytes.subarray(start, end))) }).resume();
			});
			const connections = await Promise.all(Array.from({ length: clients }, () => dial(server.port)));
			const answers = connections.map(collect);
			for (let round = 0; round < 5; round++) {
				for (const [i, connection] of connections.entries()) connection.write(Buffer.from(`${i}:${round};`));
				await Promise.all(answers.map((answer, i) => answer.until(`${i}:0;`.length * (round + 1))));
				await pause(1);
			}
			await Promise.all(
				answers.map(async (answer, i) => {
					while (answer.text().length < `${i}:0;`.length * 5) await pause(1);
					assert.equal(answer.text(), [0, 1, 2, 3, 4].map((round) => `${i}:${round};`).join(""));
				}),
			);
			for (const connection of connections) connection.destroy();
			server.close();
		});

		it("reads a bulk transfer by libuv, and what follows it by the ring again, without losing a byte", async () => {
			const { near, far, close } = await pair();
			const bulk = Buffer.alloc(4 * 1024 * 1024);
			for (let i = 0; i < bulk.length; i++) bulk[i] = (i * 7 + (i >> 12)) & 0x7f;
			const received = collect(far);
			for (let at = 0; at < bulk.length; at += 100_000) near.write(Buffer.from(bulk.subarray(at, at + 100_000)));
			await received.until(bulk.length);
			let expected = bulk.latin1Slice();
			for (let i = 0; i < 60; i++) {
				near.write(Buffer.from(`small ${i}.`));
				expected += `small ${i}.`;
				await pause(0);
			}
			while (received.text().length < expected.length) await pause(1);
			assert.ok(received.text() === expected);
			close();
		});

		it("keeps for later what comes behind the read that paused, and tells the end behind it", async () => {
			const { near, far, close } = await pair();
			let text = "";
			const ended = Promise.withResolvers<void>();
			handle(far, {
				onData(bytes, start, end) {
					text += bytes.latin1Slice(start, end);
					far.pause();
				},
				onEnd: ended.resolve,
			}).resume();
			const sent = Array.from({ length: 40 }, (_, i) => `${i},`.padEnd(3000, "."));
			for (const part of sent) {
				near.write(Buffer.from(part));
				await new Promise((resolve) => setImmediate(resolve));
			}
			near.end();
			await pause(20);
			assert.ok(text.length <= 8 * receiveBufferBytes, `${text.length} bytes came to one who had paused`);
			const again = setInterval(() => far.resume(), 1);
			await ended.promise;
			clearInterval(again);
			assert.ok(text === sent.join(""));
			close();
		});

		it("keeps the order of small writes whose peer reads only later", async () => {
			const { near, far, close } = await pair();
			let drains = 0;
			handle(near, { onDrain: () => void drains++ });
			let sent = "";
			const write = () => {
				const part = `${sent.length}/`.padEnd(4001, "-");
				sent += part;
				return near.write(Buffer.from(part));
			};
			// One a turn, until the ring meets a full socket; then some behind what the socket did not take.
			while (!near.isBlocked) {
				assert.equal(write(), "written");
				for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
				assert.ok(sent.length < 64 * 1024 * 1024, "nobody was told to wait");
			}
			for (let i = 0; i < 10; i++) assert.equal(write(), "queued");
			const received = collect(far);
			await received.until(sent.length);
			assert.ok(received.text() === sent);
			assert.ok(drains > 0, "nobody was told to go on");
			close();
		});

		it("takes what is written many times in a turn, and says when that is too much", async () => {
			const { near, far, close } = await pair();
			const drained = Promise.withResolvers<void>();
			handle(near, { onDrain: drained.resolve });
			const received = collect(far);
			let sent = "";
			let status = "written";
			while (status === "written") {
				const part = `${sent.length},`.padEnd(900, ".");
				sent += part;
				status = near.write(Buffer.from(part));
			}
			assert.equal(status, "queued");
			assert.ok(sent.length > 64 * 1024 && sent.length < 68 * 1024, `${sent.length} bytes`);
			await drained.promise;
			await received.until(sent.length);
			assert.ok(received.text() === sent);
			close();
		});

		it("does not rest while something has come that nobody was told of", async () => {
			const { near, far, close } = await pair();
			const other = IoRing.open(calls as RingCalls) as IoRing;
			other.receive(7, far.fd);
			other.advance();
			other.wake();
			assert.equal(other.rest(), true);
			other.wake();
			near.write(Buffer.from("came while it was awake"));
			await pause(5);
			assert.equal(other.rest(), false);
			other.advance();
			assert.ok(other.next());
			assert.deepEqual([other.slot, other.result], [7, "came while it was awake".length]);
			calls?.close(other.eventDescriptor);
			other.close();
			close();
		});

		it("gives nothing of a closed connection to the next one with its descriptor", async () => {
			const seen = new Set<string>();
			const server = await transport.listen({ address: "127.0.0.1", port: 0, backlog: 64, reusePort: false }, (connection) => {
				let text = "";
				handle(connection, {
					onData: (bytes, start, end) => (text += bytes.latin1Slice(start, end)),
					onEnd: () => connection.destroy(),
					onClose: () => seen.add(text),
				}).resume();
			});
			for (let i = 0; i < 200; i++) {
				const connection = await dial(server.port);
				connection.resume();
				connection.write(Buffer.from(`to ${i}`));
				// What was asked for before in this very turn still refers to the descriptor.
				connection.destroy();
			}
			await pause(50);
			for (let i = 0; i < 200; i++) assert.ok(seen.has(`to ${i}`), `"to ${i}" did not arrive alone`);
			server.close();
		});

		it("hands over what had come already with a connection that somebody else is to read", async () => {
			const pairs = [await pair(), await pair()];
			const found = Promise.withResolvers<string>();
			for (const [i, { far }] of pairs.entries()) {
				const onData = () => {
					// The other's bytes came in the same turn.
					const other = pairs[1 - i]?.far as RingConnection;
					const { handle: left, held } = other.detach();
					left.close();
					found.resolve(held?.latin1Slice() ?? "nothing");
				};
				handle(far, { onData }).resume();
			}
			await pause(5);
			for (const { near } of pairs) near.write(Buffer.from("came already"));
			assert.equal(await found.promise, "came already");
			for (const each of pairs) each.close();
		});
	});

describe("a ring that is not to be had", { skip }, () => {
	it("leaves raw handles, when it was asked for or not", async () => {
		assert.equal((await createTransport("raw", hooks)).kind, "raw");
		const refusing: RingCalls = { ...(calls as RingCalls), setup: () => -1 };
		assert.equal(IoRing.open(refusing), undefined);
	});

	it("gives everything back when part of it is refused", () => {
		const descriptors = () => readdirSync("/proc/self/fd").length;
		const before = descriptors();
		for (const refused of ["register", "map", "eventDescriptor"] as const) {
			const part = { register: () => -1, map: () => undefined, eventDescriptor: () => -1 }[refused];
			assert.equal(IoRing.open({ ...(calls as RingCalls), [refused]: part }), undefined, refused);
		}
		assert.equal(descriptors(), before);
	});
});

it("gives descriptors back when it is closed", { skip }, async () => {
	const descriptors = () => readdirSync("/proc/self/fd").length;
	const before = descriptors();
	for (let i = 0; i < 20; i++) ((await openRing(bindings)) as RingLoop).close();
	await pause(5);
	assert.equal(descriptors(), before);
});
