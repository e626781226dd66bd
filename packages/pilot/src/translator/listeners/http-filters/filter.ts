import type { Any } from "@weft/xds";

/** One entry of HttpConnectionManager.http_filters. */
export interface HttpFilter {
	readonly name: string;
	readonly typedConfig: Any;
}

/** What decides whether and how a filter is there. */
export interface HttpFilterInput {
	readonly direction: "inbound" | "outbound";
	/** The proxy implements Istio's own filters; a stock Envoy would refuse them. */
	readonly istioExtensions: boolean;
	/** Istio's metrics are wanted (MeshConfig.defaultProviders.metrics). */
	readonly metrics: boolean;
}

/** Undefined: this listener goes without the filter. */
export type HttpFilterBuilder = (input: HttpFilterInput) => HttpFilter | undefined;
