import { hashBytes, hashName } from "../codec/bytes.ts";
import { entryWord, type HeaderBlock } from "../codec/header-block.ts";
import { huffmanEncode, huffmanEncodedLength } from "./huffman.ts";
import { findStaticName, findStaticValue, staticBytes, staticCount, staticNameLength, staticStart } from "./hpack-static-table.ts";
import { DynamicTable, entryOverhead } from "./hpack-table.ts";

/** What this side keeps at most, whatever the peer allows. */
const tableSizeLimit = 4096;
const places = 256;
/** Larger ones would drive everything else out of the table. */
const indexedBytesMax = 512;
/** Values are looked at in this many places at most. */
const hashedBytesMax = 32;
const pairPlaces = 32;
/** In place of a number: there is none. */
const none = -1_000_000;
/** An integer takes at most this many bytes. */
const integerBytesMax = 6;

/**
 * The encoding context of one connection. A field gets an entry when its name has none, or when it comes a second time:
 * so what never repeats (request ids, trace ids) does not drive out what does. Lookups are by direct-mapped hashes: a collision costs
 * compression, never correctness, as bytes are compared.
 */
export class HpackEncoder {
	readonly #table: DynamicTable;
	/** By hash of the whole field and by that of its name: the number of the entry that came last. */
	#fieldEntry = new Int32Array(0);
	#nameEntry = new Int32Array(0);
	#seen = new Int32Array(0);
	/** What stands for the entries of decoders whose lines are sent on: the decoder, its entry, and ours, or -1 - an index of the static table. */
	#lineDecoder = new Int32Array(0);
	#lineEntry = new Int32Array(0);
	#lineNumber = new Int32Array(0);
	/** What the last `putField` was sent as, like `#lineNumber`; `none`: as a literal. */
	#last = none;
	/** Fields that we add ourselves are nearly always the same. */
	#pairs: { readonly names: string[]; readonly values: string[]; readonly numbers: Int32Array } | undefined;
	/** Size updates to be written before the next block (RFC 7541 §4.2); -1: none. */
	#updateLow = -1;
	#updateFinal = -1;

	constructor() {
		this.#table = new DynamicTable(tableSizeLimit);
	}

	get table(): DynamicTable {
		return this.#table;
	}

