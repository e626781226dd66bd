import { hash } from "node:crypto";
import type { MessageFns, XdsType } from "@weft/xds";
import type { EncodedResource } from "./context.ts";

/** How often resources were built and encoded since the start: `weft_resource_builds_total{type}`, `weft_resource_encodes_total{type}`. */
export interface ResourceStats {
	readonly builds: Record<XdsType, number>;
	readonly encodes: Record<XdsType, number>;
}

const zeros = (): Record<XdsType, number> => ({ cds: 0, eds: 0, lds: 0, rds: 0, vhds: 0, srds: 0, sds: 0, ecds: 0, rtds: 0, nds: 0, pcds: 0, bootstrap: 0 });

export const stats: ResourceStats = { builds: zeros(), encodes: zeros() };

/** 96 bits of SHA-1: far more than needed to tell versions of one resource apart. */
export function versionOf(bytes: Uint8Array): string {
	return hash("sha1", bytes, "base64url").slice(0, 16);
}

export function encodeResource<T>(type: XdsType, name: string, fns: MessageFns<T>, message: T): EncodedResource {
	stats.encodes[type]++;
	const bytes = fns.encode(message).finish();
	return { name, version: versionOf(bytes), bytes };
}
