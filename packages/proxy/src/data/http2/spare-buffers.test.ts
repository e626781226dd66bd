import assert from "node:assert/strict";
import { it } from "node:test";
import { SpareBuffers } from "./spare-buffers.ts";

it("a buffer that was given back is taken again, and no more than so many are kept", () => {
	const spares = new SpareBuffers(16_384, 2);
	const taken = [0, 1, 2].map(() => spares.take(16_000));
	assert.deepEqual(
		taken.map(({ length }) => length),
		[16_384, 16_384, 16_384],
	);
	for (const buffer of taken) spares.give(buffer);
	assert.deepEqual(new Set([spares.take(16_384), spares.take(2_048)]), new Set(taken.slice(0, 2)));
	assert.ok(!taken.includes(spares.take(16_000)));
});

it("a few bytes hold no large buffer, and a larger one is made for whoever wants it", () => {
	const spares = new SpareBuffers(16_384, 2);
	for (const count of [1, 2_047, 16_385]) {
		const buffer = spares.take(count);
		assert.equal(buffer.length, count);
		spares.give(buffer);
	}
	assert.equal(spares.take(16_384).length, 16_384);
});
