import type { MetadataEntry } from "../../config/stream-data.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import type { FilterInputs } from "./filter-inputs.ts";
import type { StreamInfo } from "../log/stream-info.ts";

type Values = Readonly<Record<string, unknown>>;

/** Writes what is configured into the dynamic metadata of every request. */
export function compileSetMetadata(entries: readonly MetadataEntry[], { rootCounter, statPrefix }: FilterInputs): StreamFilter | undefined {
	if (entries.length === 0) return undefined;
	const denied = rootCounter(`http.${statPrefix}.set_metadata.`, "overwrite_denied");
	return {
		onRequestHead({ info }) {
			for (const entry of entries) if (!write(info, entry)) denied();
			return "continue";
		},
	};
}

/** False: the namespace is there, and is not to be changed. */
function write(info: StreamInfo, { namespace, values, allowsOverwrite }: MetadataEntry): boolean {
	const present = info.dynamicMetadata?.[namespace];
	if (present !== undefined && !allowsOverwrite) return false;
	info.dynamicMetadata = { ...info.dynamicMetadata, [namespace]: present === undefined ? values : merge(present, values) };
	return true;
}

/** Structs are merged and lists joined; of all other values, and of different kinds, the new one counts. */
function merge(present: Values, values: Values): Values {
	const merged = Object.entries(values).map(([key, value]) => [key, mergeValue(Object.hasOwn(present, key) ? present[key] : undefined, value)] as const);
	return { ...present, ...Object.fromEntries(merged) };
}

function mergeValue(before: unknown, value: unknown): unknown {
	if (Array.isArray(before) && Array.isArray(value)) return [...(before as unknown[]), ...(value as unknown[])];
	return isStruct(before) && isStruct(value) ? merge(before, value) : value;
}

const isStruct = (value: unknown): value is Values => typeof value === "object" && value !== null && !Array.isArray(value);
