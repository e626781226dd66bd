import type { ResponseHead } from "../codec/response-head.ts";
import { endLines, hasConnectionField, isFieldName, isFieldValue, readContentLength, writeLine } from "./field-writer.ts";
import type { FieldSink } from "./hpack-decoder.ts";
import type { Malformed } from "./request-fields.ts";

/** `:status` counts among the headers. */
const statusFields = 1;

/** Decodes the fields of a response into a head laid out as HTTP/1 has it. */
export class ResponseFields implements FieldSink {
	#head!: ResponseHead;
	#listBytesMax = 0;
	#headersMax = 0;
	#listBytes = 0;
	#failure: Malformed | undefined;

	begin(head: ResponseHead, decoderId: number, listBytesMax: number, headersMax: number): void {
		this.#head = head;
		this.#listBytesMax = listBytesMax;
		this.#headersMax = headersMax;
		this.#listBytes = 0;
		this.#failure = undefined;
		head.clear();
		head.version = 20;
		head.decoderId = decoderId;
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
		if (this.#listBytes > this.#listBytesMax) this.#failure = "http2.header_list_size_too_large";
		else if (nameBytes[nameStart] === 58) this.#onPseudo(nameBytes, nameStart, nameEnd, valueBytes, valueStart, valueEnd);
		else if (!isFieldName(nameBytes, nameStart, nameEnd) || !isFieldValue(valueBytes, valueStart, valueEnd)) this.#failure = "http2.invalid.header.field";
		else if (this.#head.count + statusFields >= this.#headersMax) this.#failure = "http2.too_many_headers";
		else writeLine(this.#head, nameBytes, nameStart, nameEnd, valueBytes, valueStart, valueEnd, isNeverIndexed, entry);
	}

	/** RFC 9113 §8.3.2: `:status`, once, first, of three digits. */
	#onPseudo(nameBytes: Buffer, nameStart: number, nameEnd: number, bytes: Buffer, start: number, end: number): void {
		const head = this.#head;
		const isStatus = nameEnd - nameStart === 7 && nameBytes.latin1Slice(nameStart, nameEnd) === ":status";
		if (!isStatus || head.status !== 0 || head.count > 0 || end - start !== 3) {
			this.#failure = "http2.violation.of.messaging.rule";
			return;
		}
		for (let i = start; i < end; i++) {
			const digit = (bytes[i] as number) - 48;
			if (digit < 0 || digit > 9) this.#failure = "http2.violation.of.messaging.rule";
			head.status = head.status * 10 + digit;
		}
	}

	/** The block is over. undefined: the head can be used. */
	finish(): Malformed | undefined {
		if (this.#failure !== undefined) return this.#failure;
		const head = this.#head;
		// RFC 9113 §8.6: there is no 101 here.
		if (head.status < 100 || head.status === 101 || hasConnectionField(head)) return "http2.violation.of.messaging.rule";
		head.contentLength = readContentLength(head);
		if (head.contentLength === -2) return "http2.violation.of.messaging.rule";
		endLines(head);
		return undefined;
	}
}
