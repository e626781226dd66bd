import { isTargetByte, isTokenByte } from "../codec/bytes.ts";
import { known } from "../codec/known-names.ts";
import { indexWords } from "../codec/header-block.ts";
import type { RequestHead } from "../codec/request-head.ts";
import { copyBytes, endLines, hasConnectionField, hasRoom, isFieldName, isFieldValue, lineExtraBytes, readContentLength, writeLine } from "./field-writer.ts";
import type { FieldSink } from "./hpack-decoder.ts";

/** Why a message cannot be used; the words are Envoy's response code details. */
export type Malformed =
	| "http2.invalid.header.field"
	| "http2.violation.of.messaging.rule"
	| "http2.too_many_headers"
	| "http2.header_list_size_too_large"
	| "http2.unexpected_underscore";

const invalidField = "http2.invalid.header.field";
const brokenRule = "http2.violation.of.messaging.rule";

/** Of pseudo-header fields, in the staging area. */
const pseudo = { method: 0, scheme: 1, path: 2, authority: 3, protocol: 4 } as const;
const pseudoCount = 5;
/** 1: may stand in a host and port (RFC 3986 §3.2.2); who a client is has no place in them (RFC 9113 §8.3.1). */
const isAuthorityByte = new Uint8Array(256);
for (const char of "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-._~%!$&'()*+,;=:[]") isAuthorityByte[char.charCodeAt(0)] = 1;
const pseudoNames = [":method", ":scheme", ":path", ":authority", ":protocol"].map((name) => Buffer.from(name));

function pseudoOf(bytes: Buffer, start: number, end: number): number {
	for (let i = 0; i < pseudoCount; i++) {
		const name = pseudoNames[i] as Buffer;
		if (name.length !== end - start) continue;
		let at = 1;
		while (at < name.length && name[at] === bytes[start + at]) at++;
		if (at === name.length) return i;
	}
	return -1;
}

/**
 * Decodes the fields of a request into a head laid out as HTTP/1 has it: method, target, then the authority where the
 * head says that the host is, then the lines. So either protocol sends it on by copying.
 */
export class RequestFields implements FieldSink {
	#head!: RequestHead;
	#listBytesMax = 0;
	#headersMax = 0;
	#listBytes = 0;
	#failure: Malformed | undefined;
	#hasLines = false;
	#cookies = 0;
	#pseudoFields = 0;
	#staged = Buffer.allocUnsafeSlow(1024);
	#stagedEnd = 0;
	/** Start and end of each pseudo-header field's value in `#staged`; start -1: absent. */
	readonly #pseudo = new Int32Array(2 * pseudoCount);

	/** The head is clear. */
	begin(head: RequestHead, decoderId: number, listBytesMax: number, headersMax: number): void {
		this.#head = head;
		this.#listBytesMax = listBytesMax;
		this.#headersMax = headersMax;
		this.#listBytes = this.#stagedEnd = this.#cookies = this.#pseudoFields = 0;
		this.#failure = undefined;
		this.#hasLines = false;
		this.#pseudo.fill(-1);
		head.version = 20;
		head.decoderId = decoderId;
	}

	/** What `:protocol` said (RFC 8441); "" without. */
	get protocol(): string {
		return this.#text(pseudo.protocol);
	}