	/** The peer's SETTINGS_HEADER_TABLE_SIZE. */
	setPeerTableSize(size: number): void {
		const sizeMax = Math.min(size, tableSizeLimit);
		if (sizeMax === this.#table.sizeMax && this.#updateFinal < 0) return;
		this.#table.resize(sizeMax);
		this.#updateLow = this.#updateLow < 0 ? sizeMax : Math.min(this.#updateLow, sizeMax);
		this.#updateFinal = sizeMax;
	}

	/** Call first for each block; room for 2 integers. */
	beginBlock(target: Buffer, at: number): number {
		if (this.#updateFinal < 0) return at;
		let out = at;
		if (this.#updateLow < this.#updateFinal) out = putInteger(target, out, 0x20, 5, this.#updateLow);
		out = putInteger(target, out, 0x20, 5, this.#updateFinal);
		this.#updateLow = this.#updateFinal = -1;
		return out;
	}

	/** One field; `hash`: `hashBytes` of the name. The target has room for `fieldBytesMax`. Gives the position behind it. */
	putField(
		target: Buffer,
		at: number,
		nameBytes: Buffer,
		nameStart: number,
		nameEnd: number,
		hash: number,
		bytes: Buffer,
		start: number,
		end: number,
		isNeverIndexed: boolean,
	): number {
		const staticName = findStaticName(nameBytes, nameStart, nameEnd, hash);
		this.#last = none;
		if (isNeverIndexed) {
			const named = this.#putName(target, at, 0x10, 4, staticName, nameBytes, nameStart, nameEnd);
			return putPlain(target, named, bytes, start, end);
		}
		if (staticName !== 0) {
			const exact = findStaticValue(staticName, bytes, start, end);
			if (exact !== 0) {
				this.#last = -1 - exact;
				target[at] = 0x80 | exact;
				return at + 1;
			}
		}
		if (this.#fieldEntry.length === 0) this.#allocate();
		const table = this.#table;
		const fieldHash = hashField(bytes, hash, start, end);
		const place = (fieldHash ^ (fieldHash >>> 16)) & (places - 1);
		const known = this.#fieldEntry[place] as number;
		if (known >= 0 && table.isLive(known) && this.#isName(known, nameBytes, nameStart, nameEnd) && this.#isValue(known, bytes, start, end)) {
			this.#last = known;
			return putInteger(target, at, 0x80, 7, staticCount + table.inserted - known);
		}
		const namePlace = (hash ^ (hash >>> 12)) & (places - 1);
		const nameIndex = staticName !== 0 ? staticName : this.#dynamicName(namePlace, nameBytes, nameStart, nameEnd);
		const length = nameEnd - nameStart + end - start;
		// An entry for the name alone pays as well: it is not spelt out again.
		const isWorthIt = nameIndex === 0 || this.#seen[place] === fieldHash;
		this.#seen[place] = fieldHash;
		if (!isWorthIt || length > indexedBytesMax || length + entryOverhead > table.sizeMax || isSecret(staticName)) {
			return putPlain(target, this.#putName(target, at, 0, 4, nameIndex, nameBytes, nameStart, nameEnd), bytes, start, end);
		}
		const out = this.#putName(target, at, 0x40, 6, nameIndex, nameBytes, nameStart, nameEnd);
		const number = table.insert(nameBytes, nameStart, nameEnd, bytes, start, end);
		this.#last = number;
		this.#fieldEntry[place] = number;
		this.#nameEntry[namePlace] = number;
		return putShortest(target, out, bytes, start, end);
	}

	/** As `putField`, for a line that came from an entry of a decoder's: nearly always the one that it was sent as before. */
	putLine(target: Buffer, at: number, head: HeaderBlock, word: number, isNeverIndexed: boolean): number {
		const { index, bytes, decoderId } = head;
		const entry = index[word + entryWord] as number;
		if (entry === 0) return this.#putLine(target, at, bytes, index, word, isNeverIndexed);
		if (this.#lineEntry.length === 0) this.#allocateLines();
		const place = (entry + Math.imul(decoderId, 37)) & (places - 1);
		if (this.#lineEntry[place] === entry && this.#lineDecoder[place] === decoderId) {
			const out = this.#putNumber(target, at, this.#lineNumber[place] as number);
			if (out !== 0) return out;
		}
		const out = this.#putLine(target, at, bytes, index, word, isNeverIndexed);
		if (this.#last === none) return out;
		this.#lineEntry[place] = entry;
		this.#lineDecoder[place] = decoderId;
		this.#lineNumber[place] = this.#last;
		return out;
	}

	#putLine(target: Buffer, at: number, bytes: Buffer, index: Int32Array, word: number, isNeverIndexed: boolean): number {
		const nameEnd = index[word + 1] as number;
		const hash = index[word + 4] as number;
		return this.putField(target, at, bytes, index[word] as number, nameEnd, hash, bytes, index[word + 2] as number, index[word + 3] as number, isNeverIndexed);
	}

	/** 0: the entry is gone. */
	#putNumber(target: Buffer, at: number, number: number): number {
		if (number < 0) {
			target[at] = 0x80 | (-1 - number);
			return at + 1;
		}
		const table = this.#table;
		return table.isLive(number) ? putInteger(target, at, 0x80, 7, staticCount + table.inserted - number) : 0;
	}

	#allocateLines(): void {
		this.#lineDecoder = new Int32Array(places);
		this.#lineEntry = new Int32Array(places);
		this.#lineNumber = new Int32Array(places);
	}

	/** A field in strings, latin-1. */
	putPair(target: Buffer, at: number, name: string, value: string): number {
		this.#pairs ??= {
			names: new Array<string>(pairPlaces).fill(""),
			values: new Array<string>(pairPlaces).fill(""),
			numbers: new Int32Array(pairPlaces),
		};
		const { names, values, numbers } = this.#pairs;
		const place = (name.length * 5 + value.length) & (pairPlaces - 1);
		if (names[place] === name && values[place] === value) {
			const out = this.#putNumber(target, at, numbers[place] as number);
			if (out !== 0) return out;
		}
		const nameEnd = putText(name, 0);
		const end = putText(value, nameEnd);
		const out = this.putField(target, at, scratch, 0, nameEnd, hashName(name), scratch, nameEnd, end, false);
		if (this.#last === none) return out;
		names[place] = name;
		values[place] = value;
		numbers[place] = this.#last;
		return out;
	}

	/** As `putStaticName`, the value in a string. */
	putStaticText(target: Buffer, at: number, index: number, value: string): number {
		const end = putText(value, 0);
		return this.putStaticName(target, at, index, scratch, 0, end);
	}

	/** A field whose name is the static table's at `index`. */
	putStaticName(target: Buffer, at: number, index: number, bytes: Buffer, start: number, end: number): number {
		const nameStart = staticStart[index] as number;
		const nameEnd = nameStart + (staticNameLength[index] as number);
		return this.putField(target, at, staticBytes, nameStart, nameEnd, hashBytes(staticBytes, nameStart, nameEnd), bytes, start, end, false);
	}

	/** A field of the static table as a whole. */
	putStatic(target: Buffer, at: number, index: number): number {
		target[at] = 0x80 | index;
		return at + 1;
	}

	#allocate(): void {
		this.#fieldEntry = new Int32Array(places).fill(-1);
		this.#nameEntry = new Int32Array(places).fill(-1);
		this.#seen = new Int32Array(places);
	}

	#putName(target: Buffer, at: number, pattern: number, prefixBits: number, index: number, bytes: Buffer, start: number, end: number): number {
		const out = putInteger(target, at, pattern, prefixBits, index);
		return index === 0 ? putShortest(target, out, bytes, start, end) : out;
	}

	/** Its index, 0: none. */
	#dynamicName(place: number, bytes: Buffer, start: number, end: number): number {
		const number = this.#nameEntry[place] as number;
		const table = this.#table;
		return number >= 0 && table.isLive(number) && this.#isName(number, bytes, start, end) ? staticCount + table.inserted - number : 0;
	}

	/** Its name is known to be the same. */
	#isValue(number: number, bytes: Buffer, start: number, end: number): boolean {
		const table = this.#table;
		const length = end - start;
		if (table.valueLength(number) !== length) return false;
		const base = table.start(number) + table.nameLength(number);
		const own = table.bytes;
		for (let i = 0; i < length; i++) if (own[base + i] !== bytes[start + i]) return false;
		return true;
	}

	#isName(number: number, bytes: Buffer, start: number, end: number): boolean {
		const table = this.#table;
		const length = end - start;
		if (table.nameLength(number) !== length) return false;
		const base = table.start(number);
		const own = table.bytes;
		for (let i = 0; i < length; i++) if (own[base + i] !== bytes[start + i]) return false;
		return true;
	}
}

