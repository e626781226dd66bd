import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Connection, WriteStatus } from "./connection.ts";
import { Output } from "./output.ts";

/** What a connection was given, and by which answers. */
function connectionOf(log: string[], name = "", answers: WriteStatus[] = [], onBlocked = () => {}) {
	const unpins: (() => void)[] = [];
	const connection = {
		write(bytes: Uint8Array, unpin: () => void): WriteStatus {
			log.push(`${name}${Buffer.from(bytes).latin1Slice()}`);
			const status = answers.shift() ?? "written";
			if (status === "pinned") unpins.push(unpin);
			return status;
		},
		handler: { onBlocked },
	} as unknown as Connection;
	return { connection, unpins };
}

function put(output: Output, connection: Connection, text: string): void {
	output.reserve(connection, text.length);
	output.putText(text);
}

it("writes the lines it was given, whatever came before them", () => {
	const output = new Output();
	const log: string[] = [];
	const { connection } = connectionOf(log);
	// The lengths are alike, so the lines meet in one place of the cache.
	const lines = ["server: envoy", "server: nginx", "nerves: envoy", "server: envoy", "server: envoy", `x-long: ${"v".repeat(100)}`, "x-empty: ", "x-empty: "];
	output.reserve(connection, 4096);
	for (const line of lines) output.putLine(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2));
	output.flush();
	assert.deepEqual(log, [lines.map((line) => `${line}\r\n`).join("")]);
});

describe("the writes of a turn", () => {
	it("leave in their order, one for what follows itself", () => {
		const output = new Output();
		const log: string[] = [];
		const [a, b] = [connectionOf(log, "a:").connection, connectionOf(log, "b:").connection];
		assert.equal(output.endEvent(), false);
		put(output, a, "1");
		assert.equal(output.endEvent(), true);
		put(output, a, "2");
		output.endEvent();
		put(output, b, "3");
		put(output, a, "4");
		output.endEvent();
		assert.deepEqual(log, []);
		output.flush();
		assert.deepEqual(log, ["a:12", "b:3", "a:4"]);
		assert.equal(output.endEvent(), false);
	});

	it("do not wait for ever more of them", () => {
		const output = new Output();
		const log: string[] = [];
		for (let i = 0; log.length === 0; i++) {
			assert.ok(i < 1_000);
			put(output, connectionOf(log, `${i}:`).connection, "x");
			output.endEvent();
		}
		assert.deepEqual(log.slice(0, 2), ["0:x", "1:x"]);
		assert.equal(output.endEvent(), false);
	});

	it("of a connection that goes: what earlier events put is written, what this one put is not", () => {
		const output = new Output();
		const log: string[] = [];
		const [a, b] = [connectionOf(log, "a:").connection, connectionOf(log, "b:").connection];
		put(output, a, "whole");
		output.endEvent();
		put(output, b, "other");
		put(output, a, "half");
		output.flushEarlier();
		output.discard(a);
		assert.deepEqual(log, ["a:whole", "b:other"]);
		output.flush();
		put(output, a, "next");
		output.flush();
		assert.deepEqual(log, ["a:whole", "b:other", "a:next"]);
	});

	it("that the kernel still makes keep their memory until the last is done", () => {
		const output = new Output();
		const log: string[] = [];
		const [a, b] = [connectionOf(log, "a:", ["pinned"]), connectionOf(log, "b:", ["pinned"])];
		const first = output.bytes;
		put(output, a.connection, "1");
		put(output, b.connection, "2");
		output.flush();
		const second = output.bytes;
		assert.notEqual(second, first);
		a.unpins[0]?.();
		const third = connectionOf(log, "c:", ["pinned"]);
		put(output, third.connection, "3");
		output.flush();
		assert.ok(output.bytes !== first && output.bytes !== second, "b's bytes are still sent from the first");
		b.unpins[0]?.();
		third.unpins[0]?.();
		put(output, connectionOf(log, "d:", ["pinned"]).connection, "4");
		output.flush();
		assert.ok(output.bytes === first || output.bytes === second, "memory is used again");
	});

	it("may put more, and flush that, when they are blocked", () => {
		const output = new Output();
		const log: string[] = [];
		const { connection: b } = connectionOf(log, "b:");
		const { connection: a } = connectionOf(log, "a:", ["queued"], () => {
			put(output, b, "2");
			output.flush();
			put(output, b, "3");
		});
		put(output, a, "1");
		output.flush();
		assert.deepEqual(log, ["a:1", "b:2", "b:3"]);
		assert.equal(output.endEvent(), false);
	});

	it("larger than the usual memory pass, and leave it as it was", () => {
		const output = new Output();
		const log: string[] = [];
		const { connection } = connectionOf(log);
		const usual = output.bytes;
		put(output, connection, "x".repeat(usual.length + 1));
		put(output, connection, "y");
		output.flush();
		assert.equal(log.join("").length, usual.length + 2);
		assert.equal(output.bytes.length, usual.length);
	});
});
