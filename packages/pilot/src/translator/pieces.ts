/** Work that may be put off for a while at each `yield`. */
export type Pieces<T> = Generator<void, T>;

/** Does all of it now. */
export function atOnce<T>(pieces: Pieces<T>): T {
	for (;;) {
		const { done, value } = pieces.next();
		if (done) return value;
	}
}
