import type { Http2Stream } from "./http2-stream.ts";

const initialPlaces = 16;

/**
 * The streams of one connection by id. Ids come in order and mostly go in order, so a ring finds nearly all of them; the
 * few that live long enough to meet a later one in their place move aside.
 */
export class StreamTable {
	size = 0;
	#ring: (Http2Stream | undefined)[] = new Array<Http2Stream | undefined>(initialPlaces).fill(undefined);
	readonly #aside = new Map<number, Http2Stream>();

	get(id: number): Http2Stream | undefined {
		const found = this.#ring[(id >>> 1) & (this.#ring.length - 1)];
		if (found !== undefined && found.id === id) return found;
		return this.#aside.size === 0 ? undefined : this.#aside.get(id);
	}

	/** The id is not in it. */
	add(stream: Http2Stream): void {
		if (2 * ++this.size > this.#ring.length) this.#grow();
		this.#put(stream);
	}

	#put(stream: Http2Stream): void {
		const at = (stream.id >>> 1) & (this.#ring.length - 1);
		const older = this.#ring[at];
		if (older !== undefined) this.#aside.set(older.id, older);
		this.#ring[at] = stream;
	}

	#grow(): void {
		const streams = this.list();
		this.#ring = new Array<Http2Stream | undefined>(2 * this.#ring.length).fill(undefined);
		this.#aside.clear();
		for (const stream of streams) this.#put(stream);
	}

	delete(stream: Http2Stream): void {
		const at = (stream.id >>> 1) & (this.#ring.length - 1);
		if (this.#ring[at] === stream) this.#ring[at] = undefined;
		else if (!this.#aside.delete(stream.id)) return;
		this.size--;
	}

	/** All of them, as they are now. */
	list(): Http2Stream[] {
		const streams = [...this.#aside.values()];
		for (const stream of this.#ring) if (stream !== undefined) streams.push(stream);
		return streams;
	}
}
