import { headerReader, type HeadersView, type RequestView } from "../headers/headers-view.ts";

/**
 * A value of the Common Expression Language: bigint is an int, number a double, Uint8Array bytes; an array a list; a Map, a
 * plain object (a protobuf Struct), or something with `get` a map. undefined: it cannot be computed, which CEL calls an error.
 */
export type CelValue = unknown;

export class CelUint {
	readonly value: bigint;
	constructor(value: bigint) {
		this.value = value;
	}
}

export class CelDuration {
	readonly ms: number;
	constructor(ms: number) {
		this.ms = ms;
	}
}

export class CelTimestamp {
	/** Since the epoch. */
	readonly ms: number;
	constructor(ms: number) {
		this.ms = ms;
	}
}

/** What `type()` gives, and the names of types. */
export class CelType {
	readonly name: string;
	constructor(name: string) {
		this.name = name;
	}
}

/** undefined: out of the range of 64 bits. */
export const asInt = (value: bigint): bigint | undefined => (BigInt.asIntN(64, value) === value ? value : undefined);
export const asUint = (value: bigint): CelUint | undefined => (BigInt.asUintN(64, value) === value ? new CelUint(value) : undefined);

type Readable = Pick<HeadersView, "get">;

const isReadable = (value: object): value is Readable => "get" in value && typeof value.get === "function";
const isRequest = (value: object): value is RequestView => "authority" in value && isReadable(value);
const isStruct = (value: CelValue): value is Readonly<Record<string, unknown>> =>
	typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;

/** Of headers by any case, of maps and messages by key, of lists by place. */
export function member(of: CelValue, key: CelValue): CelValue {
	if (Array.isArray(of)) {
		const place = key instanceof CelUint ? key.value : key;
		return typeof place === "bigint" || Number.isInteger(place) ? (of as readonly unknown[])[Number(place)] : undefined;
	}
	if (typeof of !== "object" || of === null) return undefined;
	if (of instanceof Map) {
		for (const [own, value] of of) if (isSame(own, key)) return value as CelValue;
		return undefined;
	}
	if (typeof key !== "string") return undefined;
	if (isRequest(of)) return headerReader(key)(of);
	if (isReadable(of)) return of.get(key.toLowerCase());
	return Object.hasOwn(of, key) ? (of as Readonly<Record<string, unknown>>)[key] : undefined;
}

/** A field of a message that is an empty map counts as one that is not there, as in protobuf. */
export function isPresent(value: CelValue): boolean {
	return value !== undefined && !(isStruct(value) && Object.keys(value).length === 0);
}

export function contains(of: CelValue, key: CelValue): CelValue {
	if (Array.isArray(of)) return of.some((one) => isSame(one, key));
	return typeof of === "object" && of !== null ? member(of, key) !== undefined : undefined;
}

export function isSame(a: CelValue, b: CelValue): boolean {
	if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((one, i) => isSame(one, b[i]));
	const [left, right] = [entriesOf(a), entriesOf(b)];
	if (left !== undefined && right !== undefined)
		return left.length === right.length && left.every(([key, value]) => right.some(([other, same]) => isSame(key, other) && isSame(value, same)));
	if (a instanceof CelType && b instanceof CelType) return a.name === b.name;
	return a === b || order(a, b) === 0;
}

function entriesOf(value: CelValue): readonly (readonly [unknown, unknown])[] | undefined {
	return value instanceof Map ? [...value] : isStruct(value) ? Object.entries(value) : undefined;
}

export function sizeOf(value: CelValue): bigint | undefined {
	if (typeof value === "string") return BigInt([...value].length);
	if (Array.isArray(value) || value instanceof Uint8Array) return BigInt(value.length);
	const entries = entriesOf(value);
	if (entries !== undefined) return BigInt(entries.length);
	return typeof value === "object" && value !== null && isRequest(value) ? countLines(value) : undefined;
}

/** With the four pseudo headers. */
function countLines(request: RequestView): bigint {
	let lines = 4n;
	request.forEach(() => lines++);
	return lines;
}

/** Negative, 0 or positive; undefined: they cannot be compared. Numbers of different kinds can. */
export function order(a: CelValue, b: CelValue): number | undefined {
	const [left, right] = [a instanceof CelUint ? a.value : a, b instanceof CelUint ? b.value : b];
	if (isNumeric(left) && isNumeric(right)) return left < right ? -1 : left > right ? 1 : Number.isNaN(left) || Number.isNaN(right) ? undefined : 0;
	if (left instanceof Uint8Array && right instanceof Uint8Array) return Buffer.compare(left, right);
	if (left instanceof CelDuration && right instanceof CelDuration) return left.ms - right.ms;
	if (left instanceof CelTimestamp && right instanceof CelTimestamp) return left.ms - right.ms;
	if (typeof left === "boolean" && typeof right === "boolean") return Number(left) - Number(right);
	if (typeof left === "string" && typeof right === "string") return left < right ? -1 : left > right ? 1 : 0;
	return undefined;
}

const isNumeric = (value: CelValue): value is bigint | number => typeof value === "bigint" || typeof value === "number";

/** Both sides are of one kind; times and durations can be added and subtracted. */
export function arithmetic(op: string, a: CelValue, b: CelValue): CelValue {
	if (typeof a === "bigint" && typeof b === "bigint") return whole(op, a, b, asInt);
	if (a instanceof CelUint && b instanceof CelUint) return whole(op, a.value, b.value, asUint);
	if (typeof a === "number" && typeof b === "number") return op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : op === "/" ? a / b : undefined;
	if (op !== "+" && op !== "-") return undefined;
	const sign = op === "+" ? 1 : -1;
	if (a instanceof CelDuration && b instanceof CelDuration) return new CelDuration(a.ms + sign * b.ms);
	if (a instanceof CelTimestamp && b instanceof CelDuration) return new CelTimestamp(a.ms + sign * b.ms);
	if (a instanceof CelDuration && b instanceof CelTimestamp) return op === "+" ? new CelTimestamp(a.ms + b.ms) : undefined;
	return a instanceof CelTimestamp && b instanceof CelTimestamp && op === "-" ? new CelDuration(a.ms - b.ms) : undefined;
}

function whole(op: string, a: bigint, b: bigint, fit: (value: bigint) => CelValue): CelValue {
	if ((op === "/" || op === "%") && b === 0n) return undefined;
	return fit(op === "+" ? a + b : op === "-" ? a - b : op === "*" ? a * b : op === "/" ? a / b : a % b);
}
