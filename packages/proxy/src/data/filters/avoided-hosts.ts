import { isDeepStrictEqual } from "node:util";
import type { LbMetadata } from "../../config/load-balancing.ts";
import type { AvoidedHosts } from "../../config/retry-policy.ts";
import type { HostEntry } from "../lb/host-entry.ts";

/** Whether a retry is to go to another host, if there is one. `tried`: hosts of earlier attempts. */
export function isAvoided({ previous, canary, metadata }: AvoidedHosts, entry: HostEntry, tried: readonly HostEntry[]): boolean {
	if (previous && tried.includes(entry)) return true;
	const { lbMetadata } = entry.host;
	if (canary && lbMetadata["canary"] === true) return true;
	return metadata.some((wanted) => hasAll(lbMetadata, wanted));
}

function hasAll(values: LbMetadata, wanted: LbMetadata): boolean {
	return Object.entries(wanted).every(([key, value]) => Object.hasOwn(values, key) && isDeepStrictEqual(values[key], value));
}
