import type { ClientTLSSettings, MeshConfig, TrafficPolicy } from "@weft/api";
import { ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { ProxyProtocolConfig_Version } from "@weft/xds/generated/envoy/config/core/v3/proxy_protocol.ts";
import { ProxyProtocolUpstreamTransport } from "@weft/xds/generated/envoy/extensions/transport_sockets/proxy_protocol/v3/upstream_proxy_protocol.ts";
import { RawBuffer } from "@weft/xds/generated/envoy/extensions/transport_sockets/raw_buffer/v3/raw_buffer.ts";
import { TlsParameters_TlsProtocol } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/common.ts";
import { UpstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import { invalidSecret } from "../../model/gateway-api/backend-tls.ts";
import { fileSecretConfig, secretConfig } from "../listeners/config-source.ts";
import { packed } from "../routes/values.ts";

export interface TransportInput {
	readonly policyTls: ClientTLSSettings | undefined;
	readonly proxyProtocol: TrafficPolicy["proxyProtocol"];
	/** Mutual TLS where the endpoint can: no rule says anything, and no policy forbids it. */
	readonly autoMtls: boolean;
	/** The cluster has no endpoints of its own (ORIGINAL_DST), so there is nothing to choose by. */
	readonly originalDst: boolean;
	readonly http2: boolean;
	/** The mesh's `tlsDefaults`: for TLS that is not its own mutual one. */
	readonly tlsDefaults: MeshConfig["tlsDefaults"];
	readonly istioExtensions: boolean;
	/** `outbound_.80_._.host` */
	readonly defaultSni: string;
	/** Identities of the service's endpoints. */
	readonly subjectAltNames: readonly string[];
}

const rawBuffer = {
	name: "envoy.transport_sockets.raw_buffer",
	typedConfig: packed("envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer", RawBuffer, {}),
};

/** transport_socket or transport_socket_matches of an outbound cluster; nothing for plain text. */
export function transportSockets(input: TransportInput): object {
	const wrap = (socket: object) => withProxyProtocol(input.proxyProtocol, socket);
	const mode = input.policyTls?.mode ?? (input.policyTls ? "DISABLE" : undefined);
	if (mode === undefined && input.autoMtls) {
		const mutual = wrap(istioMutual(input, undefined));
		if (input.originalDst) return { transportSocket: mutual };
		return {
			transportSocketMatches: [
				{ name: "tlsMode-istio", match: { tlsMode: "istio" }, transportSocket: mutual },
				{ name: "tlsMode-disabled", match: {}, transportSocket: wrap(rawBuffer) },
			],
		};
	}
	if (mode === "ISTIO_MUTUAL") return { transportSocket: wrap(istioMutual(input, input.policyTls)) };
	if (input.policyTls && (mode === "SIMPLE" || mode === "MUTUAL")) return { transportSocket: wrap(originatedTls(input, input.policyTls, mode)) };
	return input.proxyProtocol ? { transportSocket: wrap({ ...rawBuffer, name: "raw_buffer" }) } : {};
}

/** meshMTLS.minProtocolVersion is the server's to enforce; a client offers both. */
const tlsParams = { tlsMinimumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_2, tlsMaximumProtocolVersion: TlsParameters_TlsProtocol.TLSv1_3 };

function tlsSocket(context: object): object {
	return {
		name: "envoy.transport_sockets.tls",
		typedConfig: packed("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", UpstreamTlsContext, context),
	};
}

/** `istio-peer-exchange` promises the metadata exchange filter, `istio` alone says "mutual TLS of the mesh". */
function istioAlpn({ istioExtensions, http2 }: TransportInput): string[] {
	return [...(istioExtensions ? ["istio-peer-exchange"] : []), "istio", ...(http2 ? ["h2"] : [])];
}

const exactly = (names: readonly string[]) => names.map((exact) => ({ exact }));

function istioMutual(input: TransportInput, tls: ClientTLSSettings | undefined): object {
	const sans = tls?.subjectAltNames && tls.subjectAltNames.length > 0 ? tls.subjectAltNames : input.subjectAltNames;
	return tlsSocket({
		commonTlsContext: {
			alpnProtocols: istioAlpn(input),
			tlsParams,
			tlsCertificateSdsSecretConfigs: [secretConfig("default")],
			combinedValidationContext: {
				defaultValidationContext: { matchSubjectAltNames: exactly(sans) },
				validationContextSdsSecretConfig: secretConfig("ROOTCA"),
			},
		},
		sni: tls?.sni || input.defaultSni,
	});
}

/** Kubernetes Secrets come from the control plane; files and the system's roots are read by the agent. */
const controlPlaneSecrets = { ads: {}, resourceApiVersion: ApiVersion.V3 };

function chosenCiphers({ cipherSuites, ecdhCurves }: NonNullable<MeshConfig["tlsDefaults"]> = {}): object {
	return {
		...(cipherSuites?.length && { cipherSuites: [...cipherSuites] }),
		...(ecdhCurves?.length && { ecdhCurves: [...ecdhCurves] }),
	};
}

function originatedTls(input: TransportInput, tls: ClientTLSSettings, mode: "SIMPLE" | "MUTUAL"): object {
	const certificate = mode === "MUTUAL" ? clientCertificate(tls) : undefined;
	const defaultValidationContext = {
		matchSubjectAltNames: exactly(tls.subjectAltNames ?? []),
		...(tls.caCrl && { crl: { filename: tls.caCrl } }),
	};
	return tlsSocket({
		commonTlsContext: {
			...(input.http2 && { alpnProtocols: ["h2"] }),
			tlsParams: { ...tlsParams, ...chosenCiphers(input.tlsDefaults) },
			...(certificate && { tlsCertificateSdsSecretConfigs: [certificate] }),
			...(tls.insecureSkipVerify
				? { validationContext: {} }
				: { combinedValidationContext: { defaultValidationContext, validationContextSdsSecretConfig: trustedRoots(tls) } }),
		},
		sni: tls.sni ?? "",
	});
}

/** A name by itself is a Secret's in the proxy's own namespace; `configmap://ns/name` and the like say all. */
function credentialResource(name: string): string {
	return name.includes("://") ? name : `kubernetes://${name}`;
}

function clientCertificate(tls: ClientTLSSettings): object {
	if (tls.credentialName) return { name: credentialResource(tls.credentialName), sdsConfig: controlPlaneSecrets };
	return fileSecretConfig(`file-cert:${tls.clientCertificate ?? ""}~${tls.privateKey ?? ""}`);
}

function trustedRoots(tls: ClientTLSSettings): object {
	if (tls.credentialName === invalidSecret) return { name: invalidSecret, sdsConfig: controlPlaneSecrets };
	if (tls.credentialName) return { name: `${credentialResource(tls.credentialName)}-cacert`, sdsConfig: controlPlaneSecrets };
	return fileSecretConfig(`file-root:${tls.caCertificates || "system"}`);
}

function withProxyProtocol(settings: TrafficPolicy["proxyProtocol"], transportSocket: object): object {
	if (!settings) return transportSocket;
	const version = settings.version === "V2" ? ProxyProtocolConfig_Version.V2 : ProxyProtocolConfig_Version.V1;
	return {
		name: "envoy.transport_sockets.upstream_proxy_protocol",
		typedConfig: packed("envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport", ProxyProtocolUpstreamTransport, {
			config: { version },
			transportSocket,
		}),
	};
}
