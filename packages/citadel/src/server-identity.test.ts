import assert from "node:assert/strict";
import { test } from "node:test";
import { type Clock, createLogger } from "@weft/runtime";
import { createCertificateAuthority, type LeafIssue, type LeafRequest } from "./certificate-authority.ts";
import { createMemoryKeyStore } from "./key-store.ts";
import { createServerIdentity } from "./server-identity.ts";

const startMs = Date.UTC(2027, 0, 1);
const hourMs = 3_600_000;

test("the server certificate is renewed at each half life", async () => {
	const stop = new AbortController();
	const times: number[] = [];
	let nowMs = startMs;
	const clock: Clock = {
		nowMs: () => nowMs,
		monotonicMs: () => nowMs - startMs,
		async sleep(ms) {
			nowMs += ms;
			if (nowMs > startMs + 37 * hourMs) stop.abort();
		},
	};
	const quiet = createLogger({ level: "none" });
	const authority = await createCertificateAuthority({ store: createMemoryKeyStore(), clock, logger: quiet, rootKeyAlgorithm: "ecdsa-p256" });
	const logger = createLogger({ write: (line) => line.includes("certificate rotated") && times.push((nowMs - startMs) / hourMs) });
	const identity = await createServerIdentity({ authority, clock, random: () => 0.5, logger });
	const serial = identity.serialNumber;
	await identity.run(stop.signal);
	assert.deepEqual(times, [12, 24, 36]);
	assert.notEqual(identity.serialNumber, serial);
});

test("when the authority refuses, the old certificate stays and the rotation is tried again", async () => {
	const stop = new AbortController();
	let nowMs = startMs;
	let failures = 0;
	let sleeps = 0;
	const clock: Clock = {
		nowMs: () => nowMs,
		monotonicMs: () => nowMs - startMs,
		async sleep(ms) {
			nowMs += ms;
			if (++sleeps > 2000) stop.abort();
		},
	};
	const quiet = createLogger({ level: "none" });
	const real = await createCertificateAuthority({ store: createMemoryKeyStore(), clock, logger: quiet, rootKeyAlgorithm: "ecdsa-p256" });
	let down = false;
	const { trustDomain, trustBundlePem } = real;
	const issueLeaf = async (request: LeafRequest): Promise<LeafIssue> => (down ? { ok: false, reason: "down", cause: "sign" } : real.issueLeaf(request));
	const authority = { trustDomain, trustBundlePem, issueLeaf, onChanged: () => () => undefined };
	const logger = createLogger({
		write(line) {
			if (line.includes("certificate rotated")) stop.abort();
			else if (++failures === 5) down = false;
		},
	});
	const identity = await createServerIdentity({ authority, clock, random: () => 0.5, logger });
	down = true;
	const serial = identity.serialNumber;
	await identity.run(stop.signal);
	assert.equal(failures, 5);
	assert.notEqual(identity.serialNumber, serial);
});
