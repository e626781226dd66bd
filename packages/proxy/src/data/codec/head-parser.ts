import { COLON, CR, hashBytes, isTargetByte, isTokenByte, isValueByte, LF, lowerTokenByte, SP, TAB } from "./bytes.ts";
import { envoyHeaderBit, type HeaderBlock, indexWords } from "./header-block.ts";
import { known, lookupKnown } from "./known-names.ts";
import type { RequestHead } from "./request-head.ts";
import type { ResponseHead } from "./response-head.ts";

/**
 * Heads by bytes, RFC 9112, strict wherever two parsers could disagree about where a message ends: bare CR or LF,
 * folded lines, white space around names, two lengths, a length beside chunks, NUL and other controls are refused.
 * Names are turned to lower case in place. The parsers read the whole head or nothing.
 */

/** Not all there yet. */
export const incomplete = 0;

export interface HeadError {
	readonly status: 400 | 426 | 431 | 500 | 501;
	/** Envoy's response code detail. */
	readonly details: string;
}

export interface HeadLimits {
	readonly headBytesMax: number;
	readonly headersMax: number;
	readonly acceptHttp10: boolean;
	/** `GET http://host/path`: the target's host counts, not the header's. */
	readonly allowAbsoluteUrl: boolean;
	/** Methods that no RFC names. */
	readonly allowCustomMethods: boolean;
	/** Keep the names as they came, for `preserve` header case. */
	readonly keepOriginal: boolean;
}

export const defaultHeadLimits: HeadLimits = {
	headBytesMax: 60 * 1024,
	headersMax: 100,
	acceptHttp10: false,
	allowAbsoluteUrl: true,
	allowCustomMethods: false,
	keepOriginal: false,
};

export const codecError: HeadError = { status: 400, details: "http1.codec_error" };
const invalidCharacters: HeadError = { status: 400, details: "http1.invalid_characters" };
const invalidUrl: HeadError = { status: 400, details: "http1.invalid_url" };
const invalidScheme: HeadError = { status: 400, details: "http1.invalid_scheme" };
const contentLengthNotAllowed: HeadError = { status: 400, details: "http1.content_length_and_chunked_not_allowed" };
const invalidTransferEncoding: HeadError = { status: 501, details: "http1.invalid_transfer_encoding" };
export const headersTooLarge: HeadError = { status: 431, details: "http1.headers_too_large" };
export const tooManyHeaders: HeadError = { status: 431, details: "http1.too_many_headers" };
const lowVersion: HeadError = { status: 426, details: "low_version" };
const ambiguousHost: HeadError = { status: 400, details: "http1.ambiguous_host" };

/** Where the last parse stopped being valid; one parser runs at a time. */
const failure: { error: HeadError } = { error: codecError };

export function headError(): HeadError {
	return failure.error;
}

/** Any negative result: see `headError`. */
const refused = -1;

function refuse(error: HeadError): number {
	failure.error = error;
	return refused;
}

/** The length of the head at `start`, `incomplete`, or negative. `head` must be clear. */
export function parseRequestHead(head: RequestHead, bytes: Buffer, start: number, end: number, limits: HeadLimits): number {
	if (limits.keepOriginal) head.original = Buffer.from(bytes.subarray(start, Math.min(end, start + limits.headBytesMax)));
	const stop = Math.min(end, start + limits.headBytesMax);
	const lines = parseRequestLine(head, bytes, start, stop);
	if (lines <= 0) return lines === incomplete ? outOfBytes(stop, end) : refused;
	const after = parseLines(head, bytes, start, lines, stop, limits.headersMax);
	if (after <= 0) return after === incomplete ? outOfBytes(stop, end) : refused;
	head.linesStart = lines - start;
	head.adopt(bytes, start, after);
	return checkRequest(head, limits) ? after - start : refused;
}

function outOfBytes(stop: number, end: number): number {
	return stop < end ? refuse(headersTooLarge) : incomplete;
}

