import { type ConfigDiscovery, type Extensions, listenerFilterInForce } from "./discovered-filters.ts";
import type { ConnectionPredicate, Listener, ProxyProtocolOptions } from "./listeners.ts";

/** What one listener filter does; in a listener all of them are folded into what its connections are looked at for. */
export type ListenerFilter =
	| { readonly kind: "tlsInspector" }
	| { readonly kind: "httpInspector" }
	| { readonly kind: "originalDst" }
	/** 0: no mark. */
	| { readonly kind: "originalSrc"; readonly mark: number }
	| { readonly kind: "proxyProtocol"; readonly options: ProxyProtocolOptions };

/** A filter in its place: connections of `disabled` do not meet it. */
export interface PlacedListenerFilter {
	/** `discovered`: what it is comes by itself, under this name. */
	readonly filter: ListenerFilter | { readonly kind: "discovered"; readonly name: string; readonly discovery: ConfigDiscovery<ListenerFilter> };
	readonly disabled: ConnectionPredicate | undefined;
}

export type ListenerFilterSettings = Pick<
	Listener,
	"inspectTls" | "inspectHttp" | "inspectsHttpFirst" | "tlsInspectorDisabled" | "httpInspectorDisabled" | "originalDst" | "originalSrc" | "proxyProtocol"
>;

/** The settings of filters in their order, beside those that the listener has anyway; what was not discovered yet adds nothing. */
export function foldListenerFilters(placed: readonly PlacedListenerFilter[], base: ListenerFilterSettings): ListenerFilterSettings {
	const out: { -readonly [K in keyof ListenerFilterSettings]: ListenerFilterSettings[K] } = { ...base };
	for (const { filter, disabled } of placed) {
		switch (filter.kind) {
			case "tlsInspector":
				out.inspectTls = true;
				out.inspectsHttpFirst = out.inspectHttp;
				out.tlsInspectorDisabled = disabled;
				break;
			case "httpInspector":
				out.inspectHttp = true;
				out.httpInspectorDisabled = disabled;
				break;
			case "originalDst":
				out.originalDst = true;
				break;
			case "originalSrc":
				out.originalSrc = { mark: filter.mark };
				break;
			case "proxyProtocol":
				out.proxyProtocol = filter.options;
				break;
			case "discovered":
		}
	}
	return out;
}

/** The listener as its discovered filters make it at present; undefined: one of them has not come, and nothing stands in for it. */
export function withDiscoveredFilters(listener: Listener, extensions: Extensions): Listener | undefined {
	const { discoverableFilters } = listener;
	if (discoverableFilters === undefined) return listener;
	const placed: PlacedListenerFilter[] = [];
	for (const { filter, disabled } of discoverableFilters) {
		const known = filter.kind === "discovered" ? listenerFilterInForce(filter.name, filter.discovery, extensions) : filter;
		if (known === undefined) return undefined;
		placed.push({ filter: known, disabled });
	}
	return { ...listener, ...foldListenerFilters(placed, listener) };
}
