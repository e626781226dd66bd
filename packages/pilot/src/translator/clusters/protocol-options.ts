import type { ConnectionPoolSettings } from "@weft/api";
import { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import { isHttp, isHttp2 } from "../../model/protocol.ts";
import type { Protocol } from "../../model/service.ts";
import { durationOf, packed } from "../routes/values.ts";
import { commonHttpOptions } from "./connection-pool.ts";

const typeName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

export interface ProtocolOptionsInput {
	readonly protocol: Protocol;
	readonly pool: ConnectionPoolSettings | undefined;
	/** Gateways know the protocol from their own configuration and never sniff. */
	readonly sniffs: boolean;
	/** The mesh's h2UpgradePolicy is UPGRADE. */
	readonly meshUpgradesH2: boolean;
	/** What is taken from the request's host: the SNI, the SAN checked, or both. */
	readonly autoSni: { readonly sni: boolean; readonly validateSan: boolean } | undefined;
}

/** Does the cluster always speak HTTP/2 to its endpoints? Decides the ALPN that is offered, too. */
export function speaksHttp2({ protocol, pool, meshUpgradesH2, sniffs }: Omit<ProtocolOptionsInput, "autoSni">): boolean {
	if (pool?.http?.useClientProtocol || (protocol === "Auto" && sniffs)) return false;
	if (isHttp2(protocol)) return true;
	const policy = pool?.http?.h2UpgradePolicy ?? "DEFAULT";
	// Whoever asks for it in a rule knows that the port speaks HTTP, whatever its name says.
	return policy === "UPGRADE" || (policy === "DEFAULT" && meshUpgradesH2 && isHttp(protocol));
}

/** typed_extension_protocol_options; undefined where everything is Envoy's default (HTTP/1.1). */
export function protocolOptions(input: ProtocolOptionsInput): Record<string, object> | undefined {
	const { pool, autoSni } = input;
	const common = commonHttpOptions(pool);
	const version = versionOptions(input);
	if (!version && !common && !autoSni) return undefined;
	const options = {
		...(common && { commonHttpProtocolOptions: common }),
		...(autoSni && { upstreamHttpProtocolOptions: { autoSni: autoSni.sni, autoSanValidation: autoSni.validateSan } }),
		...(version ?? { explicitHttpConfig: { httpProtocolOptions: {} } }),
	};
	return { [typeName]: packed(typeName, HttpProtocolOptions, options) };
}

function versionOptions(input: ProtocolOptionsInput): object | undefined {
	const keepalive = connectionKeepalive(input.pool);
	if (input.pool?.http?.useClientProtocol || (input.protocol === "Auto" && input.sniffs)) {
		return { useDownstreamProtocolConfig: { httpProtocolOptions: {}, http2ProtocolOptions: keepalive } };
	}
	if (!speaksHttp2(input)) return undefined;
	const streams = input.pool?.http?.maxConcurrentStreams;
	return { explicitHttpConfig: { http2ProtocolOptions: { ...(streams !== undefined && streams > 0 && { maxConcurrentStreams: streams }), ...keepalive } } };
}

/** PINGs find dead HTTP/2 connections. Envoy wants a timeout as soon as there is an interval: then it is as long. */
function connectionKeepalive(pool: ConnectionPoolSettings | undefined): object {
	const interval = durationOf(pool?.http?.http2KeepAlive?.interval);
	const timeout = durationOf(pool?.http?.http2KeepAlive?.timeout) ?? interval;
	return timeout === undefined ? {} : { connectionKeepalive: { ...(interval && { interval }), timeout } };
}
