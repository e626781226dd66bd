import { validateConstraints } from "@weft/xds";
import type { Listener as ListenerMessage } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { FilterChain as ChainMessage, FilterChainMatch as MatchMessage } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { StringValue } from "@weft/xds/generated/google/protobuf/wrappers.ts";
import type { Matcher } from "@weft/xds/generated/xds/type/matcher/v3/matcher.ts";
import { foldListenerFilters, type ListenerFilterSettings } from "../listener-filters.ts";
import type { FilterChain, FilterChainMatch, Listener } from "../listeners.ts";
import type { MatcherTree } from "../matcher-tree.ts";
import { decodeAccessLogs } from "./access-log.ts";
import { decodeAddress, decodeCidr } from "./address.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { decodeFilterMetadata } from "./filter-metadata.ts";
import { type At, collect, type Decoded, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeListenerFilters } from "./listener-filters.ts";
import { decodeMatcherTree, listenerInputs } from "./matcher-tree.ts";
import { decodeNetworkFilters } from "./network-filters.ts";
import { decodeSocketOptions } from "./socket-options.ts";
import { decodeDownstreamSocket } from "./tls.ts";

const typeName = "envoy.config.listener.v3.Listener";

// Ports are always shared with SO_REUSEPORT, and drains are the same for every kind: those fields change nothing that a peer can see.
const supported = [
	"name",
	"address",
	"additionalAddresses",
	"statPrefix",
	"filterChains",
	"filterChainMatcher",
	"useOriginalDst",
	"defaultFilterChain",
	"perConnectionBufferLimitBytes",
	"metadata",
	"deprecatedV1",
	"drainType",
	"listenerFilters",
	"listenerFiltersTimeout",
	"continueOnListenerFiltersTimeout",
	"socketOptions",
	"tcpFastOpenQueueLength",
	"trafficDirection",
	"connectionBalanceConfig",
	"reusePort",
	"enableReusePort",
	"accessLog",
	"tcpBacklogSize",
	"maxConnectionsToAcceptPerSocketEvent",
	"bindToPort",
	"ignoreGlobalConnLimit",
	"bypassOverloadManager",
	"transparent",
	"freebind",
];

export function decodeListener(message: ListenerMessage, environment: DecodeEnvironment): Decoded<Listener> {
	return collect(
		"",
		(at) => {
			at.errors.push(...validateConstraints(typeName, message));
			return decodeListenerFields(at, message, environment);
		},
		message.name,
	);
}

function decodeListenerFields(at: At, message: ListenerMessage, environment: DecodeEnvironment): Listener {
	onlySupports(at, typeName, message, supported);
	const placed = decodeListenerFilters(at, message.listenerFilters, environment);
	const isDiscoverable = placed.some(({ filter }) => filter.kind === "discovered");
	const filters = foldListenerFilters(isDiscoverable ? [] : placed, withoutFilters);
	const filterChains = message.filterChains.map((chain, i) => decodeChain(under(at, `filterChains[${i}]`), chain, environment));
	if (filterChains.length === 0 && message.defaultFilterChain === undefined) report(at, `error adding listener '${message.name}': no filter chains specified`);
	const metadata = decodeFilterMetadata(message.metadata);
	const usesProxyProtocol = message.filterChains.some((chain) => chain.useProxyProto === true);
	return {
		name: message.name,
		address: decodeAddress(under(at, "address"), message.address),
		additionalAddresses: message.additionalAddresses.map(({ address }, i) => decodeAddress(under(at, `additionalAddresses[${i}]`), address)),
		bindToPort: message.bindToPort ?? message.deprecatedV1?.bindToPort ?? true,
		useOriginalDst: message.useOriginalDst ?? false,
		direction: (["unspecified", "inbound", "outbound"] as const)[message.trafficDirection] ?? "unspecified",
		statPrefix: message.statPrefix,
		...filters,
		...(isDiscoverable && { discoverableFilters: placed }),
		// A listener that hands connections on by their original destination must know it: Envoy adds the filter as well.
		originalDst: filters.originalDst || message.useOriginalDst === true,
		// Matching by server name or protocol needs the inspector; Envoy adds it with a warning.
		inspectTls: filters.inspectTls || filterChains.some(needsTlsInspector),
		proxyProtocol: filters.proxyProtocol ?? (usesProxyProtocol ? { allowWithout: false, versions: ["v1", "v2"] } : undefined),
		listenerFiltersTimeoutMs: durationMsOr(message.listenerFiltersTimeout, 15_000),
		continueOnListenerFiltersTimeout: message.continueOnListenerFiltersTimeout,
		filterChains,
		...(message.filterChainMatcher && { filterChainMatcher: decodeChainMatcher(under(at, "filterChainMatcher"), message.filterChainMatcher, filterChains) }),
		defaultFilterChain: message.defaultFilterChain && decodeChain(under(at, "defaultFilterChain"), message.defaultFilterChain, environment),
		bufferBytesMax: message.perConnectionBufferLimitBytes ?? 1024 * 1024,
		...(decodesExactBalance(at, message) && { exactBalance: true }),
		...(message.bypassOverloadManager && { bypassesOverload: true }),
		...(message.ignoreGlobalConnLimit && { ignoresConnectionLimit: true }),
		backlog: message.tcpBacklogSize ?? 4096,
		socketOptions: decodeSocketOptions(at, message.socketOptions, message),
		accessLogs: decodeAccessLogs(at, message.accessLog, environment),
		...(metadata && { metadata }),
	};
}

