import type { HttpFilterConfig } from "./http-filters.ts";
import type { ListenerFilter } from "./listener-filters.ts";
import type { NetworkFilter } from "./network-filters.ts";
import { resourceKey, type ResourceSource } from "./resource-source.ts";

/** Where a filter's configuration comes from that comes by itself (ECDS): the resource has the filter's name. */
export interface ConfigDiscovery<Config> {
	/** Full names of the messages that it may be. */
	readonly typeNames: readonly string[];
	/** In force while there is no other; undefined: requests are answered 500, connections closed. */
	readonly fallback: Config | undefined;
	/** The listener waits for the first configuration, or for the word that there is none. */
	readonly isAwaited: boolean;
	/** undefined: ADS. */
	readonly source?: ResourceSource | undefined;
	/** The place at the end is a terminal filter's, and no other place is. */
	readonly isLast: boolean;
}

/** A filter's configuration that came by itself (`envoy.config.core.v3.TypedExtensionConfig`). */
export interface ExtensionConfig {
	/** Its key, where it comes from elsewhere than ADS. */
	readonly name: string;
	/** Full name of its message. */
	readonly typeName: string;
	/** What it is among HTTP, network and listener filters; a type may be several. undefined: there is no such filter. */
	readonly http: HttpFilterConfig | undefined;
	readonly network: NetworkFilter | undefined;
	readonly listener?: ListenerFilter | undefined;
}

export type Extensions = ReadonlyMap<string, ExtensionConfig>;

/** One that stands in a listener. */
export type DiscoveryUse =
	| { readonly kind: "http"; readonly name: string; readonly discovery: ConfigDiscovery<HttpFilterConfig> }
	| { readonly kind: "network"; readonly name: string; readonly discovery: ConfigDiscovery<NetworkFilter> }
	| { readonly kind: "listener"; readonly name: string; readonly discovery: ConfigDiscovery<ListenerFilter> };

/** Which of the configurations that came by themselves is the filter's. */
export function extensionKey({ name, discovery }: { readonly name: string; readonly discovery: Pick<ConfigDiscovery<unknown>, "source"> }): string {
	return resourceKey(name, discovery.source);
}

export const terminalNetworkFilters: ReadonlySet<NetworkFilter["kind"]> = new Set(["http", "tcpProxy", "echo", "directResponse"]);

/** Why a filter does not take this configuration, in Envoy's words; undefined: it does. */
export function misfit(use: DiscoveryUse, extension: ExtensionConfig): string | undefined {
	const { discovery, kind, name } = use;
	const { http, network, typeName } = extension;
	if (!discovery.typeNames.includes(typeName)) return `Error: filter config has type URL ${typeName} but expect ${discovery.typeNames.join(", ")}.`;
	if (extension[kind] === undefined) return `${kind} filter ${name} of type ${typeName} is not implemented`;
	if (kind === "listener") return undefined;
	const isTerminal = kind === "http" ? http?.kind === "router" : network !== undefined && terminalNetworkFilters.has(network.kind);
	if (isTerminal === discovery.isLast) return undefined;
	return isTerminal
		? `Error: terminal filter named ${name} of type ${typeName} must be the last filter in a ${kind} filter chain.`
		: `Error: non-terminal filter named ${name} of type ${typeName} is the last filter in a ${kind} filter chain.`;
}

/** What an HTTP filter is to be at present; undefined: nothing is known of it yet. */
export function httpConfigInForce(name: string, discovery: ConfigDiscovery<HttpFilterConfig>, extensions: Extensions): HttpFilterConfig | undefined {
	const extension = extensions.get(extensionKey({ name, discovery }));
	return extension !== undefined && misfit({ kind: "http", name, discovery }, extension) === undefined ? extension.http : discovery.fallback;
}

/** The same of a network filter. */
export function networkFilterInForce(name: string, discovery: ConfigDiscovery<NetworkFilter>, extensions: Extensions): NetworkFilter | undefined {
	const extension = extensions.get(extensionKey({ name, discovery }));
	return extension !== undefined && misfit({ kind: "network", name, discovery }, extension) === undefined ? extension.network : discovery.fallback;
}

/** The same of a listener filter. */
export function listenerFilterInForce(name: string, discovery: ConfigDiscovery<ListenerFilter>, extensions: Extensions): ListenerFilter | undefined {
	const extension = extensions.get(extensionKey({ name, discovery }));
	return extension !== undefined && misfit({ kind: "listener", name, discovery }, extension) === undefined ? extension.listener : discovery.fallback;
}
