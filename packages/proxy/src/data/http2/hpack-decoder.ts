import { huffmanDecode, huffmanDecodedMax } from "./huffman.ts";
import { staticBytes, staticCount, staticNameLength, staticStart, staticValueLength } from "./hpack-static-table.ts";
import { DynamicTable } from "./hpack-table.ts";
import { errorCode, Http2ConnectionError } from "./protocol.ts";

/** Takes the fields of one block in their order. */
export interface FieldSink {
	/**
	 * Both ranges are valid only during the call. `isNeverIndexed`: whoever passes the field on must say so too
	 * (RFC 7541 §6.2.3). `entry`: 1 + the number of the decoder's entry that it is, 0 for none.
	 */
	onField(
		nameBytes: Buffer,
		nameStart: number,
		nameEnd: number,
		valueBytes: Buffer,
		valueStart: number,
		valueEnd: number,
		isNeverIndexed: boolean,
		entry: number,
	): void;
}

const scratchBytes = 4096;
/** A prefixed integer beyond this is no length or index of ours (RFC 7541 §5.1 asks for a limit). */
const integerMax = 1 << 24;

function fail(message: string): never {
	throw new Http2ConnectionError(errorCode.compressionError, message);
}

let decoders = 0;

/** Decoded strings of the field at hand; one decoder works at a time, so all share it. */
let scratch: Buffer = Buffer.allocUnsafeSlow(scratchBytes);

/** The decoding context of one connection (RFC 7541 §2.2). Throws a compression error; the connection cannot go on after it. */
export class HpackDecoder {
	/** Unique in the worker, never 0. */
	readonly id: number = ++decoders;
	readonly #table: DynamicTable;
	/** What our SETTINGS allow the peer. */
	#tableSizeLimit: number;
	/** The limit fell below the table's size: the next block has to begin with an update. */
	#mustResize = false;
	#bytes: Buffer = scratch;
	#at = 0;
	#end = 0;
	// The string read last.
	#textBytes: Buffer = scratch;
	#textStart = 0;
	#textEnd = 0;

	constructor(tableSizeLimit: number) {
		this.#tableSizeLimit = tableSizeLimit;
		this.#table = new DynamicTable(tableSizeLimit);
	}

	get table(): DynamicTable {
		return this.#table;
	}

	/** The peer has acknowledged our SETTINGS (RFC 7541 §4.2). */
	setTableSizeLimit(limit: number): void {
		this.#tableSizeLimit = limit;
		this.#mustResize = this.#table.sizeMax > limit;
	}