const withoutFilters: ListenerFilterSettings = {
	inspectTls: false,
	inspectHttp: false,
	inspectsHttpFirst: false,
	tlsInspectorDisabled: undefined,
	httpInspectorDisabled: undefined,
	originalDst: false,
	originalSrc: undefined,
	proxyProtocol: undefined,
};

function decodesExactBalance(at: At, { connectionBalanceConfig: balance }: ListenerMessage): boolean {
	if (balance?.extendBalance !== undefined) report(at, "connectionBalanceConfig.extendBalance is not implemented; exactBalance is");
	return balance?.exactBalance !== undefined;
}

function decodeChainMatcher(at: At, matcher: Matcher, chains: readonly FilterChain[]): MatcherTree<{ readonly chain: string }> {
	const names = new Set<string>();
	for (const { name } of chains) {
		if (name === "" || names.has(name)) report(at, `filter chains that a matcher chooses need names of their own: ${JSON.stringify(name)}`);
		names.add(name);
	}
	return decodeMatcherTree(at, matcher, {
		inputs: new Set(listenerInputs),
		refusal: "a filter chain cannot be chosen by",
		decodeAction(here, { typeName, message }) {
			if (typeName === "google.protobuf.StringValue") return { chain: (message as StringValue).value };
			report(here, `action of type ${typeName} is not a filter chain's name (google.protobuf.StringValue)`);
			return undefined;
		},
	});
}

function needsTlsInspector({ match }: FilterChain): boolean {
	return match.serverNames.length > 0 || match.transportProtocol === "tls";
}

function decodeChain(at: At, chain: ChainMessage, environment: DecodeEnvironment): FilterChain {
	onlySupports(at, "envoy.config.listener.v3.FilterChain", chain, [
		"filterChainMatch",
		"filters",
		"useProxyProto",
		"metadata",
		"transportSocket",
		"transportSocketConnectTimeout",
		"name",
	]);
	return {
		name: chain.name,
		match: decodeMatch(under(at, "filterChainMatch"), chain.filterChainMatch),
		tls: decodeDownstreamSocket(under(at, "transportSocket"), chain.transportSocket, environment),
		filters: decodeNetworkFilters(at, chain.filters, environment),
		transportSocketConnectTimeoutMs: durationMsOr(chain.transportSocketConnectTimeout, 0),
	};
}

const matchFields = [
	"destinationPort",
	"prefixRanges",
	"directSourcePrefixRanges",
	"sourceType",
	"sourcePrefixRanges",
	"sourcePorts",
	"serverNames",
	"transportProtocol",
	"applicationProtocols",
];

function decodeMatch(at: At, match: MatchMessage | undefined): FilterChainMatch {
	if (match !== undefined) onlySupports(at, "envoy.config.listener.v3.FilterChainMatch", match, matchFields);
	const transport = match?.transportProtocol ?? "";
	if (transport !== "" && transport !== "tls" && transport !== "raw_buffer")
		report(under(at, "transportProtocol"), `transport protocol ${transport} is not implemented`);
	for (const name of match?.serverNames ?? []) {
		if (name.includes("*") && !/^\*\.[^*]+$/.test(name)) report(under(at, "serverNames"), `partial wildcards are not supported in "server_names": ${name}`);
	}
	return {
		destinationPort: match?.destinationPort,
		destinationRanges: (match?.prefixRanges ?? []).map(decodeCidr),
		serverNames: (match?.serverNames ?? []).map((name) => name.toLowerCase()),
		transportProtocol: transport === "tls" || transport === "raw_buffer" ? transport : "",
		applicationProtocols: match?.applicationProtocols ?? [],
		directSourceRanges: (match?.directSourcePrefixRanges ?? []).map(decodeCidr),
		sourceType: (["any", "sameIpOrLoopback", "external"] as const)[match?.sourceType ?? 0] ?? "any",
		sourceRanges: (match?.sourcePrefixRanges ?? []).map(decodeCidr),
		sourcePorts: match?.sourcePorts ?? [],
	};
}
