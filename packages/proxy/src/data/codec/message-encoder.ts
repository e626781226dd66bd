import type { RequestHead } from "./request-head.ts";
import type { ResponseHead } from "./response-head.ts";
import type { Connection } from "../transport/connection.ts";
import type { Output } from "../transport/output.ts";
import { statusLine } from "./status-lines.ts";

const chunkedLine = Buffer.from("transfer-encoding: chunked\r\n");
const lastChunk = "0\r\n\r\n";
/** What the lines below need beyond the head's own. */
const slack = 512;
const versionAndHost = Buffer.from(" HTTP/1.1\r\nhost: ");
/** How a name is written; undefined: in lower case. */
type Spell = ((name: string) => string) | undefined;
const crlf = Buffer.from("\r\n");

export type HeaderCase = "lower" | "proper" | "preserve";

/** `upgrade`: the protocol asked for; "" for none. Gives whether the body is to go in chunks. */
export function encodeRequestHead(output: Output, connection: Connection, head: RequestHead, upgrade: string, headerCase: HeaderCase): boolean {
	output.reserve(connection, head.encodedBytesMax + head.path.length + head.authority.length + upgrade.length + slack);
	if (head.isLineChanged) output.putText(`${head.method} ${cleanTarget(head.path)}`);
	else output.putBytes(head.bytes, 0, head.targetEnd);
	const spell = spellingOf(head, headerCase);
	if (spell === undefined) output.putBytes(versionAndHost, 0, versionAndHost.length);
	else output.putText(` HTTP/1.1\r\n${spell("host")}: `);
	if (head.isAuthorityChanged) output.putText(head.authority);
	else output.putBytes(head.bytes, head.hostStart, head.hostEnd);
	output.putBytes(crlf, 0, 2);
	encodeLines(output, head, spell);
	// A filter or the configuration may have taken away what was said of the length: a body without it would be the next request.
	const isChunked = head.isChunked || (head.contentLength > 0 && !head.has("content-length"));
	if (isChunked) putChunked(output, spell);
	else if (upgrade === "" && expectsLength(head.method) && !head.has("content-length")) putLine(output, spell, "content-length", "0");
	if (upgrade !== "") {
		putLine(output, spell, "connection", "upgrade");
		putLine(output, spell, "upgrade", upgrade);
	}
	output.putBytes(crlf, 0, 2);
	return isChunked;
}

/** RFC 9110 §8.6: a request of a method that gives a meaning to content says that it has none. */
function expectsLength(method: string): boolean {
	return method !== "GET" && method !== "HEAD" && method !== "DELETE" && method !== "CONNECT" && method !== "TRACE";
}

/** `version`: 10 for a client of HTTP/1.0, 11. `connectionValue`: of the connection header, "" for none. `isChunked`: how the body is framed towards the client. */
export function encodeResponseHead(
	output: Output,
	connection: Connection,
	head: ResponseHead,
	version: 10 | 11,
	isChunked: boolean,
	connectionValue: string,
	headerCase: HeaderCase,
): void {
	output.reserve(connection, head.encodedBytesMax + slack);
	const line = statusLine(head.status, version);
	output.putBytes(line, 0, line.length);
	const spell = spellingOf(head, headerCase);
	encodeLines(output, head, spell);
	if (isChunked) putChunked(output, spell);
	if (connectionValue !== "") putLine(output, spell, "connection", connectionValue);
	output.putBytes(crlf, 0, 2);
}

function encodeLines(output: Output, head: RequestHead | ResponseHead, spell: Spell): void {
	if (spell !== undefined) head.encodeSpelled(output, spell);
	// A head that we made has no lines of its own.
	else if (head.count > 0) head.encodeLines(output);
	else head.encodeAdded(output);
}

function putChunked(output: Output, spell: Spell): void {
	if (spell === undefined) output.putBytes(chunkedLine, 0, chunkedLine.length);
	else putLine(output, spell, "transfer-encoding", "chunked");
}

function putLine(output: Output, spell: Spell, name: string, value: string): void {
	output.putText(`${spell === undefined ? name : spell(name)}: ${value}\r\n`);
}

/** As in Envoy, a head that was kept as it came is written so, whatever the case of the connection that it leaves by. */
function spellingOf(head: RequestHead | ResponseHead, headerCase: HeaderCase): Spell {
	const spellings = head.spellings();
	if (spellings !== undefined) return (name) => spellings.get(name) ?? name;
	return headerCase === "proper" ? properCase : undefined;
}

function properCase(name: string): string {
	return name.replace(/(^|-)([a-z])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}

/** A rewrite may have put anything there; a target has no white space and no line end. */
export function cleanTarget(path: string): string {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for
	return /[\u0000-\u0020\u007f\u0100-\uffff]/.test(path) ? path.replace(/[\u0000-\u0020\u007f\u0100-\uffff]/g, (c) => encodeURIComponent(c)) : path;
}

export function encodeChunk(output: Output, connection: Connection, bytes: Buffer, start: number, end: number): void {
	output.reserve(connection, 20);
	output.putText(`${(end - start).toString(16)}\r\n`);
	output.sendBytes(connection, bytes, start, end);
	output.reserve(connection, 2);
	output.putBytes(crlf, 0, 2);
}

export function encodeLastChunk(output: Output, connection: Connection, trailers: readonly string[]): void {
	if (trailers.length === 0) {
		output.reserve(connection, lastChunk.length);
		output.putText(lastChunk);
		return;
	}
	let text = "0\r\n";
	for (let i = 0; i < trailers.length; i += 2) text += `${trailers[i]}: ${trailers[i + 1]}\r\n`;
	text += "\r\n";
	output.reserve(connection, text.length);
	output.putText(text);
}
