import type { Any } from "@weft/xds";
import type { LookupFamily } from "../../dynamic-dns.ts";
import type { DirectionPolicies } from "../../policy/workload-policies.ts";
import type { DiscoveredFilter, Extension } from "../../policy/extensions.ts";

/** One entry of HttpConnectionManager.http_filters. */
export interface HttpFilter {
	readonly name: string;
	readonly typedConfig: Any;
}

/** A gateway forwards like a client's sidecar, for clients that are as little to be trusted as a server's. */
export type Direction = "inbound" | "outbound" | "gateway";

/** What decides whether and how a filter is there. */
export interface HttpFilterInput {
	readonly direction: Direction;
	/** The proxy implements Istio's own filters; a stock Envoy would refuse them. */
	readonly istioExtensions: boolean;
	readonly policies: DirectionPolicies;
	/** Filters of the user's own that want this traffic, in order of priority. */
	readonly extensions: readonly Extension[];
	/** Workloads outside the mesh are not told who calls them. */
	readonly hideFromOutside: boolean;
	/** Nothing of Envoy's inner workings goes into headers. */
	readonly suppressEnvoyHeaders: boolean;
	/** Some route of the proxy keeps sessions. */
	readonly sessions: boolean;
	/** The port takes gRPC-Web: what browsers send becomes gRPC. */
	readonly grpcWeb: boolean;
	/** Wildcards whose hosts are resolved when a request names them, and in which family; undefined: the proxy cannot do that. */
	readonly dynamicDns: LookupFamily | undefined;
	readonly dynamicHosts: readonly string[];
}

export type AnyHttpFilter = HttpFilter | DiscoveredFilter;

/** Undefined or empty: this listener goes without the filter. */
export type HttpFilterBuilder = (input: HttpFilterInput) => AnyHttpFilter | readonly AnyHttpFilter[] | undefined;
