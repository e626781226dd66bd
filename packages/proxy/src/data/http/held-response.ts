/** An answer of which nothing is passed on before all of it is there; streams keep it for the next. */
export class HeldResponse {
	/** undefined: none is held. */
	#pieces: Buffer[] | undefined;
	#bytes = 0;

	get isHeld(): boolean {
		return this.#pieces !== undefined;
	}

	start(): void {
		this.#pieces = [];
		this.#bytes = 0;
	}

	/** False: it is more than `bytesMax`, and is not held any more. */
	add(bytes: Buffer, bytesMax: number): boolean {
		this.#pieces?.push(Buffer.from(bytes));
		this.#bytes += bytes.length;
		if (this.#bytes <= bytesMax) return true;
		this.drop();
		return false;
	}

	/** All of it. */
	take(): Buffer {
		const body = Buffer.concat(this.#pieces ?? []);
		this.drop();
		return body;
	}

	drop(): void {
		this.#pieces = undefined;
	}
}
