import type { XdsType } from "../type-urls.ts";

/** A resource encoded once; every client with the same view is sent these same bytes. */
export interface EncodedResource {
	readonly name: string;
	/** Hash of the content: equal versions mean equal bytes. */
	readonly version: string;
	/** The message itself, not wrapped in an Any. */
	readonly bytes: Uint8Array;
}

/** What one client may see at one moment. Maps and resources are shared between clients. */
export interface ResourceView {
	/** Names the moment, e.g. the push's number. */
	readonly version: string;
	/** Everything of a type that clients take whole (CDS, LDS, NDS, PCDS, bootstraps). */
	all(type: XdsType): ReadonlyMap<string, EncodedResource>;
	/** One resource of a type that clients take by name (EDS, RDS, SDS, ECDS); undefined when there is none. */
	get(type: XdsType, name: string): EncodedResource | undefined;
	/** Everything whose name begins with `collection/`, of a type that clients take by such names (VHDS); undefined: it is no collection. */
	members(type: XdsType, collection: string): ReadonlyMap<string, EncodedResource> | undefined;
	/** Equal for two views that hold the same resources of a type, so that nothing is compared when nothing can differ. */
	revision(type: XdsType): unknown;
	/** The only names that can differ from what a view with revision `since` held; undefined when any can. */
	changes(type: XdsType, since: unknown): readonly string[] | undefined;
}

/**
 * Make before break (https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol#eventual-consistency-considerations):
 * roots come before whatever is under them, a cluster and its endpoints come before the listeners and routes that name them; removals come last.
 */
export const pushOrder: readonly XdsType[] = ["bootstrap", "pcds", "cds", "eds", "lds", "rds", "vhds", "sds", "ecds", "nds"];

/**
 * Types that a client takes by the name of a collection, as Envoy asks for virtual hosts (`use_namespace_matching`): changes and
 * removals make one response that is never cut, since a domain may move from one member to another.
 */
export const collectionTypes: ReadonlySet<XdsType> = new Set<XdsType>(["vhds"]);

/** Types of which a client takes everything when it names nothing. */
export const wildcardTypes: ReadonlySet<XdsType> = new Set<XdsType>(["cds", "lds", "nds", "pcds", "bootstrap"]);
