import assert from "node:assert/strict";
import { test } from "node:test";
import type { Connection, WriteStatus } from "./connection.ts";
import { Output } from "./output.ts";

/** Takes what is written; `pinned` keeps the memory until `unpin`. */
function createSink(status: WriteStatus) {
	const written: Buffer[] = [];
	const unpins: (() => void)[] = [];
	const write = (bytes: Uint8Array, unpin?: () => void): WriteStatus => {
		written.push(Buffer.from(bytes));
		if (unpin !== undefined) unpins.push(unpin);
		return status;
	};
	const connection = { write, handler: { onBlocked() {} } } as unknown as Connection;
	return { connection, text: () => Buffer.concat(written).toString("latin1"), unpins };
}

for (const status of ["written", "pinned", "queued"] as const) {
	test(`more than the buffer holds leaves whole, and so does what comes next (${status})`, () => {
		const output = new Output();
		const usual = output.bytes.length;
		const sink = createSink(status);
		const large = "a".repeat(usual + 1000);
		output.reserve(sink.connection, 3);
		output.putText("one");
		output.reserve(sink.connection, large.length);
		output.putText(large);
		output.flush();
		for (const unpin of sink.unpins) unpin();
		assert.equal(output.bytes.length, usual, "the large buffer is not kept");
		output.reserve(sink.connection, 3);
		output.putText("two");
		output.flush();
		assert.equal(sink.text(), `one${large}two`);
	});
}
