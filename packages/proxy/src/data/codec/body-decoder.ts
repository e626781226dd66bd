import { CR, hexValue, isTokenByte, isValueByte, LF, SEMICOLON } from "./bytes.ts";
import { codecError, type HeadError, type HeadLimits, headersTooLarge, tooManyHeaders } from "./head-parser.ts";

/** Called as bodies come; ranges are valid during the call. */
export interface BodySink {
	onBody(bytes: Buffer, start: number, end: number): void;
	/** One per trailer line, before the end; values untrimmed of nothing but outer white space. Gives why it is refused. */
	onTrailer(name: string, value: string): HeadError | undefined;
}

/** Of all trailers together; they are those of a head. */
type TrailerLimits = Pick<HeadLimits, "headBytesMax" | "headersMax">;

export type BodyKind = "none" | "length" | "chunked" | "untilClose";

const extensionBytesMax = 16 * 1024;
const sizeDigitsMax = 12;

const state = {
	size: 0,
	extension: 1,
	sizeLf: 2,
	data: 3,
	dataCr: 4,
	dataLf: 5,
	trailerStart: 6,
	trailerLine: 7,
	trailerLf: 8,
	lastLf: 9,
	done: 10,
} as const;

/** Framing that the head decided may not come again behind the body. */
const forbiddenTrailers: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "host", "trailer", "connection"]);

/** Finds the end of a message's body, whatever pieces it comes in. RFC 9112 §6 and §7, strict in line ends and sizes. */
export class BodyDecoder {
	isDone = true;
	/** Set when `decode` returns -1. */
	error = codecError;
	readonly #limits: TrailerLimits;
	#kind: BodyKind = "none";
	#left = 0;
	#state: number = state.size;
	#digits = 0;
	#extensionBytes = 0;
	#trailer = "";
	#trailerBytes = 0;
	#trailers = 0;

	constructor(limits: TrailerLimits) {
		this.#limits = limits;
	}

	start(kind: BodyKind, length: number): void {
		this.#kind = kind;
		this.#left = kind === "length" ? length : 0;
		this.isDone = kind === "none" || (kind === "length" && length === 0);
		this.#state = state.size;
		this.#digits = this.#extensionBytes = this.#trailerBytes = this.#trailers = 0;
		this.#trailer = "";
	}

	get kind(): BodyKind {
		return this.#kind;
	}

	/** The position after what belongs to this body, or -1. */
	decode(bytes: Buffer, start: number, end: number, sink: BodySink): number {
		if (this.#kind === "chunked") return this.#decodeChunked(bytes, start, end, sink);
		const stop = this.#kind === "length" ? Math.min(end, start + this.#left) : end;
		if (this.#kind === "length") this.#left -= stop - start;
		if (this.#kind === "length" && this.#left === 0) this.isDone = true;
		if (stop > start) sink.onBody(bytes, start, stop);
		return stop;
	}

	#decodeChunked(bytes: Buffer, start: number, end: number, sink: BodySink): number {
		let at = start;
		while (at < end && !this.isDone) {
			if (this.#state === state.data) {
				const stop = Math.min(end, at + this.#left);
				this.#left -= stop - at;
				if (this.#left === 0) this.#state = state.dataCr;
				sink.onBody(bytes, at, stop);
				at = stop;
			} else if (!this.#step(bytes[at++] as number, sink)) return -1;
		}
		return at;
	}

	#fail(error = codecError): false {
		this.error = error;
		return false;
	}

	#expect(byte: number, wanted: number, next: number): boolean {
		if (byte !== wanted) return this.#fail();
		this.#state = next;
		return true;
	}

	#step(byte: number, sink: BodySink): boolean {
		switch (this.#state) {
			case state.size:
				return this.#stepSize(byte);
			case state.extension:
				if (byte === CR) this.#state = state.sizeLf;
				else if (isValueByte[byte] === 0 || ++this.#extensionBytes > extensionBytesMax) return this.#fail();
				return true;
			case state.sizeLf:
				return this.#expect(byte, LF, this.#left === 0 ? state.trailerStart : state.data);
			case state.dataCr:
				return this.#expect(byte, CR, state.dataLf);
			case state.dataLf:
				this.#digits = 0;
				return this.#expect(byte, LF, state.size);
			case state.trailerStart:
				if (byte === CR) this.#state = state.lastLf;
				else return this.#stepTrailer(byte);
				return true;
			case state.trailerLine:
				return this.#stepTrailer(byte);
			case state.trailerLf:
				return this.#expect(byte, LF, state.trailerStart) && this.#endTrailer(sink);
			default:
				this.isDone = byte === LF;
				return this.isDone || this.#fail();
		}
	}

	#stepSize(byte: number): boolean {
		const digit = hexValue[byte] as number;
		if (digit !== 255) {
			if (++this.#digits > sizeDigitsMax) return this.#fail();
			this.#left = this.#left * 16 + digit;
			return true;
		}
		if (this.#digits === 0) return this.#fail();
		if (byte === CR) this.#state = state.sizeLf;
		else if (byte === SEMICOLON) this.#state = state.extension;
		else return this.#fail();
		return true;
	}

	#stepTrailer(byte: number): boolean {
		if (byte === CR) {
			this.#state = state.trailerLf;
			return true;
		}
		if (isValueByte[byte] === 0) return this.#fail();
		if (++this.#trailerBytes > this.#limits.headBytesMax) return this.#fail(headersTooLarge);
		this.#state = state.trailerLine;
		this.#trailer += String.fromCharCode(byte);
		return true;
	}

	#endTrailer(sink: BodySink): boolean {
		const line = this.#trailer;
		this.#trailer = "";
		const colon = line.indexOf(":");
		const name = line.slice(0, Math.max(colon, 0)).toLowerCase();
		if (name === "" || forbiddenTrailers.has(name)) return this.#fail();
		for (let i = 0; i < name.length; i++) if (isTokenByte[name.charCodeAt(i)] === 0) return this.#fail();
		if (++this.#trailers > this.#limits.headersMax) return this.#fail(tooManyHeaders);
		const refusal = sink.onTrailer(name, line.slice(colon + 1).trim());
		return refusal === undefined || this.#fail(refusal);
	}
}