function parseRequestLine(head: RequestHead, bytes: Buffer, start: number, end: number): number {
	let at = start;
	while (at < end && isTokenByte[bytes[at] as number] === 1) at++;
	if (at === end) return incomplete;
	if (at === start || bytes[at] !== SP) return refuse(codecError);
	head.methodEnd = at - start;
	const targetStart = ++at;
	while (at < end && isHttp1TargetByte[bytes[at] as number] === 1) at++;
	if (at === end) return incomplete;
	if (at === targetStart || bytes[at] !== SP) return refuse(codecError);
	head.targetStart = targetStart - start;
	head.targetEnd = at - start;
	return parseVersion(head, bytes, at + 1, end, true);
}

/** `HTTP/1.x`, then CRLF when `isLineEnd`; gives the position after it. Clients of another version are told which one is spoken. */
function parseVersion(head: { version: number }, bytes: Buffer, start: number, end: number, isLineEnd: boolean): number {
	const have = Math.min(end - start, 5);
	for (let i = 0; i < have; i++) if (bytes[start + i] !== "HTTP/".charCodeAt(i)) return refuse(codecError);
	if (end - start < 8) return incomplete;
	const major = (bytes[start + 5] as number) - 48;
	const minor = (bytes[start + 7] as number) - 48;
	if (major < 0 || major > 9 || minor < 0 || minor > 9 || bytes[start + 6] !== 46) return refuse(codecError);
	if (major !== 1 || minor > 1) return refuse(isLineEnd ? lowVersion : codecError);
	head.version = 10 + minor;
	if (!isLineEnd) return start + 8;
	if (end - start > 8 && bytes[start + 8] !== CR) return refuse(codecError);
	if (end - start > 9 && bytes[start + 9] !== LF) return refuse(codecError);
	return end - start < 10 ? incomplete : start + 10;
}

/** The position after the empty line. */
function parseLines(head: HeaderBlock, bytes: Buffer, start: number, from: number, end: number, headersMax: number): number {
	let at = from;
	for (;;) {
		if (at >= end) return incomplete;
		if (bytes[at] === CR) {
			if (at + 1 >= end) return incomplete;
			return bytes[at + 1] === LF ? at + 2 : refuse(codecError);
		}
		if (head.count >= headersMax) return refuse(tooManyHeaders);
		at = parseLine(head, bytes, start, at, end);
		if (at <= 0) return at;
	}
}

function parseLine(head: HeaderBlock, bytes: Buffer, start: number, from: number, end: number): number {
	let at = from;
	while (at < end) {
		const byte = bytes[at] as number;
		const lower = lowerTokenByte[byte] as number;
		if (lower === 0) break;
		if (lower !== byte) bytes[at] = lower;
		at++;
	}
	if (at === end) return incomplete;
	if (at === from || bytes[at] !== COLON) return refuse(codecError);
	const nameEnd = at++;
	while (at < end && (bytes[at] === SP || bytes[at] === TAB)) at++;
	const valueStart = at;
	while (at < end) {
		const byte = bytes[at] as number;
		if (byte < 32 ? byte !== TAB : byte === 127) break;
		at++;
	}
	if (at + 1 >= end) return at === end || bytes[at] === CR ? incomplete : refuse(invalidCharacters);
	if (bytes[at] !== CR || bytes[at + 1] !== LF) return refuse(invalidCharacters);
	let valueEnd = at;
	while (valueEnd > valueStart && (bytes[valueEnd - 1] === SP || bytes[valueEnd - 1] === TAB)) valueEnd--;
	const hash = hashBytes(bytes, from, nameEnd);
	const id = lookupKnown(bytes, from, nameEnd, hash);
	if (head.index.length < (head.count + 1) * indexWords) head.growIndex();
	const { index } = head;
	const word = head.count++ * indexWords;
	index[word] = from - start;
	index[word + 1] = nameEnd - start;
	index[word + 2] = valueStart - start;
	index[word + 3] = valueEnd - start;
	index[word + 4] = hash;
	index[word + 5] = id;
	index[word + 6] = 0;
	if (id !== 0) head.present |= 1 << id;
	else if (nameEnd - from > 8 && bytes[from] === 120 && bytes[from + 2] === 101 && bytes[from + 7] === 45) head.present |= envoyHeaderBit;
	return at + 2;
}

function checkRequest(head: RequestHead, limits: HeadLimits): boolean {
	const { method } = head;
	if (method !== "GET" && method !== "POST" && !limits.allowCustomMethods && !methods.has(method)) return fail(codecError);
	if (head.version === 10 && !limits.acceptHttp10) return fail(lowVersion);
	return checkTarget(head, limits.allowAbsoluteUrl) && checkHost(head) && checkLength(head) && checkEncoding(head, head.version) && checkConnect(head);
}

