/** A request as it arrived at the upstream. */
export interface SeenRequest {
	readonly method: string;
	readonly target: string;
	/** In wire order, names as they came. */
	readonly headers: readonly (readonly [name: string, value: string])[];
	readonly body: string;
	readonly trailers: readonly (readonly [name: string, value: string])[];
}

export type ReadRequest =
	| { readonly kind: "request"; readonly request: SeenRequest; readonly length: number }
	/** `head`: the request without its body, once the head is complete. */
	| { readonly kind: "partial"; readonly head: SeenRequest | undefined }
	| { readonly kind: "violation"; readonly why: string };

export function headerOf(request: SeenRequest, name: string): string | undefined {
	const values = request.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
	return values.length === 0 ? undefined : values.join(",");
}

const headBytesMax = 512 * 1024;
const requestLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+) ([\x21-\x7e\x80-\xff]+) HTTP\/1\.1$/;
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*$/;

const violation = (why: string): ReadRequest => ({ kind: "violation", why });

/** One request from the start of `bytes`, by the narrowest reading of RFC 9112: where others are lenient, this one objects. */
export function readRequest(bytes: Buffer): ReadRequest {
	const end = bytes.indexOf("\r\n\r\n");
	if (end < 0) return bytes.length > headBytesMax ? violation("endless head") : { kind: "partial", head: undefined };
	const text = bytes.toString("latin1", 0, end);
	const [first = "", ...lines] = text.split("\r\n");
	const line = requestLine.exec(first);
	if (line === null) return violation(`request line ${JSON.stringify(first.slice(0, 200))}`);
	const headers: [string, string][] = [];
	for (const one of lines) {
		const match = headerLine.exec(one);
		if (match === null) return violation(`header line ${JSON.stringify(one.slice(0, 200))}`);
		headers.push([match[1] as string, match[2] as string]);
	}
	const head: SeenRequest = { method: line[1] as string, target: line[2] as string, headers, body: "", trailers: [] };
	const objection = checkFraming(head);
	if (objection !== undefined) return violation(`${objection} in ${JSON.stringify(text.slice(0, 400))}`);
	return readBody(bytes, end + 4, head);
}

function checkFraming(head: SeenRequest): string | undefined {
	const values = (name: string) => head.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);
	const [lengths, encodings, hosts] = [values("content-length"), values("transfer-encoding"), values("host")];
	if (hosts.length !== 1) return `${hosts.length} hosts`;
	if (lengths.length + encodings.length > 1) return "more than one framing header";
	if (lengths[0] !== undefined && !/^[0-9]{1,15}$/.test(lengths[0])) return "odd content-length";
	if (encodings[0] !== undefined && encodings[0] !== "chunked") return "odd transfer-encoding";
	const { method, target } = head;
	if (method === "CONNECT") return /^[a-z0-9.-]+:\d+$/.test(target) ? undefined : "odd target of CONNECT";
	if (target.includes("#")) return "fragment in the target";
	return target.startsWith("/") || (target === "*" && method === "OPTIONS") ? undefined : "target that is not in origin form";
}

function readBody(bytes: Buffer, start: number, head: SeenRequest): ReadRequest {
	if (headerOf(head, "transfer-encoding") !== undefined) return readChunks(bytes, start, head);
	const end = start + Number(headerOf(head, "content-length") ?? "0");
	if (bytes.length < end) return { kind: "partial", head };
	return { kind: "request", request: { ...head, body: bytes.toString("latin1", start, end) }, length: end };
}

function readChunks(bytes: Buffer, start: number, head: SeenRequest): ReadRequest {
	let body = "";
	for (let at = start; ; ) {
		const lineEnd = bytes.indexOf("\r\n", at);
		if (lineEnd < 0) return bytes.length - at > 1024 ? violation("endless chunk size line") : { kind: "partial", head };
		const line = bytes.toString("latin1", at, lineEnd);
		if (!/^[0-9a-f]{1,13}$/i.test(line)) return violation(`chunk size line ${JSON.stringify(line.slice(0, 100))}`);
		const size = Number.parseInt(line, 16);
		const dataEnd = lineEnd + 2 + size;
		if (bytes.length < dataEnd + 2) return { kind: "partial", head };
		if (size === 0) return readTrailers(bytes, lineEnd + 2, { ...head, body });
		if (bytes.toString("latin1", dataEnd, dataEnd + 2) !== "\r\n") return violation("chunk without its line end");
		body += bytes.toString("latin1", lineEnd + 2, dataEnd);
		at = dataEnd + 2;
	}
}

/** What decides about framing, routing or the connection has no place behind the body (RFC 9110 §6.5.1). */
const forbiddenTrailers = /^(?:content-length|transfer-encoding|host|connection|trailer|te|upgrade)$/i;

function readTrailers(bytes: Buffer, start: number, request: SeenRequest): ReadRequest {
	const trailers: [string, string][] = [];
	for (let at = start; ; ) {
		const end = bytes.indexOf("\r\n", at);
		if (end < 0) return { kind: "partial", head: request };
		const line = bytes.toString("latin1", at, end);
		if (line === "") return { kind: "request", request: { ...request, trailers }, length: end + 2 };
		const match = headerLine.exec(line);
		if (match === null || forbiddenTrailers.test(match[1] as string)) return violation(`trailer ${JSON.stringify(line.slice(0, 200))}`);
		trailers.push([match[1] as string, match[2] as string]);
		at = end + 2;
	}
}