	/** One whole field block. */
	decode(bytes: Buffer, start: number, end: number, sink: FieldSink): void {
		this.#bytes = bytes;
		this.#at = start;
		this.#end = end;
		let isFirst = true;
		while (this.#at < end) {
			const byte = bytes[this.#at] as number;
			if (this.#mustResize && (byte & 0xe0) !== 0x20) fail("no dynamic table size update after a smaller limit (RFC 7541 4.2)");
			if (byte >= 0x80) this.#indexed(sink);
			else if (byte >= 0x40) this.#literal(6, true, false, sink);
			else if (byte >= 0x20) {
				if (!isFirst) fail("dynamic table size update behind a field (RFC 7541 4.2)");
				this.#resize();
				continue;
			} else this.#literal(4, false, byte >= 0x10, sink);
			isFirst = false;
		}
	}

	#resize(): void {
		const size = this.#integer(5);
		if (size > this.#tableSizeLimit) fail("dynamic table larger than allowed (RFC 7541 6.3)");
		this.#table.resize(size);
		this.#mustResize = false;
	}

	#indexed(sink: FieldSink): void {
		const index = this.#integer(7);
		if (index === 0) fail("index 0 (RFC 7541 6.1)");
		if (index <= staticCount) {
			const start = staticStart[index] as number;
			const middle = start + (staticNameLength[index] as number);
			sink.onField(staticBytes, start, middle, staticBytes, middle, middle + (staticValueLength[index] as number), false, 0);
			return;
		}
		const table = this.#table;
		const number = this.#dynamicNumber(index);
		const start = table.start(number);
		const middle = start + table.nameLength(number);
		sink.onField(table.bytes, start, middle, table.bytes, middle, middle + table.valueLength(number), false, number + 1);
	}

	#dynamicNumber(index: number): number {
		const number = this.#table.inserted - (index - staticCount);
		if (index - staticCount > this.#table.count) fail("index beyond the dynamic table (RFC 7541 2.3.3)");
		return number;
	}

	#literal(prefixBits: number, isIndexing: boolean, isNeverIndexed: boolean, sink: FieldSink): void {
		const index = this.#integer(prefixBits);
		let nameBytes: Buffer;
		let nameStart: number;
		let nameEnd: number;
		let free = 0;
		const table = this.#table;
		if (index === 0) {
			this.#string(0);
			nameBytes = this.#textBytes;
			nameStart = this.#textStart;
			nameEnd = this.#textEnd;
			if (nameBytes === scratch) free = nameEnd;
		} else if (index <= staticCount) {
			nameBytes = staticBytes;
			nameStart = staticStart[index] as number;
			nameEnd = nameStart + (staticNameLength[index] as number);
		} else {
			// Copied, as its entry may have to make room for the new one.
			const number = this.#dynamicNumber(index);
			const start = table.start(number);
			nameStart = 0;
			nameEnd = free = table.nameLength(number);
			if (nameEnd > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * nameEnd);
			nameBytes = scratch;
			for (let i = 0; i < nameEnd; i++) scratch[i] = table.bytes[start + i] as number;
		}
		const isScratchName = nameBytes === scratch;
		this.#string(free);
		// The scratch may have been replaced by a larger one, its contents copied.
		if (isScratchName) nameBytes = scratch;
		// It becomes an entry below, unless it is too large for that; then nothing that comes is taken for it.
		const entry = isIndexing ? table.inserted + 1 : 0;
		sink.onField(nameBytes, nameStart, nameEnd, this.#textBytes, this.#textStart, this.#textEnd, isNeverIndexed, entry);
		if (isIndexing && table.insert(nameBytes, nameStart, nameEnd, this.#textBytes, this.#textStart, this.#textEnd) < 0) table.inserted++;
	}

	/** RFC 7541 §5.1. */
	#integer(prefixBits: number): number {
		const bytes = this.#bytes;
		const mask = (1 << prefixBits) - 1;
		let value = (bytes[this.#at++] as number) & mask;
		if (value < mask) return value;
		for (let shift = 0; ; shift += 7) {
			if (this.#at >= this.#end) fail("truncated integer");
			const byte = bytes[this.#at++] as number;
			if (shift > 21) fail("integer too large (RFC 7541 5.1)");
			value += (byte & 0x7f) << shift;
			if (value > integerMax) fail("integer too large (RFC 7541 5.1)");
			if (byte < 0x80) return value;
		}
	}

	/** RFC 7541 §5.2. Plain strings stay where they are; others are decoded into the scratch from `free` on. */
	#string(free: number): void {
		if (this.#at >= this.#end) fail("truncated string");
		const isHuffman = (this.#bytes[this.#at] as number) >= 0x80;
		const length = this.#integer(7);
		const start = this.#at;
		const end = start + length;
		if (end > this.#end) fail("string beyond its block");
		this.#at = end;
		if (!isHuffman) {
			this.#textBytes = this.#bytes;
			this.#textStart = start;
			this.#textEnd = end;
			return;
		}
		const needed = free + huffmanDecodedMax(length);
		if (needed > scratch.length) {
			const larger = Buffer.allocUnsafeSlow(Math.max(needed, 2 * scratch.length));
			scratch.copy(larger, 0, 0, free);
			scratch = larger;
		}
		const textEnd = huffmanDecode(this.#bytes, start, end, scratch, free);
		if (textEnd < 0) fail("invalid Huffman code (RFC 7541 5.2)");
		this.#textBytes = scratch;
		this.#textStart = free;
		this.#textEnd = textEnd;
	}
}
