import assert from "node:assert/strict";
import { it } from "node:test";
import type { Connection } from "./connection.ts";
import { Output } from "./output.ts";

it("writes the lines it was given, whatever came before them", () => {
	const output = new Output();
	let written = "";
	const connection = { write: (bytes: Uint8Array) => ((written += Buffer.from(bytes).latin1Slice()), "written") } as unknown as Connection;
	// The lengths are alike, so the lines meet in one place of the cache.
	const lines = ["server: envoy", "server: nginx", "nerves: envoy", "server: envoy", "server: envoy", `x-long: ${"v".repeat(100)}`, "x-empty: ", "x-empty: "];
	output.reserve(connection, 4096);
	for (const line of lines) output.putLine(line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2));
	output.flush();
	assert.equal(written, lines.map((line) => `${line}\r\n`).join(""));
});
