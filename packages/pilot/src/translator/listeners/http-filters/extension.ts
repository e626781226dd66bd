import type { Phase } from "../../policy/extensions.ts";
import type { HttpFilterBuilder } from "./filter.ts";

/** Filters of the user's own (WasmPlugin, TrafficExtension) of one phase. */
export const buildExtensionFilters =
	(phase: Phase): HttpFilterBuilder =>
	({ extensions }) =>
		extensions.filter((extension) => extension.phase === phase && !extension.isNetwork).map(({ filter }) => filter);
