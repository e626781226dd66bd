import { defaultHeadLimits, type HeadLimits, parseResponseHead } from "../../../packages/proxy/src/data/codec/head-parser.ts";
import { stripResponse } from "../../../packages/proxy/src/data/codec/hop-by-hop.ts";
import { encodeResponseHead } from "../../../packages/proxy/src/data/codec/message-encoder.ts";
import { ResponseHead } from "../../../packages/proxy/src/data/codec/response-head.ts";
import { check, checkSame } from "../invariants.ts";
import { checkDeliveries } from "../messages.ts";
import { encode } from "../output.ts";

/** Small, so that short inputs meet them. */
const limits: HeadLimits = { ...defaultHeadLimits, headBytesMax: 1024, headersMax: 12 };

/** As for requests: cut anywhere, the same answers; and the client reads what the upstream said. */
export function fuzz(data: Buffer): void {
	checkDeliveries(data, (isWhole) => {
		const head = new ResponseHead();
		return {
			limits,
			onHead(say) {
				say(`${describe(head)}\nclose ${head.isClose}`);
				const { status, isChunked, contentLength } = head;
				if (isWhole) checkEncoded(head);
				if (status < 200) return "interim";
				if (status === 204 || status === 304 || (!isChunked && contentLength === 0)) return { kind: "none", length: 0 };
				return { kind: isChunked ? "chunked" : contentLength > 0 ? "length" : "untilClose", length: contentLength };
			},
			parse(bytes, start, end) {
				head.clear();
				return parseResponseHead(head, bytes, start, end, limits);
			},
			finish: (decoder) => decoder.finish(),
		};
	});
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
