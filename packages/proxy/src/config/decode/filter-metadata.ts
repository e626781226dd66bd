import type { Metadata } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { FilterMetadata } from "../filter-metadata.ts";

/** undefined: there is none. */
export function decodeFilterMetadata(metadata: Metadata | undefined): FilterMetadata | undefined {
	const namespaces = Object.entries(metadata?.filterMetadata ?? {}).filter(([, values]) => values !== undefined);
	return namespaces.length === 0 ? undefined : Object.fromEntries(namespaces as [string, Readonly<Record<string, unknown>>][]);
}
