/** What a TLS client says in clear text before anything else (RFC 8446 §4.1.2). */
export interface ClientHello {
	/** Lower case; "" without SNI. */
	readonly serverName: string;
	readonly alpn: readonly string[];
}

export type HelloVerdict =
	| { readonly kind: "hello"; readonly hello: ClientHello }
	| { readonly kind: "incomplete" }
	/** Not TLS, or no ClientHello that could be read: plain text as far as we know. */
	| { readonly kind: "notTls" };

const recordTypeHandshake = 22;
const typeClientHello = 1;
const extensionServerName = 0;
const extensionAlpn = 16;
/** RFC 5246 §6.2.3, plain and with what encryption may add. */
const recordBytesMax = 16_640;
/** Envoy's default bound. */
export const clientHelloBytesMax = 16 * 1024;

const incomplete: HelloVerdict = { kind: "incomplete" };
const notTls: HelloVerdict = { kind: "notTls" };

/**
 * Reads `bytes` from the start of a connection. A hello split over records is put together first. Only the first
 * `clientHelloBytesMax` bytes count, so what was judged once is judged the same when more has come.
 */
export function readClientHello(bytes: Buffer): HelloVerdict {
	if (bytes.length === 0) return incomplete;
	if (bytes[0] !== recordTypeHandshake || (bytes.length > 1 && bytes[1] !== 3)) return notTls;
	const message = joinRecords(bytes.subarray(0, clientHelloBytesMax));
	if (message === undefined || (message.length >= 1 && message[0] !== typeClientHello)) return notTls;
	const length = messageLength(message);
	if (message.length < length) return bytes.length >= clientHelloBytesMax ? notTls : incomplete;
	const hello = readBody(new Reader(message.subarray(messageHeaderBytes, length)));
	return hello === undefined ? notTls : { kind: "hello", hello };
}

const messageHeaderBytes = 4;

/** Its header included; more than there is as long as that has not come. */
function messageLength(message: Buffer): number {
	return message.length < messageHeaderBytes ? messageHeaderBytes : messageHeaderBytes + message.readUIntBE(1, 3);
}

/** The handshake bytes of as many records as the first message needs, or as are there; undefined when something else is among them. */
function joinRecords(bytes: Buffer): Buffer | undefined {
	const parts: Buffer[] = [];
	let joined = 0;
	for (let at = 0, wanted = messageHeaderBytes; joined < wanted && at + 5 <= bytes.length; ) {
		if (bytes[at] !== recordTypeHandshake) return undefined;
		const length = bytes.readUInt16BE(at + 3);
		if (length === 0 || length > recordBytesMax) return undefined;
		const part = bytes.subarray(at + 5, at + 5 + length);
		parts.push(part);
		joined += part.length;
		if (wanted === messageHeaderBytes && joined >= wanted) wanted = messageLength(join(parts));
		at += 5 + length;
	}
	return join(parts);
}

function join(parts: readonly Buffer[]): Buffer {
	return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
}

/** Reads lengths and ranges; past the end everything is empty and `isOk` false. */
class Reader {
	isOk = true;
	#at = 0;
	readonly #bytes: Buffer;
	constructor(bytes: Buffer) {
		this.#bytes = bytes;
	}
	get left(): number {
		return this.#bytes.length - this.#at;
	}
	number(size: 1 | 2): number {
		if (this.left < size) {
			this.isOk = false;
			return 0;
		}
		const value = this.#bytes.readUIntBE(this.#at, size);
		this.#at += size;
		return value;
	}
	take(length: number): Buffer {
		if (this.left < length) this.isOk = false;
		const part = this.#bytes.subarray(this.#at, this.#at + length);
		this.#at = Math.min(this.#at + length, this.#bytes.length);
		return part;
	}
	vector(size: 1 | 2): Reader {
		return new Reader(this.take(this.number(size)));
	}
}

function readBody(reader: Reader): ClientHello | undefined {
	reader.take(2 + 32);
	reader.vector(1);
	reader.vector(2);
	reader.vector(1);
	if (!reader.isOk) return undefined;
	let serverName = "";
	let alpn: readonly string[] = [];
	const extensions = reader.left > 0 ? reader.vector(2) : reader;
	while (extensions.left > 0 && extensions.isOk) {
		const type = extensions.number(2);
		const data = extensions.vector(2);
		if (type === extensionServerName) serverName = readServerName(data);
		else if (type === extensionAlpn) alpn = readAlpn(data);
	}
	return reader.isOk && extensions.isOk ? { serverName, alpn } : undefined;
}

function readServerName(data: Reader): string {
	const names = data.vector(2);
	while (names.left > 0 && names.isOk) {
		const type = names.number(1);
		const name = names.take(names.number(2));
		if (type === 0) return name.toString("latin1").toLowerCase();
	}
	return "";
}

function readAlpn(data: Reader): readonly string[] {
	const list = data.vector(2);
	const names: string[] = [];
	while (list.left > 0 && list.isOk) names.push(list.take(list.number(1)).toString("latin1"));
	return names;
}
