import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot, Scope } from "../model/push.ts";

/** What every builder starts from: one snapshot, what the proxy's class may see of it, and the proxy. */
export interface ProxyContext {
	readonly push: PushSnapshot;
	readonly scope: Scope;
	readonly node: ProxyNode;
}

/** A resource built and encoded once, and shared by everyone who is sent it. */
export interface EncodedResource {
	readonly name: string;
	/** Hash of the content: equal bytes have equal versions, on any replica. */
	readonly version: string;
	/** The resource message itself (not wrapped in Any). */
	readonly bytes: Uint8Array;
}

/** Resources by name, sorted. */
export type Resources = ReadonlyMap<string, EncodedResource>;
