import type { FilterStateFactory, FilterStateWrite } from "../../config/stream-data.ts";
import { canonicalAddress } from "../lb/original-destination.ts";
import { compileFormat, type FormatterEnvironment } from "../headers/formatter.ts";
import { rerouteRequest } from "../http/route-selection.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { type FilterState, type FilterStateObject, setFilterState, type StreamInfo } from "../log/stream-info.ts";
import type { FilterInputs } from "./filter-inputs.ts";

/** Writes objects, made of what is known of a stream, into the filter state of it or of its connection. */
export type WriteFilterState = (info: StreamInfo, owner: { filterState: FilterState | undefined }) => void;

export function compileFilterState(values: readonly FilterStateWrite[], environment: FormatterEnvironment, errors: string[]): WriteFilterState {
	const compiled = values.map(({ key, factory, format, omitsEmpty, skipsEmpty }) => {
		const text = compileFormat(format, omitsEmpty ? "" : "-", environment);
		errors.push(...text.errors.map((error) => `filter state ${JSON.stringify(key)}: ${error}`));
		return { key, kind: factory, skipsEmpty, text: text.value ?? (() => "") };
	});
	return (info, owner) => {
		for (const { key, kind, skipsEmpty, text } of compiled) {
			const value = text(info);
			// As in Envoy, what the connection says of a key is not for its requests to change.
			if (owner === info && info.connection.filterState?.has(key) === true) continue;
			if (value === "" && skipsEmpty) continue;
			const object = createObject(kind, value);
			if (object !== undefined) setFilterState(owner, key, object);
		}
	};
}

/** undefined: the factory makes none of this text. */
function createObject(factory: FilterStateFactory, value: string): FilterStateObject | undefined {
	if (factory === "number") return /^\d{1,10}$/.test(value) && Number(value) < 2 ** 32 ? { text: String(Number(value)), kind: "number" } : undefined;
	if (factory !== "address") return { text: value, kind: factory };
	const text = canonicalAddress(value);
	return text === undefined ? undefined : { text, kind: "address" };
}

/** The filter's own objects, then those of the table, the virtual host and the route. `overrides` from the most specific to the least. */
export function compileSetFilterState(
	values: readonly FilterStateWrite[],
	clearsRoute: boolean,
	overrides: readonly (readonly FilterStateWrite[])[],
	{ context, errors }: FilterInputs,
): StreamFilter {
	const write = compileFilterState([values, ...overrides.toReversed()].flat(), context.environment, errors);
	return {
		onRequestHead(stream) {
			write(stream.info, stream.info);
			if (clearsRoute) rerouteRequest(stream);
			return "continue";
		},
	};
}
