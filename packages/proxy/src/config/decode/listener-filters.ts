import type { ListenerFilter as ListenerFilterMessage } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { OriginalSrc } from "@weft/xds/generated/envoy/extensions/filters/listener/original_src/v3/original_src.ts";
import type { ProxyProtocol } from "@weft/xds/generated/envoy/extensions/filters/listener/proxy_protocol/v3/proxy_protocol.ts";
import { stripTypeUrl } from "@weft/xds";
import type { ListenerFilter, PlacedListenerFilter } from "../listener-filters.ts";
import type { ProxyProtocolOptions } from "../listeners.ts";
import { type Opened, openAny } from "./any.ts";
import { decodeListenerDiscovery } from "./config-discovery.ts";
import { decodeConnectionPredicate } from "./connection-predicate.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { type At, onlySupports, report, under } from "./issues.ts";
import { decodeTlvChoice } from "./proxy-protocol-tlvs.ts";

export function decodeListenerFilters(at: At, filters: readonly ListenerFilterMessage[], environment: DecodeEnvironment): readonly PlacedListenerFilter[] {
	return filters.flatMap((filter, i) => decodePlaced(under(at, `listenerFilters[${i}]`), filter, environment) ?? []);
}

function decodePlaced(at: At, message: ListenerFilterMessage, environment: DecodeEnvironment): PlacedListenerFilter | undefined {
	const { name, configDiscovery, typedConfig, filterDisabled } = message;
	const disabled = filterDisabled && decodeConnectionPredicate(under(at, "filterDisabled"), filterDisabled);
	const mayBeDisabled = (typeName: string) => {
		if (disabled !== undefined && isListenerFilterType(typeName) && !inspectors.has(typeName))
			report(under(at, "filterDisabled"), "filter_disabled is implemented for the TLS and HTTP inspectors only");
	};
	if (configDiscovery !== undefined) {
		configDiscovery.typeUrls.map(stripTypeUrl).forEach(mayBeDisabled);
		return { filter: { kind: "discovered", name, discovery: decodeListenerDiscovery(at, name, configDiscovery, environment) }, disabled };
	}
	const opened = openAny(at, typedConfig, `listener filter ${name}`);
	if (opened === undefined) return undefined;
	mayBeDisabled(opened.typeName);
	const filter = decodeListenerFilterConfig(at, name, opened);
	return filter && { filter, disabled };
}

type DecodeConfig = (at: At, message: unknown) => ListenerFilter;

const tlsInspector = "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector";
const httpInspector = "envoy.extensions.filters.listener.http_inspector.v3.HttpInspector";
const proxyProtocol = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol";
const inspectors = new Set([tlsInspector, httpInspector]);

/** By the types of their messages. */
const decoders: Readonly<Record<string, DecodeConfig>> = {
	[tlsInspector]: () => ({ kind: "tlsInspector" }),
	[httpInspector]: () => ({ kind: "httpInspector" }),
	"envoy.extensions.filters.listener.original_dst.v3.OriginalDst": () => ({ kind: "originalDst" }),
	"envoy.extensions.filters.listener.original_src.v3.OriginalSrc": (at, message) => {
		const { bindPort, mark } = message as OriginalSrc;
		if (bindPort) report(under(at, "bindPort"), "binding the client's port is not implemented");
		return { kind: "originalSrc", mark };
	},
	[proxyProtocol]: (at, message) => ({ kind: "proxyProtocol", options: decodeProxyProtocol(at, message as ProxyProtocol) }),
};

export function isListenerFilterType(typeName: string): boolean {
	return Object.hasOwn(decoders, typeName);
}

export function decodeListenerFilterConfig(at: At, name: string, { typeName, message }: Opened): ListenerFilter | undefined {
	const decode = isListenerFilterType(typeName) ? decoders[typeName] : undefined;
	if (decode === undefined) report(at, `listener filter ${name} of type ${typeName} is not implemented`);
	return decode?.(at, message);
}

const proxyVersions = ["v1", "v2"] as const;

function decodeProxyProtocol(at: At, message: ProxyProtocol): ProxyProtocolOptions {
	const supported = ["rules", "passThroughTlvs", "statPrefix", "allowRequestsWithoutProxyProtocol", "disallowedVersions"];
	onlySupports(at, proxyProtocol, message, supported);
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
