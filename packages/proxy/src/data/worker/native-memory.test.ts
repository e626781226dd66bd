import assert from "node:assert/strict";
import { it } from "node:test";
import { keepTrimmed, loadTrim, unwrittenMappings } from "./native-memory.ts";

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

it("gives back the program's own pages, but none that were written, may be, or are another file's", () => {
	const mapping = (range: string, permissions: string, path: string, anonymousKb: number) =>
		[
			`${range} ${permissions} 00000000 fe:00 4242    ${path}`,
			"Size:     20 kB",
			"Rss:     20 kB",
			`Anonymous:         ${anonymousKb} kB`,
			"VmFlags: rd mr mw me",
			"",
		].join("\n");
	const smaps = [
		mapping("00400000-00600000", "r--p", "/opt/node", 0),
		mapping("00600000-01600000", "r-xp", "/opt/node", 0),
		mapping("01600000-01700000", "r--p", "/opt/node", 24),
		mapping("01700000-01800000", "rw-p", "/opt/node", 0),
		mapping("7f0000000000-7f0000100000", "r-xp", "/usr/lib/libc.so.6", 0),
		mapping("7f0000200000-7f0000300000", "rw-p", "", 4),
	].join("");
	assert.deepEqual(unwrittenMappings(smaps, "/opt/node"), [
		{ start: 0x400000n, length: 0x200000n },
		{ start: 0x600000n, length: 0x1000000n },
	]);
});
