// DNS messages, as far as a stub that answers A and AAAA needs them: RFC 1035 §4, RFC 6891 for the size of UDP answers.

export const queryType = { a: 1, cname: 5, aaaa: 28 } as const;
export const responseCode = { noError: 0, formatError: 1, serverFailure: 2 } as const;

export interface Query {
	readonly id: number;
	readonly recursionDesired: boolean;
	/** Lower case, without the final dot; "" is the root. A dot or a backslash within a label is `\046` or `\092` (RFC 1035 §5.1). */
	readonly name: string;
	readonly type: number;
	/** The question as it was asked: an answer repeats it, capitals and all. */
	readonly question: Buffer;
	/** Largest answer over UDP. */
	readonly answerBytesMax: number;
}

export type Answer =
	| { readonly kind: "address"; readonly name: string; readonly address: Buffer }
	| { readonly kind: "alias"; readonly name: string; readonly target: string };

const headerBytes = 12;
const nameBytesMax = 255;
const internetClass = 1;
const optionType = 41;
const udpBytesDefault = 512;
const udpBytesMax = 4_096;

/** Undefined: not a query with one question of class IN. */
export function decodeQuery(message: Buffer): Query | undefined {
	if (message.length < headerBytes) return undefined;
	const flags = message.readUInt16BE(2);
	const isQuery = (flags & 0x8000) === 0 && (flags & 0x7800) === 0;
	if (!isQuery || message.readUInt16BE(4) !== 1) return undefined;
	const read = readName(message, headerBytes);
	if (read === undefined || read.end + 4 > message.length) return undefined;
	if (message.readUInt16BE(read.end + 2) !== internetClass) return undefined;
	const end = read.end + 4;
	return {
		id: message.readUInt16BE(0),
		recursionDesired: (flags & 0x0100) !== 0,
		name: read.name,
		type: message.readUInt16BE(read.end),
		question: message.subarray(headerBytes, end),
		answerBytesMax: answerBytes(message, end),
	};
}

/** Questions hold no compressed names: there is nothing before them to point to. */
function readName(message: Buffer, start: number): { readonly name: string; readonly end: number } | undefined {
	const labels: string[] = [];
	let at = start;
	for (;;) {
		const length = message[at];
		if (length === undefined || length > 63) return undefined;
		at++;
		if (length === 0) break;
		if (at + length > message.length || at + length - start > nameBytesMax) return undefined;
		labels.push(
			message
				.latin1Slice(at, at + length)
				.toLowerCase()
				.replace(/[.\\]/g, escapeInLabel),
		);
		at += length;
	}
	return { name: labels.join("."), end: at };
}

const escapeInLabel = (character: string): string => (character === "." ? "\\046" : "\\092");

/** EDNS says how much the client takes, in an OPT record right after the question. */
function answerBytes(message: Buffer, end: number): number {
	const isOption = message.readUInt16BE(6) === 0 && message.readUInt16BE(8) === 0 && message.readUInt16BE(10) > 0;
	if (!isOption || end + 11 > message.length || message[end] !== 0 || message.readUInt16BE(end + 1) !== optionType) return udpBytesDefault;
	return Math.min(udpBytesMax, Math.max(udpBytesDefault, message.readUInt16BE(end + 3)));
}

/** Answers that do not fit are left out, and the bit that says so makes the client ask again over TCP. */
export function encodeAnswer(query: Query, code: number, answers: readonly Answer[], ttlSeconds: number, bytesMax: number): Buffer {
	const records: Buffer[] = [];
	let bytes = headerBytes + query.question.length;
	let isTruncated = false;
	for (const answer of answers) {
		const record = encodeRecord(answer, ttlSeconds);
		if (bytes + record.length > bytesMax) {
			isTruncated = true;
			break;
		}
		records.push(record);
		bytes += record.length;
	}
	const header = Buffer.alloc(headerBytes);
	header.writeUInt16BE(query.id, 0);
	// Response, authoritative, recursion available.
	header.writeUInt16BE(0x8480 | (isTruncated ? 0x0200 : 0) | (query.recursionDesired ? 0x0100 : 0) | code, 2);
	header.writeUInt16BE(1, 4);
	header.writeUInt16BE(records.length, 6);
	return Buffer.concat([header, query.question, ...records]);
}

function encodeRecord(answer: Answer, ttlSeconds: number): Buffer {
	const name = encodeName(answer.name);
	const data = answer.kind === "address" ? answer.address : encodeName(answer.target);
	const type = answer.kind === "alias" ? queryType.cname : data.length === 4 ? queryType.a : queryType.aaaa;
	const fixed = Buffer.alloc(10);
	fixed.writeUInt16BE(type, 0);
	fixed.writeUInt16BE(internetClass, 2);
	fixed.writeUInt32BE(ttlSeconds, 4);
	fixed.writeUInt16BE(data.length, 8);
	return Buffer.concat([name, fixed, data]);
}

function encodeName(name: string): Buffer {
	const labels = name === "" ? [] : name.split(".").map((label) => label.replace(/\\(046|092)/g, (_, code: string) => (code === "046" ? "." : "\\")));
	return Buffer.concat([...labels.flatMap((label) => [Buffer.from([label.length]), Buffer.from(label, "latin1")]), Buffer.from([0])]);
}
