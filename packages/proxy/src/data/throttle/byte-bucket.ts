/** Tokens, one a byte. */
export interface ByteBucket {
	/** Takes as many as there are, at most `wanted`. */
	take(wanted: number): number;
}

export const bytesPerKib = 1024;

/**
 * One stream's own: fills all the time with `bytesPerSecond`, and holds the bytes of one second at most. Begins with what
 * comes in `beginsWithMs`.
 */
export function createByteBucket(bytesPerSecond: number, beginsWithMs: number, nowMs: () => number): ByteBucket {
	let held = (bytesPerSecond * beginsWithMs) / 1000;
	let filledAt = nowMs();
	return {
		take(wanted) {
			const now = nowMs();
			held = Math.min(bytesPerSecond, held + ((now - filledAt) * bytesPerSecond) / 1000);
			filledAt = now;
			// What a fraction lost in rounding must not cost a token.
			const taken = Math.min(wanted, Math.floor(held + 1e-6));
			held -= taken;
			return taken;
		},
	};
}
