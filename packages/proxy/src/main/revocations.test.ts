import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type Clock, createLogger } from "@weft/runtime";
import { followRevocations } from "./revocations.ts";

const list = (name: string) => `-----BEGIN X509 CRL-----\n${name}\n-----END X509 CRL-----\n`;

test("revocation lists are read, read again, and a file that is none leaves the last good ones", async () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-crl-"));
	const file = join(folder, "ca-crl.pem");
	const stop = new AbortController();
	const lines: string[] = [];
	const heard: string[] = [];
	const steps = [
		() => writeFileSync(file, list("first")),
		() => undefined,
		() => writeFileSync(file, "hello"),
		() => undefined,
		() => writeFileSync(file, list("second")),
		() => rmSync(file),
		() => stop.abort(),
	];
	const clock: Clock = { nowMs: () => 0, monotonicMs: () => 0, sleep: async () => steps.shift()?.() };
	try {
		const revocations = followRevocations(file, clock, createLogger({ write: (line) => lines.push(line) }));
		assert.equal(revocations.pem(), "");
		await revocations.run(() => heard.push(revocations.pem()), stop.signal);
		assert.deepEqual(heard, [list("first"), list("second"), ""]);
		assert.equal(lines.filter((line) => line.includes("the last good one stays")).length, 1, "told once");
	} finally {
		rmSync(folder, { recursive: true });
	}
});
