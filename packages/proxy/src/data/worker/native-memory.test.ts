import assert from "node:assert/strict";
import { it } from "node:test";
import { keepTrimmed, loadTrim } from "./native-memory.ts";

it("trims often at first, then seldom, and no more once it is told to stop", (t) => {
	t.mock.timers.enable({ apis: ["setTimeout"] });
	let trims = 0;
	const abort = new AbortController();
	keepTrimmed(() => void trims++, abort.signal);
	t.mock.timers.tick(2_000);
	t.mock.timers.tick(4_000);
	assert.equal(trims, 2);
	t.mock.timers.tick(2_000);
	assert.equal(trims, 2);
	abort.abort();
	t.mock.timers.tick(1_000_000);
	assert.equal(trims, 2);
});

it("finds the C library's function, or none, without an error", async () => {
	const trim = await loadTrim();
	assert.doesNotThrow(() => trim?.());
});
