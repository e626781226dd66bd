// The few fields of envoy/service/ratelimit/v3/rls.proto that a rate limit service needs, by hand: the examples have no dependencies.

export type Descriptor = readonly { readonly key: string; readonly value: string }[];

export interface RateLimitRequest {
	readonly domain: string;
	readonly descriptors: readonly Descriptor[];
	/** 0: one. */
	readonly hitsAddend: number;
}

export interface DescriptorStatus {
	readonly isOver: boolean;
	/** Undefined: nothing limits it. */
	readonly limit: { readonly perUnit: number; readonly unit: "second" | "minute" | "hour" | "day" } | undefined;
	readonly remaining: number;
	readonly resetSeconds: number;
}

/** Throws where it is no message. */
export function decodeRateLimitRequest(bytes: Buffer): RateLimitRequest {
	const fields = readFields(bytes);
	const entryOf = (entry: Buffer) => ({ key: textOf(readFields(entry), 1), value: textOf(readFields(entry), 2) });
	const descriptors = bytesOf(fields, 2).map((descriptor) => bytesOf(readFields(descriptor), 1).map(entryOf));
	return { domain: textOf(fields, 1), descriptors, hitsAddend: numberOf(fields, 3) };
}

const codes = { ok: 1, overLimit: 2 } as const;
const unitCodes = { second: 1, minute: 2, hour: 3, day: 4 } as const;

export function encodeRateLimitResponse(statuses: readonly DescriptorStatus[]): Buffer {
	const isOver = statuses.some((status) => status.isOver);
	const encoded = statuses.map(({ isOver: over, limit, remaining, resetSeconds }) => {
		const current = limit === undefined ? [] : [field(2, Buffer.concat([numberField(1, limit.perUnit), numberField(2, unitCodes[limit.unit])]))];
		const reset = field(4, numberField(1, resetSeconds));
		return field(2, Buffer.concat([numberField(1, over ? codes.overLimit : codes.ok), ...current, numberField(3, remaining), reset]));
	});
	return Buffer.concat([numberField(1, isOver ? codes.overLimit : codes.ok), ...encoded]);
}

interface Field {
	readonly number: number;
	readonly value: number | Buffer;
}

function readFields(bytes: Buffer): readonly Field[] {
	const fields: Field[] = [];
	for (let at = 0; at < bytes.length; ) {
		const tag = readVarint(bytes, at);
		const value = readVarint(bytes, tag.end);
		const number = tag.value >>> 3;
		switch (tag.value & 7) {
			case 0:
				fields.push({ number, value: value.value });
				at = value.end;
				break;
			case 2:
				if (value.end + value.value > bytes.length) throw new Error("a field is longer than its message");
				fields.push({ number, value: bytes.subarray(value.end, value.end + value.value) });
				at = value.end + value.value;
				break;
			default:
				throw new Error(`no field of this message is of wire type ${tag.value & 7}`);
		}
	}
	return fields;
}

function readVarint(bytes: Buffer, start: number): { readonly value: number; readonly end: number } {
	let value = 0;
	for (let at = start, factor = 1; at < bytes.length && at < start + 7; at++, factor *= 128) {
		const byte = bytes[at] as number;
		value += (byte & 0x7f) * factor;
		if (byte < 0x80) return { value, end: at + 1 };
	}
	throw new Error("a number does not end");
}

const bytesOf = (fields: readonly Field[], number: number): readonly Buffer[] =>
	fields.flatMap((one) => (one.number === number && typeof one.value !== "number" ? [one.value] : []));
const textOf = (fields: readonly Field[], number: number): string => bytesOf(fields, number).at(-1)?.toString("utf8") ?? "";
const numberOf = (fields: readonly Field[], number: number): number =>
	fields.reduce((last, one) => (one.number === number && typeof one.value === "number" ? one.value : last), 0);

function varint(value: number): Buffer {
	const bytes: number[] = [];
	for (let left = value; ; left = Math.floor(left / 128)) {
		if (left < 128) return Buffer.from([...bytes, left]);
		bytes.push((left % 128) + 128);
	}
}

const numberField = (number: number, value: number): Buffer => Buffer.concat([varint(number * 8), varint(value)]);
const field = (number: number, bytes: Buffer): Buffer => Buffer.concat([varint(number * 8 + 2), varint(bytes.length), bytes]);
