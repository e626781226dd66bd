import { readText } from "./bytes.ts";
import { HeaderBlock } from "./header-block.ts";

/**
 * A request head, whatever codec it came through. HTTP/1 keeps the bytes that carried it; strings are made when asked
 * for and remembered. `host` is not among the headers: it is `authority`.
 */
export class RequestHead extends HeaderBlock {
	/** 10, 11 or 20. */
	version = 11;
	scheme = "http";
	methodEnd = 0;
	targetStart = 0;
	targetEnd = 0;
	/** Of the `host` line's value; equal when it came without, or with an empty one. */
	hostStart = 0;
	hostEnd = 0;
	/** Whether the target named the host: `http://host/path`, or `host:port` with CONNECT. */
	isAbsolute = false;
	/** -1: not given. */
	contentLength = -1;
	/** There is a body, and its length is told by its end: HTTP/1 sends it in chunks. */
	isChunked = false;
	/** The bytes of the request line no longer say what the properties do. */
	isLineChanged = false;
	isAuthorityChanged = false;
	#method: string | undefined;
	#path: string | undefined;
	#authority: string | undefined;

	override clear(): void {
		super.clear();
		this.version = 11;
		this.scheme = "http";
		this.contentLength = -1;
		this.isChunked = this.isLineChanged = this.isAuthorityChanged = this.isAbsolute = false;
		// What cannot be parsed must not be logged under the line of an earlier request.
		this.methodEnd = this.targetStart = this.targetEnd = this.hostStart = this.hostEnd = 0;
		this.#method = this.#path = this.#authority = undefined;
	}

	get protocol(): "HTTP/1.0" | "HTTP/1.1" | "HTTP/2" {
		return this.version === 11 ? "HTTP/1.1" : this.version === 20 ? "HTTP/2" : "HTTP/1.0";
	}

	/** Whether there is a body, be it an empty one. */
	get hasBody(): boolean {
		return this.isChunked || this.contentLength > 0;
	}

	get method(): string {
		return (this.#method ??= commonMethod(this.bytes, this.methodEnd));
	}
	set method(value: string) {
		this.#method = value;
		this.isLineChanged = true;
	}

	/** With the query. */
	get path(): string {
		return (this.#path ??= readText(this.bytes, this.targetStart, this.targetEnd));
	}
	set path(value: string) {
		if (value === this.path) return;
		this.#path = value;
		this.isLineChanged = true;
	}

	get authority(): string {
		return (this.#authority ??= readText(this.bytes, this.hostStart, this.hostEnd));
	}
	set authority(value: string) {
		this.#authority = value;
		this.isAuthorityChanged = true;
	}

	/** As `get`, pseudo names included. */
	override get(name: string): string | undefined {
		if (name.charCodeAt(0) !== 58) return super.get(name);
		switch (name) {
			case ":method":
				return this.method;
			case ":path":
				// RFC 9110 §9.3.6: what stands in its place is the authority.
				return this.method === "CONNECT" ? undefined : this.path;
			case ":authority":
				return this.authority;
			case ":scheme":
				return this.scheme;
			default:
				return undefined;
		}
	}
}

/** Without making a string for what nearly every request is. */
function commonMethod(bytes: Buffer, end: number): string {
	if (end === 3 && bytes[0] === 71 && bytes[1] === 69 && bytes[2] === 84) return "GET";
	if (end === 4 && bytes[0] === 80 && bytes[1] === 79 && bytes[2] === 83 && bytes[3] === 84) return "POST";
	return bytes.latin1Slice(0, end);
}
