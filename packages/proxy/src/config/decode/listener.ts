import { validateConstraints } from "@weft/xds";
import type { Listener as ListenerMessage } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type {
	FilterChain as ChainMessage,
	FilterChainMatch as MatchMessage,
	ListenerFilter,
} from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { OriginalSrc } from "@weft/xds/generated/envoy/extensions/filters/listener/original_src/v3/original_src.ts";
import type { ProxyProtocol } from "@weft/xds/generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.ts";
import type { ConnectionPredicate, FilterChain, FilterChainMatch, Listener, ProxyProtocolOptions } from "../listeners.ts";
import { decodeAccessLogs } from "./access-log.ts";
import { decodeAddress, decodeCidr } from "./address.ts";
import { openAny } from "./any.ts";
import { decodeConnectionPredicate } from "./connection-predicate.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, collect, type Decoded, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeNetworkFilters } from "./network-filters.ts";
import { decodeSocketOptions } from "./socket-options.ts";
import { decodeTlvChoice } from "./proxy-protocol-tlvs.ts";
import { decodeDownstreamSocket } from "./tls.ts";

const typeName = "envoy.config.listener.v3.Listener";

// Ports are always shared with SO_REUSEPORT, and drains are the same for every kind: those fields change nothing that a peer can see.
const supported = [
	"name",
	"address",
	"additionalAddresses",
	"statPrefix",
	"filterChains",
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
	const filters = decodeListenerFilters(at, message.listenerFilters);
	const filterChains = message.filterChains.map((chain, i) => decodeChain(under(at, `filterChains[${i}]`), chain, environment));
	if (filterChains.length === 0 && message.defaultFilterChain === undefined) report(at, `error adding listener '${message.name}': no filter chains specified`);
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
		// A listener that hands connections on by their original destination must know it: Envoy adds the filter as well.
		originalDst: filters.originalDst || message.useOriginalDst === true,
		// Matching by server name or protocol needs the inspector; Envoy adds it with a warning.
		inspectTls: filters.inspectTls || filterChains.some(needsTlsInspector),
		proxyProtocol: filters.proxyProtocol ?? (usesProxyProtocol ? { allowWithout: false, versions: proxyVersions } : undefined),
		listenerFiltersTimeoutMs: durationMsOr(message.listenerFiltersTimeout, 15_000),
		continueOnListenerFiltersTimeout: message.continueOnListenerFiltersTimeout,
		filterChains,
		defaultFilterChain: message.defaultFilterChain && decodeChain(under(at, "defaultFilterChain"), message.defaultFilterChain, environment),
		bufferBytesMax: message.perConnectionBufferLimitBytes ?? 1024 * 1024,
		...(decodesExactBalance(at, message) && { exactBalance: true }),
		...(message.bypassOverloadManager && { bypassesOverload: true }),
		...(message.ignoreGlobalConnLimit && { ignoresConnectionLimit: true }),
		backlog: message.tcpBacklogSize ?? 4096,
		socketOptions: decodeSocketOptions(at, message.socketOptions, message),
		accessLogs: decodeAccessLogs(at, message.accessLog, environment),
	};
}

function decodesExactBalance(at: At, { connectionBalanceConfig: balance }: ListenerMessage): boolean {
	if (balance?.extendBalance !== undefined) report(at, "connectionBalanceConfig.extendBalance is not implemented; exactBalance is");
	return balance?.exactBalance !== undefined;
}

function needsTlsInspector({ match }: FilterChain): boolean {
	return match.serverNames.length > 0 || match.transportProtocol === "tls";
}

type ListenerFilterKeys =
	| "inspectTls"
	| "inspectHttp"
	| "inspectsHttpFirst"
	| "tlsInspectorDisabled"
	| "httpInspectorDisabled"
	| "originalDst"
	| "originalSrc"
	| "proxyProtocol";

function reportDisabled(at: At, disabled: ConnectionPredicate | undefined): void {
	if (disabled !== undefined) report(under(at, "filterDisabled"), "filter_disabled is implemented for the TLS and HTTP inspectors only");
}

function decodeListenerFilters(at: At, filters: readonly ListenerFilter[]) {
	const out: { -readonly [K in ListenerFilterKeys]: Listener[K] } = {
		inspectTls: false,
		inspectHttp: false,
		inspectsHttpFirst: false,
		tlsInspectorDisabled: undefined,
		httpInspectorDisabled: undefined,
		originalDst: false,
		originalSrc: undefined,
		proxyProtocol: undefined,
	};
	filters.forEach((filter, i) => {
		const here = under(at, `listenerFilters[${i}]`);
		if (filter.configDiscovery !== undefined) return report(here, `listener filter ${filter.name}: config_discovery is not implemented`);
		const opened = openAny(here, filter.typedConfig, `listener filter ${filter.name}`);
		if (opened === undefined) return;
		const disabled = filter.filterDisabled && decodeConnectionPredicate(under(here, "filterDisabled"), filter.filterDisabled);
		switch (opened.typeName) {
			case "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector":
				out.inspectTls = true;
				out.inspectsHttpFirst = out.inspectHttp;
				out.tlsInspectorDisabled = disabled;
				return;
			case "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector":
				out.inspectHttp = true;
				out.httpInspectorDisabled = disabled;
				return;
			case "envoy.extensions.filters.listener.original_dst.v3.OriginalDst":
				out.originalDst = true;
				return reportDisabled(here, disabled);
			case "envoy.extensions.filters.listener.original_src.v3.OriginalSrc": {
				const { bindPort, mark } = opened.message as OriginalSrc;
				if (bindPort) report(under(here, "bindPort"), "binding the client's port is not implemented");
				out.originalSrc = { mark };
				return reportDisabled(here, disabled);
			}
			case "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol":
				out.proxyProtocol = decodeProxyProtocol(here, opened.message as ProxyProtocol);
				return reportDisabled(here, disabled);
		}
		report(here, `listener filter ${filter.name} of type ${opened.typeName} is not implemented`);
	});
	return out;
}

const proxyVersions = ["v1", "v2"] as const;

function decodeProxyProtocol(at: At, message: ProxyProtocol): ProxyProtocolOptions {
	const supported = ["rules", "passThroughTlvs", "statPrefix", "allowRequestsWithoutProxyProtocol", "disallowedVersions"];
	onlySupports(at, "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol", message, supported);
	const versions = proxyVersions.filter((_, i) => !message.disallowedVersions.some((version) => version === i));
	return {
		allowWithout: message.allowRequestsWithoutProxyProtocol,
		versions,
		keptTlvs: decodeTlvChoice(message.passThroughTlvs),
		...(message.statPrefix !== "" && { statPrefix: message.statPrefix }),
		tlvMetadata: message.rules.map(({ onTlvPresent, tlvType }) => ({
			type: tlvType,
			namespace: onTlvPresent?.metadataNamespace || "envoy.filters.listener.proxy_protocol",
			key: onTlvPresent?.key ?? "",
		})),
	};
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
