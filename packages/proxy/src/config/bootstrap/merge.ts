import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";

/** Protobuf's MergeFrom: lists are joined, messages merged, what is set over what was. */
export function mergeBootstrap(base: Bootstrap, over: Bootstrap): Bootstrap {
	return mergeValue(base, over) as Bootstrap;
}

function mergeValue(base: unknown, over: unknown): unknown {
	if (!isSet(over)) return base;
	if (Array.isArray(base) && Array.isArray(over)) return [...base, ...over];
	if (isMessage(base) && isMessage(over)) {
		const out: Record<string, unknown> = { ...base };
		for (const [key, value] of Object.entries(over)) out[key] = mergeValue(out[key], value);
		return out;
	}
	return over;
}

function isSet(value: unknown): boolean {
	return value !== undefined && value !== "" && value !== 0 && value !== 0n && value !== false;
}

/** Messages and maps; durations, Any and bytes are replaced whole. */
function isMessage(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) && !("nanos" in value) && !("typeUrl" in value);
}
