import type { MeshConfig, Tracing } from "@weft/api";
import { HttpConnectionManager_ForwardClientCertDetails } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import { decodeProxyHeaders, type ProxyHeaders } from "./proxy-headers.ts";

/** The parts of ProxyConfig that listeners are made of; https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig */
export interface ListenerProxyConfig {
	readonly tracing: Tracing | undefined;
	readonly topology: GatewayTopology;
	readonly headers: ProxyHeaders;
	/** Refusals tell their reason to the caller. */
	readonly reasonHeader: boolean;
}

export interface GatewayTopology {
	readonly numTrustedProxies: number;
	readonly forwardClientCertDetails: HttpConnectionManager_ForwardClientCertDetails;
	/** Clients speak the PROXY protocol before anything else. */
	readonly proxyProtocol: boolean;
}

/**
 * An entry of `proxyMetadata` that is ours: of MeshConfig's defaultConfig, or of the annotation proxy.istio.io/config of one pod. Off
 * unless asked for, since it tells callers the names of policies.
 */
const reasonSwitch = "WEFT_REASON_HEADER";

type Json = Readonly<Record<string, unknown>>;

/** What the proxy itself says (metadata PROXY_CONFIG, set when it was injected) comes before the mesh's default, field by field. */
export function proxyConfigOf(mesh: MeshConfig, { metadata }: ProxyNode): ListenerProxyConfig {
	const own = recordOf(metadata["PROXY_CONFIG"]);
	const { tracing, gatewayTopology, proxyHeaders } = own;
	const { [reasonSwitch]: reason } = { ...mesh.defaultConfig?.proxyMetadata, ...recordOf(own["proxyMetadata"]) };
	return {
		reasonHeader: reason === "true",
		tracing: isRecord(tracing) ? decodeTracing(tracing) : mesh.defaultConfig?.tracing,
		topology: decodeTopology(isRecord(gatewayTopology) ? gatewayTopology : (mesh.defaultConfig?.gatewayTopology ?? {})),
		headers: decodeProxyHeaders(proxyHeaders ?? mesh.defaultConfig?.proxyHeaders),
	};
}

function recordOf(value: unknown): Json {
	return isRecord(value) ? value : {};
}

function isRecord(value: unknown): value is Json {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");

/** A client may write anything into its metadata: what is not of the right type counts as not said. */
function decodeTracing({ sampling, maxPathTagLength, customTags, enableIstioTags }: Json): Tracing {
	return {
		...(typeof enableIstioTags === "boolean" ? { enableIstioTags } : {}),
		...(typeof sampling === "number" && sampling >= 0 && sampling <= 100 ? { sampling } : {}),
		...(isCount(maxPathTagLength) ? { maxPathTagLength } : {}),
		customTags: Object.fromEntries(Object.entries(recordOf(customTags)).map(([tag, value]) => [tag, decodeTag(recordOf(value))])),
	};
}

function decodeTag(tag: Json): NonNullable<Tracing["customTags"]>[string] {
	if (isRecord(tag["literal"])) return { literal: { value: textOf(tag["literal"]["value"]) } };
	if (isRecord(tag["environment"])) return { environment: named(tag["environment"]) };
	return { header: named(recordOf(tag["header"])) };
}

function named({ name, defaultValue }: Json): { name: string; defaultValue: string } {
	return { name: textOf(name), defaultValue: textOf(defaultValue) };
}

function isCount(value: unknown): value is number {
	return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff;
}

const details = HttpConnectionManager_ForwardClientCertDetails;
const detailsByName: ReadonlyMap<string, HttpConnectionManager_ForwardClientCertDetails> = new Map(Object.entries(details));

function decodeTopology({ numTrustedProxies, forwardClientCertDetails, proxyProtocol }: Json): GatewayTopology {
	return {
		numTrustedProxies: isCount(numTrustedProxies) ? numTrustedProxies : 0,
		// A gateway's clients are strangers: what they say about their certificates is replaced, unless the mesh says otherwise.
		forwardClientCertDetails: detailsByName.get(textOf(forwardClientCertDetails)) ?? details.SANITIZE_SET,
		proxyProtocol: isRecord(proxyProtocol),
	};
}
