/**
 * Version 4 UUIDs for `x-request-id` from a pool of random bytes: one system call serves 256 requests. `fill` is
 * `crypto.getRandomValues`; tests give their own.
 */
export function createRequestIds(fill: (bytes: Uint8Array) => void): () => string {
	const pool = new Uint8Array(16 * 256);
	let at = pool.length;
	return () => {
		if (at === pool.length) {
			fill(pool);
			at = 0;
		}
		const start = at;
		at += 16;
		pool[start + 6] = ((pool[start + 6] as number) & 0x0f) | 0x40;
		pool[start + 8] = ((pool[start + 8] as number) & 0x3f) | 0x80;
		const h = (i: number) => hex[pool[start + i] as number] as string;
		return `${h(0)}${h(1)}${h(2)}${h(3)}-${h(4)}${h(5)}-${h(6)}${h(7)}-${h(8)}${h(9)}-${h(10)}${h(11)}${h(12)}${h(13)}${h(14)}${h(15)}`;
	};
}

const hex: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, "0"));
