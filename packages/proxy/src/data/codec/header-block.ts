import type { Output } from "../transport/output.ts";
import { hashName, readText } from "./bytes.ts";
import type { HeaderView } from "./head.ts";

/** Words of one header in the index. */
export const indexWords = 7;
const nameStart = 0;
const nameEnd = 1;
const valueStart = 2;
const valueEnd = 3;
const hashWord = 4;
const knownWord = 5;
/** 1 + the number of the entry of the decoder's table that the line came from; 0: from none. */
export const entryWord = 6;

/** In `present`: there may be an `x-envoy-…` header. */
export const envoyHeaderBit = 1 << 30;

const noBytes = Buffer.alloc(0);
const initialBytes = 1024;
const initialHeaders = 32;
const noIndex = new Int32Array(0);
/** Larger buffers are not kept when the head is reused. */
const keptBytesMax = 16 * 1024;

/**
 * Header lines as they came, with an index over them, plus what was added since. Names are in lower case in `bytes`.
 * Unchanged runs of lines are sent by one copy.
 */
export class HeaderBlock implements HeaderView {
	/** None before the first head: a request that waits for its body has no response yet. */
	bytes: Buffer = noBytes;
	/** Bytes of the head, its last empty line included. */
	length = 0;
	index: Int32Array = noIndex;
	count = 0;
	/** Where the header lines start. */
	linesStart = 0;
	/** Which decoder's entries `entryWord` speaks of. */
	decoderId = 0;
	/** Bit per id of `known-names.ts` seen on the wire. */
	present = 0;
	/** 0: all lines still stand. */
	removedCount = 0;
	/** Name, value, name, value … of what was added. */
	readonly added: string[] = [];
	/** Entries of `added` in use; the array keeps its memory from request to request. */
	addedCount = 0;
	/** The head as it came, names in their original case; only kept when asked for. */
	original: Buffer | undefined;
	/** Lines that HTTP/2 must go on sending as literals (RFC 7541 §7.1.3). */
	readonly #neverIndexed: number[] = [];

	clear(): void {
		this.count = this.length = this.present = this.removedCount = this.linesStart = 0;
		this.addedCount = 0;
		this.original = undefined;
		if (this.bytes.length > keptBytesMax) this.bytes = noBytes;
		if (this.#neverIndexed.length > 0) this.#neverIndexed.length = 0;
	}

	/** Takes over a parsed head; the index already refers to `start` as 0. */
	adopt(source: Buffer, start: number, end: number): void {
		const length = end - start;
		if (this.bytes.length < length) this.bytes = Buffer.allocUnsafeSlow(Math.max(length, 2 * this.bytes.length, initialBytes));
		source.copy(this.bytes, 0, start, end);
		this.length = length;
	}

	markNeverIndexed(line: number): void {
		this.#neverIndexed.push(line);
	}

	isNeverIndexed(line: number): boolean {
		return this.#neverIndexed.length > 0 && this.#neverIndexed.includes(line);
	}

	growIndex(): void {
		const larger = new Int32Array(Math.max(this.index.length * 2, initialHeaders * indexWords));
		larger.set(this.index);
		this.index = larger;
	}

	hasKnown(id: number): boolean {
		return (this.present & (1 << id)) !== 0;
	}

	/** Position in `index` of the first line with this known name that still stands, -1 when none. */
	findKnown(id: number): number {
		if ((this.present & (1 << id)) === 0) return -1;
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			if (this.index[at + knownWord] === id && (this.index[at] as number) >= 0) return at;
		}
		return -1;
	}

	getKnown(id: number): string | undefined {
		const at = this.findKnown(id);
		return at < 0 ? undefined : readText(this.bytes, this.index[at + valueStart] as number, this.index[at + valueEnd] as number);
	}

	valueAt(at: number): string {
		return this.bytes.latin1Slice(this.index[at + valueStart], this.index[at + valueEnd]);
	}

