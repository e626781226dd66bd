import { defaultHeadLimits, type HeadLimits, parseRequestHead } from "../../../packages/proxy/src/data/codec/head-parser.ts";
import { stripRequest } from "../../../packages/proxy/src/data/codec/hop-by-hop.ts";
import { encodeRequestHead } from "../../../packages/proxy/src/data/codec/message-encoder.ts";
import { RequestHead } from "../../../packages/proxy/src/data/codec/request-head.ts";
import { check, checkSame } from "../invariants.ts";
import { checkDeliveries } from "../messages.ts";
import { encode } from "../output.ts";

/** Small, so that short inputs meet them. */
const limits: HeadLimits = { ...defaultHeadLimits, headBytesMax: 1024, headersMax: 12, acceptHttp10: true, allowCustomMethods: true };

/**
 * However the bytes of a connection are cut, the same messages come out of them, and what is sent on for a head is read
 * by the next hop as what was decided about here (request smuggling begins where it is not).
 */
export function fuzz(data: Buffer): void {
	checkDeliveries(data, (isWhole) => {
		const head = new RequestHead();
		return {
			limits,
			onHead(say) {
				say(describe(head));
				const { isChunked, contentLength } = head;
				if (isWhole) checkEncoded(head);
				return { kind: isChunked ? "chunked" : contentLength > 0 ? "length" : "none", length: contentLength };
			},
			parse(bytes, start, end) {
				head.clear();
				return parseRequestHead(head, bytes, start, end, limits);
			},
		};
	});
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
