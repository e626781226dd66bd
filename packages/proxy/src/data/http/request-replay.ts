/** The part of a request's body that has been received and may have to be sent, or sent again, to a host not yet known. */
export class RequestReplay {
	readonly pieces: Buffer[] = [];
	/** Name, value, name, value … */
	readonly trailers: string[] = [];
	/** All of the body so far is here, and what comes is to be kept too. */
	isKept = false;
	bytesMax = 0;
	#bytes = 0;

	get isFull(): boolean {
		return this.#bytes > this.bytesMax;
	}

	/** `isBeingSent`: what does not fit need not be kept, as it is on its way. */
	keep(bytes: Buffer, start: number, end: number, isBeingSent: boolean): void {
		this.pieces.push(Buffer.from(bytes.subarray(start, end)));
		this.#bytes += end - start;
		if (!this.isFull) return;
		// Too large to be sent twice.
		this.isKept = false;
		if (isBeingSent) this.drop();
	}

	/** What is kept, for another's use. */
	take(): readonly Buffer[] {
		const pieces = [...this.pieces];
		this.drop();
		return pieces;
	}

	drop(): void {
		if (this.pieces.length > 0) this.pieces.length = 0;
		this.#bytes = 0;
	}

	reset(): void {
		this.isKept = false;
		this.drop();
		if (this.trailers.length > 0) this.trailers.length = 0;
	}
}
