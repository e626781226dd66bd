import type { MessageDecoder } from "../codec/message-decoder.ts";

const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const bytesPerDecision = 4;

/** How a connection of an unknown protocol begins. */
export type Beginning =
	/** With HTTP/1: all of the bytes are for its decoder, those that were kept for it before included. */
	| { readonly protocol: "HTTP/1.1"; readonly bytes: Buffer; readonly start: number; readonly end: number }
	/** With HTTP/2's preface (RFC 9113 §3.4), or what was read of it. */
	| { readonly protocol: "HTTP/2"; readonly bytes: Buffer };

/** What a client's first bytes say; undefined: it takes more of them, and `decoder` keeps these. */
export function readBeginning(decoder: MessageDecoder, bytes: Buffer, start: number, end: number): Beginning | undefined {
	const kept = decoder.takeCarried();
	const first = kept === undefined ? bytes : Buffer.concat([kept, bytes.subarray(start, end)]);
	const from = kept === undefined ? start : 0;
	const stop = kept === undefined ? end : first.length;
	const length = Math.min(stop - from, bytesPerDecision);
	const isPreface = first.compare(preface, 0, length, from, from + length) === 0;
	if (!isPreface) return { protocol: "HTTP/1.1", bytes: first, start: from, end: stop };
	if (length === bytesPerDecision) return { protocol: "HTTP/2", bytes: Buffer.from(first.subarray(from, stop)) };
	decoder.keepRaw(first, from, stop);
	return undefined;
}