	#text(field: number): string {
		const start = this.#pseudo[2 * field] as number;
		return start < 0 ? "" : this.#staged.latin1Slice(start, this.#pseudo[2 * field + 1]);
	}

	onField(
		nameBytes: Buffer,
		nameStart: number,
		nameEnd: number,
		valueBytes: Buffer,
		valueStart: number,
		valueEnd: number,
		isNeverIndexed: boolean,
		entry: number,
	): void {
		this.#listBytes += nameEnd - nameStart + valueEnd - valueStart;
		if (this.#failure !== undefined) return;
		if (this.#listBytes > this.#listBytesMax) return this.#fail("http2.header_list_size_too_large");
		if (nameBytes[nameStart] === 58) return this.#onPseudo(nameBytes, nameStart, nameEnd, valueBytes, valueStart, valueEnd);
		if (!isFieldName(nameBytes, nameStart, nameEnd) || !isFieldValue(valueBytes, valueStart, valueEnd)) return this.#fail(invalidField);
		const head = this.#head;
		if (head.count + this.#pseudoFields >= this.#headersMax) return this.#fail("http2.too_many_headers");
		if (!this.#hasLines) this.#beginLines();
		if (nameEnd - nameStart === 6 && nameBytes[nameStart] === 99 && nameBytes.latin1Slice(nameStart, nameEnd) === "cookie") this.#cookies++;
		writeLine(head, nameBytes, nameStart, nameEnd, valueBytes, valueStart, valueEnd, isNeverIndexed, entry);
	}

	#fail(failure: Malformed): void {
		this.#failure ??= failure;
	}

	/** RFC 9113 §8.3: before all others, each once, and no other names. */
	#onPseudo(nameBytes: Buffer, nameStart: number, nameEnd: number, valueBytes: Buffer, valueStart: number, valueEnd: number): void {
		const field = pseudoOf(nameBytes, nameStart, nameEnd);
		if (field < 0 || this.#hasLines || (this.#pseudo[2 * field] as number) >= 0) return this.#fail(invalidField);
		this.#pseudoFields++;
		const start = this.#stagedEnd;
		const end = start + valueEnd - valueStart;
		if (end > this.#staged.length) {
			const larger = Buffer.allocUnsafeSlow(2 * end);
			this.#staged.copy(larger, 0, 0, start);
			this.#staged = larger;
		}
		copyBytes(valueBytes, valueStart, valueEnd, this.#staged, start);
		this.#pseudo[2 * field] = start;
		this.#pseudo[2 * field + 1] = end;
		this.#stagedEnd = end;
	}

	#beginLines(): void {
		this.#hasLines = true;
		const head = this.#head;
		hasRoom(head, 0, this.#stagedEnd + lineExtraBytes);
		let at = this.#put(pseudo.method, 0);
		head.methodEnd = at;
		head.bytes[at++] = 32;
		head.targetStart = at;
		at = this.#put(pseudo.path, at);
		head.targetEnd = at;
		head.bytes[at++] = 32;
		head.hostStart = at;
		at = this.#put(pseudo.authority, at);
		head.hostEnd = at;
		head.length = head.linesStart = at;
	}

	#put(field: number, at: number): number {
		const start = this.#pseudo[2 * field] as number;
		return start < 0 ? at : copyBytes(this.#staged, start, this.#pseudo[2 * field + 1] as number, this.#head.bytes, at);
	}

	/** The block is over. undefined: the head can be used. */
	finish(isEnd: boolean, allowsConnectProtocol: boolean): Malformed | undefined {
		if (this.#failure !== undefined) return this.#failure;
		if (!this.#hasLines) this.#beginLines();
		const head = this.#head;
		if (hasConnectionField(head)) return invalidField;
		const malformed = this.#checkPseudo(allowsConnectProtocol);
		if (malformed !== undefined) return malformed;
		if (head.hasKnown(known.host) && !this.#adoptHost()) return invalidField;
		if (head.hostEnd === head.hostStart) return brokenRule;
		head.contentLength = readContentLength(head);
		if (head.contentLength === -2) return invalidField;
		if (isEnd && head.contentLength > 0) return brokenRule;
		if (this.#cookies > 1) this.#joinCookies();
		head.isChunked = !isEnd && head.contentLength < 0;
		endLines(head);
		return undefined;
	}

	/** RFC 9113 §8.3.1, §8.5; RFC 8441 §4. */
	#checkPseudo(allowsConnectProtocol: boolean): Malformed | undefined {
		const at = this.#pseudo;
		const has = (field: number): boolean => (at[2 * field] as number) >= 0;
		const { bytes, methodEnd, targetStart, targetEnd, hostStart, hostEnd } = this.#head;
		if (!has(pseudo.method)) return brokenRule;
		if (methodEnd === 0 || !isAll(isTokenByte, bytes, 0, methodEnd)) return invalidField;
		if (has(pseudo.authority) && (hostEnd === hostStart || !isAll(isAuthorityByte, bytes, hostStart, hostEnd))) return invalidField;
		const isConnect = methodEnd === 7 && bytes.latin1Slice(0, 7) === "CONNECT";
		if (has(pseudo.protocol)) {
			if (!allowsConnectProtocol) return invalidField;
			if (!isConnect || !has(pseudo.authority)) return brokenRule;
			if (!isAll(isTokenByte, this.#staged, at[2 * pseudo.protocol] as number, at[2 * pseudo.protocol + 1] as number)) return invalidField;
		} else if (isConnect) {
			this.#useConnectTarget();
			return hostEnd > hostStart && !has(pseudo.scheme) && !has(pseudo.path) ? undefined : brokenRule;
		}
		if (!has(pseudo.path) || !this.#adoptScheme()) return brokenRule;
		if (targetEnd === targetStart || !isAll(isTargetByte, bytes, targetStart, targetEnd)) return invalidField;
		const isAsterisk = targetEnd - targetStart === 1 && bytes[targetStart] === 42;
		return bytes[targetStart] === 47 || (isAsterisk && bytes.latin1Slice(0, methodEnd) === "OPTIONS") ? undefined : brokenRule;
	}

	/** In HTTP/1 the authority is what CONNECT has for a target. */
	#useConnectTarget(): void {
		const head = this.#head;
		head.targetStart = head.hostStart;
		head.targetEnd = head.hostEnd;
	}

	#adoptScheme(): boolean {
		const start = this.#pseudo[2 * pseudo.scheme] as number;
		if (start < 0) return false;
		const end = this.#pseudo[2 * pseudo.scheme + 1] as number;
		if (end - start === 5) this.#head.scheme = "https";
		return end > start && isAll(isTokenByte, this.#staged, start, end);
	}

	/** `host` only counts where there is no `:authority` (as Envoy has it); two of them are one too many. */
	#adoptHost(): boolean {
		const head = this.#head;
		const at = head.findKnown(known.host);
		const hasAuthority = head.hostEnd > head.hostStart;
		if (!hasAuthority) {
			head.hostStart = head.index[at + 2] as number;
			head.hostEnd = head.index[at + 3] as number;
			if (!isAll(isAuthorityByte, head.bytes, head.hostStart, head.hostEnd)) return false;
		}
		head.removeAt(at);
		return head.findKnown(known.host) < 0;
	}

	/** RFC 9113 §8.2.3: what was cut into several fields is one for everybody else. */
	#joinCookies(): void {
		const head = this.#head;
		const values: string[] = [];
		let isNeverIndexed = false;
		for (let at = 0; at < head.count * indexWords; at += indexWords) {
			const start = head.index[at] as number;
			if (start < 0 || (head.index[at + 1] as number) - start !== 6 || head.bytes.latin1Slice(start, start + 6) !== "cookie") continue;
			values.push(head.valueAt(at));
			isNeverIndexed ||= head.isNeverIndexed(at / indexWords);
			head.removeAt(at);
		}
		const line = Buffer.from(`cookie${values.join("; ")}`, "latin1");
		writeLine(head, line, 0, 6, line, 6, line.length, isNeverIndexed, 0);
	}
}

function isAll(table: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
	for (let i = start; i < end; i++) if (table[bytes[i] as number] === 0) return false;
	return true;
}
