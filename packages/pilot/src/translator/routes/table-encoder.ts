import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { EncodedResource } from "../context.ts";
import { stats, versionOf } from "../encode.ts";

export interface TableOptions {
	/** The authority's port plays no part: `host` and `host:8080` are one. */
	readonly ignorePortInHostMatching: boolean;
}

/** What a RouteConfiguration is put together from. */
export interface TableParts {
	/** Encoded VirtualHost messages, in order. */
	readonly virtualHosts: readonly Uint8Array[];
	/** The fields that come before and after them, encoded. */
	readonly head: Uint8Array;
	readonly tail: Uint8Array;
	/** The table before this one, where only the virtual hosts `at` some places are other ones. */
	readonly patchOf?: TablePatch | undefined;
}

export interface TablePatch {
	/** Not held: each table would hold all before it. */
	readonly table: WeakRef<EncodedResource>;
	readonly at: readonly number[];
}

/** RouteConfiguration.virtual_hosts is field 2; a message's bytes are its fields' bytes one after another. */
const virtualHostsTag = (2 << 3) | 2;

const partsOf = new WeakMap<EncodedResource, TableParts>();

/** The parts of a table that `encodeTable` made; undefined for any other. */
export function tableParts(table: EncodedResource): TableParts | undefined {
	return partsOf.get(table);
}

/** Puts a RouteConfiguration together from the bytes of its virtual hosts, when somebody asks for it whole. */
export function encodeTable(
	name: string,
	virtualHosts: readonly Uint8Array[],
	{ ignorePortInHostMatching }: TableOptions,
	patchOf?: TablePatch,
): EncodedResource {
	stats.builds.rds++;
	// Clusters may come after the routes to them; 1 MiB is what Istio allows a direct response.
	const tail = encodeFields({ validateClusters: false, maxDirectResponseBodySizeBytes: 1_048_576, ignorePortInHostMatching });
	const parts = { head: encodeFields({ name }), virtualHosts, tail, patchOf };
	let whole: EncodedResource | undefined;
	const table: EncodedResource = {
		name,
		get version() {
			return (whole ??= joinTable(name, parts)).version;
		},
		get bytes() {
			return (whole ??= joinTable(name, parts)).bytes;
		},
	};
	partsOf.set(table, parts);
	return table;
}

const encodeFields = (fields: Parameters<typeof RouteConfiguration.fromPartial>[0]) =>
	RouteConfiguration.encode(RouteConfiguration.fromPartial(fields)).finish();

export function joinTable(name: string, { head, virtualHosts, tail }: TableParts): EncodedResource {
	stats.encodes.rds++;
	const parts: Uint8Array[] = [head];
	for (const bytes of virtualHosts) parts.push(lengthPrefix(bytes.length), bytes);
	parts.push(tail);
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
