import type { Cluster as ClusterMessage } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Http1ProtocolOptions } from "@weft/xds/generated/envoy/config/core/v3/protocol.ts";
import type { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import type { Cluster } from "../clusters.ts";
import { openAny } from "./any.ts";
import { decodeHttp2Options } from "./http2-options.ts";
import { decodeHttp1 } from "./http-connection-manager.ts";
import { type At, durationMsOr, onlySupports, report, under } from "./issues.ts";

export interface ProtocolChoice
	extends Pick<
		Cluster,
		"upstreamProtocol" | "http1" | "http2" | "idleTimeoutMs" | "maxConnectionDurationMs" | "maxStreamDurationMs" | "maxRequestsPerConnection"
	> {
	/** Whether anything is said of the names that TLS is to use. */
	readonly hasNameOptions: boolean;
	readonly autoSni: boolean;
	readonly autoSanValidation: boolean;
}

const optionsKey = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/** Envoy's idle timeout of upstream connections. */
const idleDefaultMs = 3_600_000;

/** The protocol options of a cluster: the extension, or the older fields of the cluster itself. */
export function decodeUpstreamProtocol(at: At, message: ClusterMessage): ProtocolChoice {
	let options: HttpProtocolOptions | undefined;
	for (const [name, any] of Object.entries(message.typedExtensionProtocolOptions)) {
		const here = under(at, `typedExtensionProtocolOptions["${name}"]`);
		const opened = openAny(here, any, `protocol options ${name}`);
		if (opened?.typeName === optionsKey) options = opened.message as HttpProtocolOptions;
		else if (opened) report(here, `protocol options of type ${opened.typeName} are not implemented`);
	}
	return options === undefined ? decodeOlder(at, message) : decodeOptions(under(at, "typedExtensionProtocolOptions"), options, message);
}

function decodeOptions(at: At, options: HttpProtocolOptions, message: ClusterMessage): ProtocolChoice {
	onlySupports(at, optionsKey, options, [
		"commonHttpProtocolOptions",
		"upstreamHttpProtocolOptions",
		"explicitHttpConfig",
		"useDownstreamProtocolConfig",
		"autoConfig",
		"httpFilters",
	]);
	for (const filter of options.httpFilters) {
		if (filter.name !== "envoy.filters.http.upstream_codec") report(under(at, "httpFilters"), `upstream HTTP filter ${filter.name} is not implemented`);
	}
	const explicit = options.explicitHttpConfig;
	if (explicit?.http3ProtocolOptions !== undefined) report(under(at, "explicitHttpConfig"), "HTTP/3 is not implemented");
	const http1 = explicit?.httpProtocolOptions ?? options.useDownstreamProtocolConfig?.httpProtocolOptions ?? options.autoConfig?.httpProtocolOptions;
	const http2 = explicit?.http2ProtocolOptions ?? options.useDownstreamProtocolConfig?.http2ProtocolOptions ?? options.autoConfig?.http2ProtocolOptions;
	const common = options.commonHttpProtocolOptions;
	checkCommon(under(at, "commonHttpProtocolOptions"), common);
	const names = options.upstreamHttpProtocolOptions;
	return {
		upstreamProtocol: options.autoConfig ? "alpn" : options.useDownstreamProtocolConfig ? "downstream" : explicit?.http2ProtocolOptions ? "http2" : "http1",
		http1: decodeUpstreamHttp1(at, http1),
		http2: decodeHttp2Options(at, http2),
		idleTimeoutMs: durationMsOr(common?.idleTimeout, idleDefaultMs),
		maxConnectionDurationMs: durationMsOr(common?.maxConnectionDuration, 0),
		maxStreamDurationMs: durationMsOr(common?.maxStreamDuration, 0),
		maxRequestsPerConnection: common?.maxRequestsPerConnection ?? message.maxRequestsPerConnection ?? 0,
		hasNameOptions: names !== undefined,
		autoSni: names?.autoSni ?? false,
		autoSanValidation: names?.autoSanValidation ?? false,
	};
}

/** HTTP/1.0 responses are always taken: Envoy's `accept_http_10` is for servers, here as there. */
function decodeUpstreamHttp1(at: At, options: Http1ProtocolOptions | undefined): Cluster["http1"] {
	const { headerCase, enableTrailers } = decodeHttp1(at, options);
	return { headerCase, enableTrailers };
}

// Underscores are a matter of requests alone.
const commonFields = ["idleTimeout", "maxConnectionDuration", "maxStreamDuration", "maxRequestsPerConnection", "headersWithUnderscoresAction"];

function checkCommon(at: At, common: ClusterMessage["commonHttpProtocolOptions"]): void {
	if (common !== undefined) onlySupports(at, "envoy.config.core.v3.HttpProtocolOptions", common, commonFields);
}

function decodeOlder(at: At, message: ClusterMessage): ProtocolChoice {
	const common = message.commonHttpProtocolOptions;
	checkCommon(under(at, "commonHttpProtocolOptions"), common);
	const names = message.upstreamHttpProtocolOptions;
	return {
		upstreamProtocol: message.protocolSelection === 1 ? "downstream" : message.http2ProtocolOptions ? "http2" : "http1",
		http1: decodeUpstreamHttp1(under(at, "httpProtocolOptions"), message.httpProtocolOptions),
		http2: decodeHttp2Options(under(at, "http2ProtocolOptions"), message.http2ProtocolOptions),
		idleTimeoutMs: durationMsOr(common?.idleTimeout, idleDefaultMs),
		maxConnectionDurationMs: durationMsOr(common?.maxConnectionDuration, 0),
		maxStreamDurationMs: durationMsOr(common?.maxStreamDuration, 0),
		maxRequestsPerConnection: common?.maxRequestsPerConnection ?? message.maxRequestsPerConnection ?? 0,
		hasNameOptions: names !== undefined,
		autoSni: names?.autoSni ?? false,
		autoSanValidation: names?.autoSanValidation ?? false,
	};
}
