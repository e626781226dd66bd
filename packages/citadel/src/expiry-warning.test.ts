import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, createLogger } from "@weft/runtime";
import { createCertificateAuthority } from "./certificate-authority.ts";
import { createExpiryWarning } from "./expiry-warning.ts";
import { createMemoryKeyStore } from "./key-store.ts";

const startMs = Date.UTC(2027, 0, 1);
const dayMs = 86_400_000;

test("a root is warned of from 60 days ahead, once a day, with the days that are left", async () => {
	let nowMs = startMs;
	const clock: Clock = { nowMs: () => nowMs, monotonicMs: () => nowMs, sleep: async () => undefined };
	const authority = await createCertificateAuthority({
		store: createMemoryKeyStore(),
		clock,
		logger: createLogger({ level: "none" }),
		rootKeyAlgorithm: "ecdsa-p256",
	});
	const lines: string[] = [];
	const warn = createExpiryWarning(authority, clock, createLogger({ write: (line) => lines.push(line) }));
	const endMs = authority.rootNotAfterMs;
	for (const [daysLeft, count] of [
		[400, 0],
		[61, 0],
		[59.5, 1],
		[59.4, 1],
		[58, 2],
		[0.5, 3],
		[-1, 4],
	] as const) {
		nowMs = endMs - daysLeft * dayMs;
		warn();
		assert.equal(lines.length, count, `${daysLeft} days before`);
	}
	assert.match(lines[0] ?? "", /warn.*root certificate expires soon.*days=59/);
	assert.match(lines[3] ?? "", /days=-1/);
});
