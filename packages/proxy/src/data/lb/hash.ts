import xxhash from "xxhash-wasm";

/** XXH64 of a string's UTF-8 bytes; seed 0 unless given. */
export type Hash64 = (value: string, seed?: bigint) => bigint;

/** Compiles the WebAssembly module; once per worker, before the first configuration is applied. */
export async function loadHash64(): Promise<Hash64> {
	const { h64 } = await xxhash();
	return h64;
}

const murmurMul = 0xc6a4_a793_5bd1_e995n;
const mask = 0xffff_ffff_ffff_ffffn;
/** The seed of libstdc++'s std::hash, which Envoy's MURMUR_HASH_2 rings use. */
const murmurSeed = 0xc70f_6907n;

/** MurmurHash2, 64 bits, variant A; for ring construction only. */
export function murmurHash2(value: string): bigint {
	const bytes = new TextEncoder().encode(value);
	const view = new DataView(bytes.buffer);
	const mixed = (k: bigint) => {
		const a = (k * murmurMul) & mask;
		return ((a ^ (a >> 47n)) * murmurMul) & mask;
	};
	let hash = murmurSeed ^ ((BigInt(bytes.length) * murmurMul) & mask);
	const whole = bytes.length & ~7;
	for (let i = 0; i < whole; i += 8) hash = ((hash ^ mixed(view.getBigUint64(i, true))) * murmurMul) & mask;
	if (bytes.length > whole) {
		let tail = 0n;
		for (let i = bytes.length - 1; i >= whole; i--) tail = (tail << 8n) | BigInt(bytes[i] ?? 0);
		hash = ((hash ^ tail) * murmurMul) & mask;
	}
	hash ^= hash >> 47n;
	hash = (hash * murmurMul) & mask;
	return hash ^ (hash >> 47n);
}
