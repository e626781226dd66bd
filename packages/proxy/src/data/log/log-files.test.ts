import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createLogFiles } from "./log-files.ts";

const directory = mkdtempSync(join(tmpdir(), "weft-log-"));
after(() => rmSync(directory, { recursive: true }));

test("logs of one path share one file, and a rotated file is left for the new one", async () => {
	const path = join(directory, "access.log");
	const first = createLogFiles();
	first.open(path).write("a\n");
	first.open(path).write("b\n");
	await first.close();
	renameSync(path, `${path}.1`);
	const second = createLogFiles();
	second.open(path).write("c\n");
	second.reopen();
	second.open(path).write("d\n");
	await second.close();
	assert.deepEqual([readFileSync(`${path}.1`, "utf8"), readFileSync(path, "utf8"), second.dropped], ["a\nb\n", "c\nd\n", 0]);
});

test("more than one buffer's worth arrives whole and in order", async () => {
	const path = join(directory, "big.log");
	const files = createLogFiles();
	const sink = files.open(path);
	for (let i = 0; i < 20_000; i++) sink.write(`line ${i} ${"x".repeat(20)}\n`);
	await files.close();
	const lines = readFileSync(path, "utf8").split("\n").slice(0, -1);
	assert.equal(lines.length + files.dropped, 20_000);
	assert.deepEqual(
		lines.slice(0, 3).map((line) => line.split(" ")[1]),
		["0", "1", "2"],
	);
});

test("a path that cannot be opened is an error at once", () => {
	assert.throws(() => createLogFiles().open(join(directory, "no", "such", "directory")), /ENOENT/);
});
