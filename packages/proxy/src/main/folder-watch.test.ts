import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { createLogger } from "@weft/runtime";
import { watchFolderWhenThere } from "./folder-watch.ts";

test("a folder that comes later is found, and what moves in it is told", async (t) => {
	const parent = mkdtempSync(join(tmpdir(), "weft-folder-"));
	t.after(() => rmSync(parent, { recursive: true }));
	const folder = join(parent, "certs");
	let loads = 0;
	const watcher = watchFolderWhenThere(folder, () => loads++, createLogger({ level: "none" }));
	t.after(() => watcher.close());
	const until = async (count: number) => {
		while (loads < count) await new Promise((resolve) => setTimeout(resolve, 20));
	};
	assert.equal(loads, 0);
	mkdirSync(folder);
	await until(1);
	writeFileSync(join(folder, "ca.pem"), "x");
	await until(2);
});
