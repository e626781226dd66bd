export type HttpVerdict = "incomplete" | "http/1.0" | "http/1.1" | "h2c" | "none";

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const requestLineBytesMax = 8 * 1024;

/** What the first bytes of a plain connection speak: HTTP/2 by its preface, HTTP/1 by a request line, else nothing we know. */
export function inspectHttp(bytes: Buffer): HttpVerdict {
	const head = bytes.latin1Slice(0, Math.min(bytes.length, requestLineBytesMax));
	if (preface.startsWith(head.slice(0, preface.length))) return head.length >= preface.length ? "h2c" : "incomplete";
	const end = head.indexOf("\r\n");
	const line = end < 0 ? head : head.slice(0, end);
	// A method is a token; anything else in its place settles the question early (most TCP protocols).
	if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,64}(?: |$)/.test(line)) return "none";
	if (end < 0) return head.length >= requestLineBytesMax ? "none" : "incomplete";
	if (/^\S+ \S+ HTTP\/1\.1$/.test(line)) return "http/1.1";
	return /^\S+ \S+ HTTP\/1\.0$/.test(line) ? "http/1.0" : "none";
}