/** RFC 9110 §9.3.6: content of CONNECT means nothing, so some would read it as the tunnel's first bytes. */
function checkConnect(head: RequestHead): boolean {
	const hasContent = head.isChunked || head.contentLength > 0;
	return hasContent && head.method === "CONNECT" ? fail(codecError) : true;
}

function fail(error: HeadError): false {
	failure.error = error;
	return false;
}

/** Origin form, absolute form, `*` for OPTIONS, authority form for CONNECT (RFC 9112 §3.2). */
function checkTarget(head: RequestHead, allowAbsoluteUrl: boolean): boolean {
	const { bytes, targetStart, targetEnd } = head;
	if (bytes[targetStart] === 47) return true;
	const { method } = head;
	const target = bytes.latin1Slice(targetStart, targetEnd);
	if (method === "CONNECT") return adoptAuthority(head, target);
	if (target === "*") return method === "OPTIONS" ? true : fail(invalidUrl);
	// What does not start with a slash then is answered by the connection manager (404), as Envoy does.
	if (!allowAbsoluteUrl) return true;
	const absolute = /^([a-z][a-z0-9+.-]*):\/\/([^/?#@]+)([/?].*)?$/i.exec(target);
	if (absolute === null) return fail(target.includes("://") ? invalidUrl : codecError);
	head.scheme = (absolute[1] as string).toLowerCase();
	if (head.scheme !== "http" && head.scheme !== "https") return fail(invalidScheme);
	if (absolute[2]?.endsWith(":") === true) return fail(invalidUrl);
	const rest = absolute[3] ?? "/";
	head.path = rest.startsWith("/") ? rest : `/${rest}`;
	return adoptAuthority(head, absolute[2] as string);
}

/** What the target says of the host counts, and `Host` is ignored (RFC 9112 §3.2.2): upstream sees the one that was routed by. */
function adoptAuthority(head: RequestHead, authority: string): boolean {
	if (!isHostValue(authority)) return fail(invalidUrl);
	head.isAbsolute = true;
	head.authority = authority;
	return true;
}

/** RFC 9112 §3.2: exactly one. */
function checkHost(head: RequestHead): boolean {
	const at = head.findKnown(known.host);
	if (at < 0) return true;
	const start = head.index[at + 2] as number;
	const end = head.index[at + 3] as number;
	for (let i = start; i < end; i++) if (isHostByte[head.bytes[i] as number] !== 1) return fail(ambiguousHost);
	head.hostStart = start;
	head.hostEnd = end;
	head.removeAt(at);
	if (head.findKnown(known.host) >= 0) return fail(ambiguousHost);
	return true;
}

/** RFC 3986 knows ASCII only. */
const isHttp1TargetByte = isTargetByte.map((is, byte) => (byte < 128 ? is : 0));

/** What an HTTP/1 client may ask for by default, as in Envoy: the methods of the RFCs up to WebDAV's and UPnP's. */
const methods: ReadonlySet<string> = new Set(
	(
		"ACL BIND CHECKOUT CONNECT COPY DELETE GET HEAD LINK LOCK MERGE MKACTIVITY MKCALENDAR MKCOL MOVE MSEARCH NOTIFY OPTIONS PATCH POST " +
		"PROPFIND PROPPATCH PURGE PUT QUERY REBIND REPORT SEARCH SOURCE SUBSCRIBE TRACE UNBIND UNLINK UNLOCK UNSUBSCRIBE"
	).split(" "),
);

const isHostByte = new Uint8Array(256);
for (const char of "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~%!$&'()*+;=:[]|") isHostByte[char.charCodeAt(0)] = 1;

function isHostValue(value: string): boolean {
	for (let i = 0; i < value.length; i++) if (isHostByte[value.charCodeAt(i)] !== 1) return false;
	return true;
}

interface Framed extends HeaderBlock {
	contentLength: number;
	isChunked: boolean;
}

const lengthDigitsMax = 15;

function checkLength(head: Framed): boolean {
	const at = head.findKnown(known["content-length"]);
	if (at < 0) return true;
	const start = head.index[at + 2] as number;
	const end = head.index[at + 3] as number;
	if (end === start || end - start > lengthDigitsMax) return fail(codecError);
	let length = 0;
	for (let i = start; i < end; i++) {
		const digit = (head.bytes[i] as number) - 48;
		if (digit < 0 || digit > 9) return fail(codecError);
		length = length * 10 + digit;
	}
	for (let other = at + indexWords; other < head.count * indexWords; other += indexWords) {
		if (head.index[other + 5] === known["content-length"]) return fail(codecError);
	}
	head.contentLength = length;
	return true;
}

/** Only `chunked`, once, alone, and only in HTTP/1.1. */
function checkEncoding(head: Framed, version: number): boolean {
	const value = head.getKnown(known["transfer-encoding"]);
	if (value === undefined) return true;
	if (version === 10) return fail(codecError);
	if (head.contentLength >= 0) return fail(contentLengthNotAllowed);
	if (value.toLowerCase() !== "chunked" || countKnown(head, known["transfer-encoding"]) > 1) return fail(invalidTransferEncoding);
	head.isChunked = true;
	return true;
}

function countKnown(head: HeaderBlock, id: number): number {
	let count = 0;
	for (let at = 0; at < head.count * indexWords; at += indexWords) if (head.index[at + 5] === id) count++;
	return count;
}

/** As `parseRequestHead`, for what an upstream answers. */
export function parseResponseHead(head: ResponseHead, bytes: Buffer, start: number, end: number, limits: HeadLimits): number {
	if (limits.keepOriginal) head.original = Buffer.from(bytes.subarray(start, Math.min(end, start + limits.headBytesMax)));
	const stop = Math.min(end, start + limits.headBytesMax);
	const lines = parseStatusLine(head, bytes, start, stop);
	if (lines <= 0) return lines === incomplete ? outOfBytes(stop, end) : refused;
	const after = parseLines(head, bytes, start, lines, stop, limits.headersMax);
	if (after <= 0) return after === incomplete ? outOfBytes(stop, end) : refused;
	head.linesStart = lines - start;
	head.adopt(bytes, start, after);
	return checkResponse(head) ? after - start : refused;
}

function parseStatusLine(head: ResponseHead, bytes: Buffer, start: number, end: number): number {
	let at = parseVersion(head, bytes, start, end, false);
	if (at <= 0) return at;
	if (at + 4 > end) return incomplete;
	if (bytes[at] !== SP) return refuse(codecError);
	let status = 0;
	for (let i = 1; i <= 3; i++) {
		const digit = (bytes[at + i] as number) - 48;
		if (digit < 0 || digit > 9) return refuse(codecError);
		status = status * 10 + digit;
	}
	if (status < 100) return refuse(codecError);
	head.status = status;
	at += 4;
	if (at < end && bytes[at] === SP) at++;
	else if (at < end && bytes[at] !== CR) return refuse(codecError);
	head.reasonStart = at - start;
	while (at < end && isValueByte[bytes[at] as number] === 1) at++;
	head.reasonEnd = at - start;
	if (at + 1 >= end) return at === end || bytes[at] === CR ? incomplete : refuse(codecError);
	return bytes[at] === CR && bytes[at + 1] === LF ? at + 2 : refuse(codecError);
}

function checkResponse(head: ResponseHead): boolean {
	if (!checkLength(head) || !checkEncoding(head, head.version)) return false;
	if (!head.hasKnown(known.connection)) head.isClose = head.version === 10;
	else if (head.getKnown(known.connection) === "keep-alive" && countKnown(head, known.connection) === 1) head.isClose = false;
	else {
		const connection = head.get("connection") ?? "";
		head.isClose = hasToken(connection, "close") || (head.version === 10 && !hasToken(connection, "keep-alive"));
	}
	return true;
}

/** Whether the comma list names `token` (lower case). */
export function hasToken(list: string, token: string): boolean {
	if (list.length === token.length) return list === token || list.toLowerCase() === token;
	// A list may be as long as a head: no array of its parts.
	for (let start = 0, end = 0; start <= list.length; start = end + 1) {
		end = list.indexOf(",", start);
		if (end < 0) end = list.length;
		if (end - start >= token.length && list.slice(start, end).trim().toLowerCase() === token) return true;
	}
	return false;
}
