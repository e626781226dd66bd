import { messageSchema } from "@weft/xds";

/** Where a decoder stands in the message, and the list of what is wrong so far. Every problem is reported, not the first. */
export interface At {
	/** Name of the resource that is decoded; "" when it has none. */
	readonly resource: string;
	readonly path: string;
	readonly errors: string[];
}

export interface Decoded<T> {
	/** Undefined when there are errors. */
	readonly value: T | undefined;
	readonly errors: readonly string[];
}

export function rootAt(path = "", resource = ""): At {
	return { resource, path, errors: [] };
}

export function under(at: At, name: string): At {
	return { resource: at.resource, path: at.path === "" ? name : `${at.path}.${name}`, errors: at.errors };
}

export function report(at: At, message: string): void {
	at.errors.push(at.path === "" ? message : `${at.path}: ${message}`);
}

/** Runs a decoder and gives its value only when it found nothing wrong. */
export function collect<T>(path: string, decode: (at: At) => T, resource = ""): Decoded<T> {
	const at = rootAt(path, resource);
	const value = decode(at);
	return { value: at.errors.length === 0 ? value : undefined, errors: at.errors };
}

/**
 * Reports every field that is set and that this proxy does not implement, so that nothing is dropped in silence.
 * `supported`: the fields that the decoder reads, or that change nothing it does.
 */
export function onlySupports(at: At, typeName: string, message: object, supported: readonly string[]): void {
	const fields = message as Readonly<Record<string, unknown>>;
	for (const field of messageSchema(typeName)?.fields ?? []) {
		if (supported.includes(field.json) || !isSet(fields[field.json], field.oneof !== undefined)) continue;
		report(under(at, field.json), `${field.name} is not implemented`);
	}
}

function isSet(value: unknown, oneof: boolean): boolean {
	if (value === undefined || value === null) return false;
	if (oneof) return true;
	if (Array.isArray(value)) return value.length > 0;
	if (value instanceof Uint8Array) return value.length > 0;
	if (typeof value === "object") return Object.getPrototypeOf(value) !== Object.prototype || Object.keys(value).length > 0 || "seconds" in value;
	return value !== 0 && value !== 0n && value !== "" && value !== false;
}

export interface Duration {
	readonly seconds: bigint;
	readonly nanos: number;
}

/** Whole and fractional milliseconds. */
export function durationMs(duration: Duration | undefined): number | undefined {
	return duration === undefined ? undefined : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

export function durationMsOr(duration: Duration | undefined, defaultMs: number): number {
	return durationMs(duration) ?? defaultMs;
}
