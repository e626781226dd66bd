const size = 624;
const shift = 397;

/** MT19937: the sequence is part of the bounded-load hash's contract (the same hash probes hosts in the same order as Envoy). */
export function createMersenneTwister(seed: number): () => number {
	const state = new Uint32Array(size);
	state[0] = seed >>> 0;
	for (let i = 1; i < size; i++) {
		const previous = state[i - 1] as number;
		state[i] = Math.imul(1_812_433_253, previous ^ (previous >>> 30)) + i;
	}
	let index = size;
	const twist = () => {
		for (let i = 0; i < size; i++) {
			const y = ((state[i] as number) & 0x8000_0000) | ((state[(i + 1) % size] as number) & 0x7fff_ffff);
			state[i] = (state[(i + shift) % size] as number) ^ (y >>> 1) ^ (y & 1 ? 0x9908_b0df : 0);
		}
		index = 0;
	};
	return () => {
		if (index === size) twist();
		let y = state[index++] as number;
		y ^= y >>> 11;
		y ^= (y << 7) & 0x9d2c_5680;
		y ^= (y << 15) & 0xefc6_0000;
		return (y ^ (y >>> 18)) >>> 0;
	};
}
