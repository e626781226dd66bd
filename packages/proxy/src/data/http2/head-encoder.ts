import { type HeaderBlock, indexWords } from "../codec/header-block.ts";
import { known } from "../codec/known-names.ts";
import type { RequestHead } from "../codec/request-head.ts";
import type { ResponseHead } from "../codec/response-head.ts";
import { fieldBytesMax, type HpackEncoder } from "./hpack-encoder.ts";

const extraBytes = fieldBytesMax(0, 0);
const pseudoBytesMax = 6 * extraBytes + 64;
/** Indexes of the static table. */
const staticIndex = { authority: 1, method: 2, methodPost: 3, path: 4, pathRoot: 4, http: 6, https: 7, status: 8 } as const;
const statusIndex: Readonly<Record<number, number>> = { 200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14 };

/** What HTTP/1 says in fields and HTTP/2 does not (RFC 9113 §8.2.2). */
const leftOut =
	(1 << known.connection) |
	(1 << known["keep-alive"]) |
	(1 << known["proxy-connection"]) |
	(1 << known["transfer-encoding"]) |
	(1 << known.upgrade) |
	(1 << known["http2-settings"]) |
	(1 << known.host);

/** Upper bound of what `encodeRequest` writes. */
export function requestBytesMax(head: RequestHead, upgrade: string): number {
	return linesBytesMax(head) + head.method.length + head.path.length + head.authority.length + upgrade.length + pseudoBytesMax;
}

export function responseBytesMax(head: ResponseHead): number {
	return linesBytesMax(head) + pseudoBytesMax;
}

function linesBytesMax(head: HeaderBlock): number {
	return head.encodedBytesMax + (head.count + head.addedCount / 2) * extraBytes;
}

/** `upgrade`: as in `UpstreamExchange.sendHead`. */
export function encodeRequest(encoder: HpackEncoder, bytes: Buffer, start: number, head: RequestHead, upgrade: string): number {
	let at = encoder.beginBlock(bytes, start);
	const isTunnel = upgrade !== "";
	at = isTunnel ? encoder.putStaticText(bytes, at, staticIndex.method, "CONNECT") : putMethod(encoder, bytes, at, head);
	if (head.isAuthorityChanged) at = encoder.putStaticText(bytes, at, staticIndex.authority, head.authority);
	else at = encoder.putStaticName(bytes, at, staticIndex.authority, head.bytes, head.hostStart, head.hostEnd);
	if (upgrade !== "connect") {
		at = encoder.putStatic(bytes, at, head.scheme === "https" ? staticIndex.https : staticIndex.http);
		if (head.isLineChanged) at = encoder.putStaticText(bytes, at, staticIndex.path, head.path);
		else at = encoder.putStaticName(bytes, at, staticIndex.path, head.bytes, head.targetStart, head.targetEnd);
		if (isTunnel) at = encoder.putPair(bytes, at, ":protocol", upgrade);
	}
	return encodeLines(encoder, bytes, at, head);
}

function putMethod(encoder: HpackEncoder, bytes: Buffer, at: number, head: RequestHead): number {
	if (head.method === "GET") return encoder.putStatic(bytes, at, staticIndex.method);
	if (head.method === "POST") return encoder.putStatic(bytes, at, staticIndex.methodPost);
	return encoder.putStaticText(bytes, at, staticIndex.method, head.method);
}

export function encodeResponse(encoder: HpackEncoder, bytes: Buffer, start: number, head: ResponseHead): number {
	let at = encoder.beginBlock(bytes, start);
	const index = statusIndex[head.status];
	at = index === undefined ? encoder.putStaticText(bytes, at, staticIndex.status, String(head.status)) : encoder.putStatic(bytes, at, index);
	return encodeLines(encoder, bytes, at, head);
}

function encodeLines(encoder: HpackEncoder, bytes: Buffer, start: number, head: HeaderBlock): number {
	let at = start;
	const { index } = head;
	const isMixed = (head.present & leftOut) !== 0;
	for (let word = 0, i = 0, end = head.count * indexWords; word < end; word += indexWords, i++) {
		if ((index[word] as number) < 0) continue;
		const id = index[word + 5] as number;
		if (isMixed && id !== 0 && (leftOut & (1 << id)) !== 0) continue;
		at = encoder.putLine(bytes, at, head, word, head.isNeverIndexed(i));
	}
	return encodePairs(encoder, bytes, at, head.added, head.addedCount);
}

/** `pairs`: name, value, name, value … */
function encodePairs(encoder: HpackEncoder, bytes: Buffer, start: number, pairs: readonly string[], count: number): number {
	let at = start;
	for (let i = 0; i < count; i += 2) at = encoder.putPair(bytes, at, pairs[i] as string, pairs[i + 1] as string);
	return at;
}

export function trailersBytesMax(trailers: readonly string[]): number {
	let count = 2 * extraBytes;
	for (const text of trailers) count += text.length + extraBytes;
	return count;
}

export function encodeTrailers(encoder: HpackEncoder, bytes: Buffer, start: number, trailers: readonly string[]): number {
	return encodePairs(encoder, bytes, encoder.beginBlock(bytes, start), trailers, trailers.length);
}
