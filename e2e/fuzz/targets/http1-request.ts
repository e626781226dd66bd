import { defaultHeadLimits, type HeadError, type HeadLimits, parseRequestHead } from "../../../packages/proxy/src/data/codec/head-parser.ts";
import { stripRequest } from "../../../packages/proxy/src/data/codec/hop-by-hop.ts";
import { MessageDecoder } from "../../../packages/proxy/src/data/codec/message-decoder.ts";
import { encodeRequestHead } from "../../../packages/proxy/src/data/codec/message-encoder.ts";
import { RequestHead } from "../../../packages/proxy/src/data/codec/request-head.ts";
import { check, checkSame, deliver, deliveries } from "../invariants.ts";
import { encode } from "../output.ts";

/** Small, so that short inputs meet them. */
const limits: HeadLimits = { ...defaultHeadLimits, headBytesMax: 1024, headersMax: 12, acceptHttp10: true, allowCustomMethods: true };
/** Completes a head that has begun: one that cannot be read is refused at the latest here. */
const headEnd = Buffer.from("\r\n\r\n");

/**
 * However the bytes of a connection are cut, the same messages come out of them, and what is sent on for a head is read
 * by the next hop as what was decided about here (request smuggling begins where it is not).
 */
export function fuzz(data: Buffer): void {
	const whole = decode([Buffer.concat([data, headEnd])], true);
	for (const pieces of deliveries(data)) checkSame(decode([...pieces, headEnd], false), whole, `in ${pieces.length} pieces`);
}

function decode(pieces: readonly Buffer[], encodes: boolean): readonly string[] {
	const events: string[] = [];
	const head = new RequestHead();
	let body = "";
	const decoder: MessageDecoder = new MessageDecoder(
		{
			onHead() {
				events.push(describe(head));
				const { isChunked, contentLength } = head;
				if (encodes) checkEncoded(head);
				return { kind: isChunked ? "chunked" : contentLength > 0 ? "length" : "none", length: contentLength };
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
		(bytes, start, end) => parse(head, bytes, start, end),
		limits,
	);
	for (const piece of pieces) deliver(piece, (bytes, start, end) => decoder.feed(bytes, start, end));
	return [...events, body];
}

function parse(head: RequestHead, bytes: Buffer, start: number, end: number): number {
	head.clear();
	return parseRequestHead(head, bytes, start, end, limits);
}

function describe(head: RequestHead): string {
	const lines: string[] = [];
	head.forEach((name, value) => lines.push(`${name}: ${value}`));
	return [`${head.method} ${head.path} @${head.authority}`, `length ${head.contentLength}, chunked ${head.isChunked}`, ...lines].join("\n");
}

function checkEncoded(head: RequestHead): void {
	stripRequest(head);
	const sent = describe(head);
	const bytes = encode((output, connection) => encodeRequestHead(output, connection, head, "", "lower"));
	const next = new RequestHead();
	// What is added for the next hop must not be what it refuses the head for.
	const length = parseRequestHead(next, bytes, 0, bytes.length, { ...limits, headBytesMax: 2 * limits.headBytesMax, headersMax: limits.headersMax + 2 });
	check(length === bytes.length, `the head that is sent on is read as ${length} of ${bytes.length} bytes: ${JSON.stringify(bytes.latin1Slice())}`);
	next.remove("transfer-encoding");
	const isLengthAdded = head.contentLength < 0 && next.contentLength === 0;
	if (isLengthAdded) next.remove("content-length");
	if (isLengthAdded) next.contentLength = -1;
	checkSame(describe(next), sent, "the next hop reads another head");
}
