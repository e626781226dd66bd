import assert from "node:assert/strict";

/** The promise of a target does not hold: a finding, as any other exception is one. */
export class BrokenInvariant extends Error {
	constructor(message: string) {
		super(message);
		this.name = "BrokenInvariant";
	}
}

export function check(holds: boolean, message: string): void {
	if (!holds) throw new BrokenInvariant(message);
}

/** Compares plain values. By their text first, since nearly all are equal and the assertion is slow. */
export function checkSame(actual: unknown, expected: unknown, message: string): void {
	if (JSON.stringify(actual) === JSON.stringify(expected)) return;
	try {
		assert.deepEqual(actual, expected);
	} catch (error) {
		throw new BrokenInvariant(`${message}: ${(error as Error).message}`);
	}
}

/** Inputs longer than this are not cut into single bytes: that costs their square. */
const singleBytesMax = 1024;

/** Where an input is cut in two depends on its bytes alone, so that a finding is one wherever it is run again. */
function placeIn(data: Buffer): number {
	let hash = 0x811c9dc5;
	for (const byte of data) hash = Math.imul(hash ^ byte, 0x01000193);
	return data.length === 0 ? 0 : (hash >>> 0) % data.length;
}

/** Ways in which a network may deliver these bytes, each as its pieces: cut in two, in three, and into single bytes. */
export function deliveries(data: Buffer): readonly (readonly Buffer[])[] {
	const first = placeIn(data);
	const second = first + placeIn(data.subarray(first));
	const ways = [
		[data.subarray(0, first), data.subarray(first)],
		[data.subarray(0, first), data.subarray(first, second), data.subarray(second)],
	];
	return data.length > singleBytesMax ? ways : [...ways, Array.from(data, (_, i) => data.subarray(i, i + 1))];
}

/** A piece as a transport hands it over: in memory that is overwritten as soon as the call returns. */
export function deliver(piece: Buffer, take: (bytes: Buffer, start: number, end: number) => void): void {
	const shared = Buffer.from(piece);
	take(shared, 0, shared.length);
	shared.fill(0x21);
}
