import assert from "node:assert/strict";
import { test } from "node:test";
import { loadHash64, murmurHash2 } from "./hash.ts";
import { createMersenneTwister } from "./mersenne-twister.ts";

test("XXH64 agrees with the published vectors", async () => {
	const hash64 = await loadHash64();
	assert.equal(hash64(""), 0xef46_db37_51d8_e999n);
	assert.equal(hash64("abc"), 0x44bc_2cf5_ad77_0999n);
});

test("MurmurHash2 is stable, spreads, and takes every length of tail", () => {
	const values = Array.from({ length: 17 }, (_, i) => murmurHash2("x".repeat(i)));
	assert.equal(new Set(values).size, 17);
	assert.ok(values.every((value) => value >= 0n && value < 1n << 64n));
});

test("MT19937 gives the reference sequence of seed 5489", () => {
	const next = createMersenneTwister(5489);
	assert.equal(next(), 3_499_211_612);
	for (let i = 0; i < 9998; i++) next();
	assert.equal(next(), 4_123_659_995);
});
