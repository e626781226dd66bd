import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, createLogger } from "@weft/runtime";
import { createCertificateAuthority } from "./certificate-authority.ts";
import { createExpiryWarning, runForeignRootWarning } from "./expiry-warning.ts";
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

test("so is a root whose key is another's, each of several, for as long as it is looked at", async () => {
	const logger = createLogger({ level: "none" });
	const still: Clock = { nowMs: () => startMs, monotonicMs: () => 0, sleep: async () => undefined };
	const newRoot = async () =>
		(await createCertificateAuthority({ store: createMemoryKeyStore(), clock: still, logger, rootKeyAlgorithm: "ecdsa-p256" })).trustBundlePem;
	const pem = (await newRoot()) + (await newRoot());
	const stopping = new AbortController();
	const lines: string[] = [];
	let nowMs = startMs + 10 * 365 * dayMs - 61 * dayMs;
	let looks = 0;
	const clock: Clock = {
		nowMs: () => nowMs,
		monotonicMs: () => nowMs,
		async sleep(ms) {
			nowMs += ms;
			if (++looks === 4 * 24) stopping.abort();
		},
	};
	const writing = createLogger({ write: (line) => lines.push(line) });
	await runForeignRootWarning(() => pem, "renew it", clock, writing, stopping.signal);
	assert.deepEqual(
		lines.map((line) => /root certificate expires soon: renew it.*days=(\d+)/.exec(line)?.[1]),
		["60", "60", "59", "59", "58", "58"],
	);
});