	removeKnown(id: number): boolean {
		if ((this.present & (1 << id)) === 0) return false;
		let found = false;
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			if (this.index[at + knownWord] !== id || (this.index[at] as number) < 0) continue;
			this.removeAt(at);
			found = true;
		}
		this.present &= ~(1 << id);
		return found;
	}

	removeAt(at: number): void {
		this.index[at] = ~(this.index[at] as number);
		this.removedCount++;
	}

	/** Removes the `x-envoy-…` lines that are among `names`. */
	removeEnvoyLines(names: ReadonlySet<string>): void {
		const { bytes, index } = this;
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			const start = index[at] as number;
			if (start < 0 || index[at + knownWord] !== 0 || bytes[start] !== 120 || bytes[start + 2] !== 101) continue;
			if (names.has(readText(bytes, start, index[at + nameEnd] as number))) this.removeAt(at);
		}
	}

	#find(name: string, from: number): number {
		const hash = hashName(name);
		for (let at = from, end = this.count * indexWords; at < end; at += indexWords) {
			if (this.index[at + hashWord] === hash && this.#isNamed(at, name)) return at;
		}
		return -1;
	}

	#isNamed(at: number, name: string): boolean {
		const start = this.index[at + nameStart] as number;
		if (start < 0 || (this.index[at + nameEnd] as number) - start !== name.length) return false;
		for (let i = 0; i < name.length; i++) if (this.bytes[start + i] !== name.charCodeAt(i)) return false;
		return true;
	}

	get(name: string): string | undefined {
		let value: string | undefined;
		for (let at = this.#find(name, 0); at >= 0; at = this.#find(name, at + indexWords)) {
			value = value === undefined ? this.valueAt(at) : `${value},${this.valueAt(at)}`;
		}
		for (let i = 0; i < this.addedCount; i += 2) {
			if (this.added[i] === name) value = value === undefined ? this.added[i + 1] : `${value},${this.added[i + 1]}`;
		}
		return value;
	}

	/** Of several lines the first one. */
	first(name: string): string | undefined {
		const at = this.#find(name, 0);
		if (at >= 0) return this.valueAt(at);
		const i = this.#addedIndex(name);
		return i < 0 ? undefined : this.added[i + 1];
	}

	has(name: string): boolean {
		return this.#find(name, 0) >= 0 || this.#addedIndex(name) >= 0;
	}

	#addedIndex(name: string): number {
		for (let i = 0; i < this.addedCount; i += 2) if (this.added[i] === name) return i;
		return -1;
	}

	set(name: string, value: string): void {
		this.remove(name);
		this.append(name, value);
	}

	append(name: string, value: string): void {
		if (name.startsWith("x-envoy-")) this.present |= envoyHeaderBit;
		this.appendOwn(name, cleanValue(value));
	}

	/** For values that we made ourselves. */
	appendOwn(name: string, value: string): void {
		this.added[this.addedCount++] = name;
		this.added[this.addedCount++] = value;
	}

	/** `name` is that of the known one. */
	replaceKnown(id: number, name: string, value: string): void {
		this.removeKnown(id);
		for (let i = this.#addedIndex(name); i >= 0; i = this.#addedIndex(name)) this.#removeAdded(i);
		this.appendOwn(name, value);
	}

	#removeAdded(i: number): void {
		const { added } = this;
		this.addedCount -= 2;
		// Array's own copyWithin asks for each element by its name.
		for (let to = i; to < this.addedCount; to++) added[to] = added[to + 2] as string;
	}

	remove(name: string): boolean {
		let found = false;
		for (let at = this.#find(name, 0); at >= 0; at = this.#find(name, at + indexWords)) {
			this.removeAt(at);
			const id = this.index[at + knownWord] as number;
			if (id !== 0 && this.findKnown(id) < 0) this.present &= ~(1 << id);
			found = true;
		}
		for (let i = this.#addedIndex(name); i >= 0; i = this.#addedIndex(name)) {
			this.#removeAdded(i);
			found = true;
		}
		return found;
	}

	forEach(visit: (name: string, value: string) => void): void {
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			const start = this.index[at] as number;
			if (start >= 0) visit(this.bytes.latin1Slice(start, this.index[at + nameEnd]), this.valueAt(at));
		}
		for (let i = 0; i < this.addedCount; i += 2) visit(this.added[i] as string, this.added[i + 1] as string);
	}

	/** Upper bound of what `encodeLines` writes. */
	get encodedBytesMax(): number {
		let count = this.length;
		for (let i = 0; i < this.addedCount; i++) count += (this.added[i] as string).length + 2;
		return count;
	}

	/** Every line that still stands, then what was added; the caller has reserved the room. */
	encodeLines(output: Output): void {
		const linesEnd = this.length - 2;
		if (this.removedCount === 0) output.putBytes(this.bytes, this.linesStart, linesEnd);
		else this.#encodeRuns(output, linesEnd);
		this.encodeAdded(output);
	}

	encodeAdded(output: Output): void {
		const added = this.added;
		for (let i = 0; i < this.addedCount; i += 2) output.putLine(added[i] as string, added[i + 1] as string);
	}

	#encodeRuns(output: Output, linesEnd: number): void {
		let runStart = -1;
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			const start = this.index[at] as number;
			if (start >= 0) {
				if (runStart < 0) runStart = start;
			} else if (runStart >= 0) {
				output.putBytes(this.bytes, runStart, ~start);
				runStart = -1;
			}
		}
		if (runStart >= 0) output.putBytes(this.bytes, runStart, linesEnd);
	}

	/** As `encodeLines`, each name as `spell` writes it. */
	encodeSpelled(output: Output, spell: (name: string) => string): void {
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			const start = this.index[at] as number;
			if (start >= 0) output.putText(`${spell(this.#nameAt(at, this.bytes))}: ${this.valueAt(at)}\r\n`);
		}
		for (let i = 0; i < this.addedCount; i += 2) output.putText(`${spell(this.added[i] as string)}: ${this.added[i + 1]}\r\n`);
	}

	/** Lower-case names → how each stood first, in lines that were removed, too; undefined where the head was not kept as it came. */
	spellings(): ReadonlyMap<string, string> | undefined {
		const { original } = this;
		if (original === undefined) return undefined;
		const found = new Map<string, string>();
		for (let at = 0, end = this.count * indexWords; at < end; at += indexWords) {
			const name = this.#nameAt(at, this.bytes);
			if (!found.has(name)) found.set(name, this.#nameAt(at, original));
		}
		return found;
	}

	#nameAt(at: number, bytes: Buffer): string {
		const start = this.index[at] as number;
		return bytes.latin1Slice(start < 0 ? ~start : start, this.index[at + nameEnd]);
	}
}

/** What a formatter or a rule made must not end the line it stands in (request smuggling). */
export function cleanValue(value: string): string {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
	return isClean(value) ? value : value.replace(/[\u0000-\u0008\u000a-\u001f\u007f\u0100-\uffff]/g, "");
}

/** As the expression above, which costs more than to look at the few letters of a usual value. */
function isClean(value: string): boolean {
	for (let i = 0; i < value.length; i++) {
		const code = value.charCodeAt(i);
		if ((code < 0x20 && code !== 0x09) || code === 0x7f || code > 0xff) return false;
	}
	return true;
}
