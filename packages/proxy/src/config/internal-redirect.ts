/** Redirects of upstreams that the proxy follows itself; Envoy's `InternalRedirectPolicy`. */
export interface InternalRedirectPolicy {
	/** How many redirects of one request are followed. */
	readonly redirectsMax: number;
	/** Of 301, 302, 303, 307 and 308. */
	readonly statuses: readonly number[];
	/** Each must accept the route that the target has; asked in order. */
	readonly predicates: readonly RedirectPredicate[];
	readonly allowsCrossScheme: boolean;
	/** Lower-case names of headers of the response that replace those of the request. */
	readonly copiedHeaders: readonly string[];
}

export type RedirectPredicate =
	/** Not a route that has been redirected to from this one already. */
	| { readonly kind: "previousRoutes" }
	/** One of these, by name. */
	| { readonly kind: "allowListedRoutes"; readonly names: readonly string[] }
	/** Not from http to https. */
	| { readonly kind: "safeCrossScheme" };
