import { readText } from "../codec/bytes.ts";
import { isFieldName, isFieldValue, trimEnd, trimStart } from "./field-writer.ts";
import type { FieldSink } from "./hpack-decoder.ts";
import type { Malformed } from "./request-fields.ts";

/** Names that would change how the message is read (RFC 9110 §6.5.1); they are left out. */
const forbidden: ReadonlySet<string> = new Set(["content-length", "transfer-encoding", "host", "connection", "te", "trailer", "upgrade"]);

/** Collects the fields behind a message's body. */
export class TrailerFields implements FieldSink {
	/** Name, value, name, value … */
	readonly list: string[] = [];
	#listBytesMax = 0;
	#headersMax = 0;
	#listBytes = 0;
	failure: Malformed | undefined;

	begin(listBytesMax: number, headersMax: number): void {
		this.list.length = 0;
		this.#listBytesMax = listBytesMax;
		this.#headersMax = headersMax;
		this.#listBytes = 0;
		this.failure = undefined;
	}

	onField(nameBytes: Buffer, nameStart: number, nameEnd: number, valueBytes: Buffer, valueStart: number, valueEnd: number): void {
		this.#listBytes += nameEnd - nameStart + valueEnd - valueStart;
		if (this.failure !== undefined) return;
		if (this.#listBytes > this.#listBytesMax) this.failure = "http2.header_list_size_too_large";
		else if (this.list.length >= 2 * this.#headersMax) this.failure = "http2.too_many_headers";
		// RFC 9113 §8.1: no pseudo-header fields among them.
		else if (!isFieldName(nameBytes, nameStart, nameEnd) || !isFieldValue(valueBytes, valueStart, valueEnd)) this.failure = "http2.invalid.header.field";
		else
			this.#add(
				readText(nameBytes, nameStart, nameEnd),
				readText(valueBytes, trimStart(valueBytes, valueStart, valueEnd), trimEnd(valueBytes, valueStart, valueEnd)),
			);
	}

	#add(name: string, value: string): void {
		if (!forbidden.has(name)) this.list.push(name, value);
	}
}

/** For blocks that only keep the decoder in step with its peer. */
export const ignoredFields: FieldSink = { onField() {} };
