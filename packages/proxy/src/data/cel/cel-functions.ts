import { asInt, asUint, CelDuration, CelTimestamp, CelType, CelUint, type CelValue, sizeOf } from "./cel-values.ts";

/** The functions of the language that have one argument, a method's target being one. */
export const unaryFunctions: Readonly<Record<string, (value: CelValue) => CelValue>> = {
	size: sizeOf,
	string: textOf,
	int: toInt,
	uint: toUint,
	double: (value) =>
		finite(typeof value === "string" && value.trim() !== "" ? Number(value) : value instanceof CelUint ? Number(value.value) : fromNumeric(value)),
	bytes: (value) => (typeof value === "string" ? Buffer.from(value) : value instanceof Uint8Array ? value : undefined),
	lowerAscii: (value) => (typeof value === "string" ? value.replace(/[A-Z]+/g, (upper) => upper.toLowerCase()) : undefined),
	duration: (value) => (typeof value === "string" ? parseDuration(value) : value instanceof CelDuration ? value : undefined),
	timestamp: (value) => (typeof value === "string" ? parseTimestamp(value) : value instanceof CelTimestamp ? value : undefined),
	type: (value) => (value === undefined ? undefined : new CelType(typeName(value))),
	dyn: (value) => value,
};

export const textFunctions: Readonly<Record<string, (text: string, other: string) => CelValue>> = {
	startsWith: (text, other) => text.startsWith(other),
	endsWith: (text, other) => text.endsWith(other),
	contains: (text, other) => text.includes(other),
};

export const typeNames: readonly string[] = ["int", "uint", "double", "bool", "string", "bytes", "list", "map", "null_type", "type"];

function typeName(value: CelValue): string {
	if (value === null) return "null_type";
	if (typeof value === "bigint") return "int";
	if (typeof value === "number") return "double";
	if (typeof value === "boolean") return "bool";
	if (typeof value === "string") return "string";
	if (value instanceof CelUint) return "uint";
	if (value instanceof CelDuration) return "google.protobuf.Duration";
	if (value instanceof CelTimestamp) return "google.protobuf.Timestamp";
	if (value instanceof CelType) return "type";
	return value instanceof Uint8Array ? "bytes" : Array.isArray(value) ? "list" : "map";
}

/** As text, for conversions and labels. */
export function textOf(value: CelValue): string | undefined {
	if (value instanceof CelUint) return String(value.value);
	if (value instanceof CelDuration) return `${value.ms / 1000}s`;
	if (value instanceof CelTimestamp) return new Date(value.ms).toISOString();
	if (value instanceof Uint8Array) return Buffer.from(value).toString("utf8");
	return value === null || value === undefined || typeof value === "object" ? undefined : String(value);
}

const fromNumeric = (value: CelValue): number => (typeof value === "bigint" || typeof value === "number" ? Number(value) : Number.NaN);
const finite = (value: number): number | undefined => (Number.isNaN(value) ? undefined : value);

function wholeOf(value: CelValue): bigint | undefined {
	if (typeof value === "bigint") return value;
	if (value instanceof CelUint) return value.value;
	if (typeof value === "number") return Number.isFinite(value) ? BigInt(Math.trunc(value)) : undefined;
	return typeof value === "string" && /^[+-]?\d{1,20}$/.test(value) ? BigInt(value.replace("+", "")) : undefined;
}

function toInt(value: CelValue): CelValue {
	const whole = value instanceof CelTimestamp ? BigInt(Math.floor(value.ms / 1000)) : wholeOf(value);
	return whole === undefined ? undefined : asInt(whole);
}

function toUint(value: CelValue): CelValue {
	const whole = wholeOf(value);
	return whole === undefined ? undefined : asUint(whole);
}

const unitsMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, ns: 1e-6 };

/** `1h30m`, `5s`, `250ms`. */
function parseDuration(text: string): CelDuration | undefined {
	if (!/^-?(\d+(\.\d+)?(h|ms|us|ns|m|s))+$/.test(text)) return undefined;
	let ms = 0;
	for (const [, amount, unit = ""] of text.matchAll(/(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)/g)) ms += Number(amount) * (unitsMs[unit] ?? 0);
	return new CelDuration(text.startsWith("-") ? -ms : ms);
}

/** RFC 3339. */
function parseTimestamp(text: string): CelTimestamp | undefined {
	const ms = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$/.test(text) ? Date.parse(text) : Number.NaN;
	return Number.isNaN(ms) ? undefined : new CelTimestamp(ms);
}

// ---- parts of times and durations

const dayMs = 86_400_000;

/** Of a date that is shifted into its zone. */
const timeParts: Readonly<Record<string, (date: Date) => number>> = {
	getFullYear: (date) => date.getUTCFullYear(),
	getMonth: (date) => date.getUTCMonth(),
	getDate: (date) => date.getUTCDate(),
	getDayOfMonth: (date) => date.getUTCDate() - 1,
	getDayOfWeek: (date) => date.getUTCDay(),
	getDayOfYear: (date) => Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0)) / dayMs),
	getHours: (date) => date.getUTCHours(),
	getMinutes: (date) => date.getUTCMinutes(),
	getSeconds: (date) => date.getUTCSeconds(),
	getMilliseconds: (date) => date.getUTCMilliseconds(),
};

/** The first three of all of it, the last of what is over a second. */
const durationParts: Readonly<Record<string, (ms: number) => number>> = {
	getHours: (ms) => ms / 3_600_000,
	getMinutes: (ms) => ms / 60_000,
	getSeconds: (ms) => ms / 1_000,
	getMilliseconds: (ms) => ms % 1_000,
};

/** Reads a part of a time in a zone (`+02:00`, `Europe/Berlin`), or of a duration; undefined: there is no such part. Throws a RangeError where there is no such zone. */
export function compileTimePart(name: string, zone: string | undefined): ((value: CelValue) => CelValue) | undefined {
	const part = timeParts[name];
	if (part === undefined) return undefined;
	const offsetMs = zone === undefined ? () => 0 : compileZone(zone);
	const ofDuration = zone === undefined ? durationParts[name] : undefined;
	return (value) => {
		if (value instanceof CelTimestamp) return BigInt(part(new Date(value.ms + offsetMs(value.ms))));
		return value instanceof CelDuration && ofDuration !== undefined ? BigInt(Math.trunc(ofDuration(value.ms))) : undefined;
	};
}

function compileZone(zone: string): (ms: number) => number {
	const fixed = /^([+-]?)(\d\d):(\d\d)$/.exec(zone);
	if (fixed !== null) {
		const offset = (Number(fixed[2]) * 60 + Number(fixed[3])) * 60_000 * (fixed[1] === "-" ? -1 : 1);
		return () => offset;
	}
	const format = new Intl.DateTimeFormat("en", { timeZone: zone, timeZoneName: "longOffset" });
	return (ms) => {
		const name = format.formatToParts(ms).find(({ type }) => type === "timeZoneName")?.value ?? "";
		const [, sign, hours = "0", minutes = "0"] = /^GMT([+-])(\d\d):(\d\d)/.exec(name) ?? [];
		return (Number(hours) * 60 + Number(minutes)) * 60_000 * (sign === "-" ? -1 : 1);
	};
}
