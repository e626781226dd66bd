/**
 * Version 4 UUIDs for `x-request-id` from a pool of random bytes: one system call serves 256 requests. `fill` is
 * `crypto.getRandomValues`; tests give their own.
 */
export function createRequestIds(fill: (bytes: Uint8Array) => void): () => string {
	const pool = new Uint8Array(16 * 256);
	let at = pool.length;
	const text = Buffer.alloc(36, "-");
	return () => {
		if (at === pool.length) {
			fill(pool);
			at = 0;
		}
		const start = at;
		at += 16;
		pool[start + 6] = ((pool[start + 6] as number) & 0x0f) | 0x40;
		pool[start + 8] = ((pool[start + 8] as number) & 0x3f) | 0x80;
		for (let i = 0; i < 16; i++) {
			const byte = pool[start + i] as number;
			const place = places[i] as number;
			text[place] = hexDigits[byte >>> 4] as number;
			text[place + 1] = hexDigits[byte & 15] as number;
		}
		// One string of its own: put together from pieces it would be made of twenty.
		return text.latin1Slice(0, 36);
	};
}

const hexDigits: Uint8Array = Buffer.from("0123456789abcdef");
/** Where each byte stands in the text. */
const places: readonly number[] = Array.from({ length: 16 }, (_, i) => 2 * i + (i < 4 ? 0 : i < 6 ? 1 : i < 8 ? 2 : i < 10 ? 3 : 4));
