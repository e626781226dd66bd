import { defaultHeadLimits, type HeadError, type HeadLimits, parseResponseHead } from "../../../packages/proxy/src/data/codec/head-parser.ts";
import { stripResponse } from "../../../packages/proxy/src/data/codec/hop-by-hop.ts";
import { MessageDecoder } from "../../../packages/proxy/src/data/codec/message-decoder.ts";
import { encodeResponseHead } from "../../../packages/proxy/src/data/codec/message-encoder.ts";
import { ResponseHead } from "../../../packages/proxy/src/data/codec/response-head.ts";
import { check, checkSame, deliver, deliveries } from "../invariants.ts";
import { encode } from "../output.ts";

/** Small, so that short inputs meet them. */
const limits: HeadLimits = { ...defaultHeadLimits, headBytesMax: 1024, headersMax: 12 };
const headEnd = Buffer.from("\r\n\r\n");

/** As for requests: cut anywhere, the same answers; and the client reads what the upstream said. */
export function fuzz(data: Buffer): void {
	const whole = decode([Buffer.concat([data, headEnd])], true);
	for (const pieces of deliveries(data)) checkSame(decode([...pieces, headEnd], false), whole, `in ${pieces.length} pieces`);
}

function decode(pieces: readonly Buffer[], encodes: boolean): readonly unknown[] {
	const events: string[] = [];
	const head = new ResponseHead();
	let body = "";
	const decoder: MessageDecoder = new MessageDecoder(
		{
			onHead() {
				events.push(`${describe(head)}\nclose ${head.isClose}`);
				const { status, isChunked, contentLength } = head;
				if (encodes) checkEncoded(head);
				if (status < 200) return "interim";
				if (status === 204 || status === 304 || (!isChunked && contentLength === 0)) return { kind: "none", length: 0 };
				return { kind: isChunked ? "chunked" : contentLength > 0 ? "length" : "untilClose", length: contentLength };
			},
			onBody: (bytes, start, end) => (body += bytes.latin1Slice(start, end)),
			onTrailer: (name, value) => events.push(`trailer ${name}: ${value}`),
			onMessageEnd() {
				events.push(`end ${body}`);
				body = "";
				decoder.release();
			},
			onMalformed: ({ status, details }: HeadError) => events.push(`malformed ${status} ${details}`),
		},
		(bytes, start, end) => {
			head.clear();
			return parseResponseHead(head, bytes, start, end, limits);
		},
		limits,
	);
	for (const piece of pieces) deliver(piece, (bytes, start, end) => decoder.feed(bytes, start, end));
	return [...events, body, decoder.finish()];
}

function describe(head: ResponseHead): string {
	const lines: string[] = [];
	head.forEach((name, value) => lines.push(`${name}: ${value}`));
	return [`${head.status}`, `length ${head.contentLength}, chunked ${head.isChunked}`, ...lines].join("\n");
}

function checkEncoded(head: ResponseHead): void {
	stripResponse(head);
	const sent = describe(head);
	const bytes = encode((output, connection) => encodeResponseHead(output, connection, head, 11, head.isChunked, "", "lower"));
	const next = new ResponseHead();
	const length = parseResponseHead(next, bytes, 0, bytes.length, { ...limits, headBytesMax: 2 * limits.headBytesMax, headersMax: limits.headersMax + 1 });
	check(length === bytes.length, `the head that is sent on is read as ${length} of ${bytes.length} bytes: ${JSON.stringify(bytes.latin1Slice())}`);
	next.remove("transfer-encoding");
	checkSame(describe(next), sent, "the client reads another head");
}