/** Texts on their way into a block; one encoder runs at a time. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096);

function putText(text: string, at: number): number {
	if (at + text.length > scratch.length) {
		const larger = Buffer.allocUnsafeSlow(2 * (at + text.length));
		scratch.copy(larger, 0, 0, at);
		scratch = larger;
	}
	const { length } = text;
	if (length > 32) scratch.latin1Write(text, at);
	else for (let i = 0; i < length; i++) scratch[at + i] = text.charCodeAt(i);
	return at + length;
}

/** Upper bound of what one field takes. */
export function fieldBytesMax(nameBytes: number, valueBytes: number): number {
	return nameBytes + valueBytes + 3 * integerBytesMax;
}

/** authorization, cookie, proxy-authorization, set-cookie: a table shared by many clients must not tell of them by its size (RFC 7541 §7.1). */
function isSecret(staticName: number): boolean {
	return staticName === 23 || staticName === 32 || staticName === 49 || staticName === 55;
}

function hashField(bytes: Buffer, nameHash: number, start: number, end: number): number {
	const length = end - start;
	let hash = (nameHash ^ Math.imul(length, 0x9e3779b1)) | 0;
	const step = length > hashedBytesMax ? Math.ceil(length / hashedBytesMax) : 1;
	for (let i = start; i < end; i += step) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
	for (let i = Math.max(start, end - 4); i < end; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193);
	return hash;
}

/** RFC 7541 §5.1. */
export function putInteger(target: Buffer, at: number, pattern: number, prefixBits: number, value: number): number {
	const mask = (1 << prefixBits) - 1;
	if (value < mask) {
		target[at] = pattern | value;
		return at + 1;
	}
	target[at] = pattern | mask;
	let out = at + 1;
	let rest = value - mask;
	for (; rest >= 128; rest >>>= 7) target[out++] = (rest & 127) | 128;
	target[out++] = rest;
	return out;
}

function putPlain(target: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
	const length = end - start;
	const out = putInteger(target, at, 0, 7, length);
	if (length > 48) bytes.copy(target, out, start, end);
	else for (let i = 0; i < length; i++) target[out + i] = bytes[start + i] as number;
	return out + length;
}

/** For what is said once and then referred to. */
function putShortest(target: Buffer, at: number, bytes: Buffer, start: number, end: number): number {
	const encoded = huffmanEncodedLength(bytes, start, end);
	if (encoded >= end - start) return putPlain(target, at, bytes, start, end);
	return huffmanEncode(bytes, start, end, target, putInteger(target, at, 0x80, 7, encoded));
}
