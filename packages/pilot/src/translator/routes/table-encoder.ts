import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { EncodedResource } from "../context.ts";
import { stats, versionOf } from "../encode.ts";

export interface TableOptions {
	/** The authority's port plays no part: `host` and `host:8080` are one. */
	readonly ignorePortInHostMatching: boolean;
}

/** RouteConfiguration.virtual_hosts is field 2; a message's bytes are its fields' bytes one after another. */
const virtualHostsTag = (2 << 3) | 2;

const tails = new Map([true, false].map((ignorePort) => [ignorePort, encodeTail(ignorePort)]));

function encodeTail(ignorePortInHostMatching: boolean): Uint8Array {
	// Clusters may come after the routes to them; 1 MiB is what Istio allows a direct response.
	const rest = { validateClusters: false, maxDirectResponseBodySizeBytes: 1_048_576, ignorePortInHostMatching };
	return RouteConfiguration.encode(RouteConfiguration.fromPartial(rest)).finish();
}

/** Puts a RouteConfiguration together from the bytes of its virtual hosts. */
export function encodeTable(name: string, virtualHosts: readonly Uint8Array[], { ignorePortInHostMatching }: TableOptions): EncodedResource {
	stats.builds.rds++;
	stats.encodes.rds++;
	const head = RouteConfiguration.encode(RouteConfiguration.fromPartial({ name })).finish();
	const parts: Uint8Array[] = [head];
	for (const bytes of virtualHosts) parts.push(lengthPrefix(bytes.length), bytes);
	parts.push(tails.get(ignorePortInHostMatching) ?? new Uint8Array());
	const bytes = Buffer.concat(parts);
	return { name, version: versionOf(bytes), bytes };
}

/** Tag and length (a varint) of one virtual host. */
function lengthPrefix(length: number): Uint8Array {
	const bytes = [virtualHostsTag];
	let rest = length;
	while (rest > 0x7f) {
		bytes.push((rest & 0x7f) | 0x80);
		rest >>>= 7;
	}
	bytes.push(rest);
	return Uint8Array.from(bytes);
}
