import { type MeshConfig, type ServerTLSSettings, usableCipherSuites } from "@weft/api";
import { ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { TlsParameters_TlsProtocol } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/common.ts";
import { DownstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import { workloadCertificate } from "../../model/gateway-api/listener-tls.ts";
import type { ServerSecrets } from "../../model/mounted-certificates.ts";
import { packed } from "../routes/values.ts";
import { fileSecretConfig, ownSecretConfig, secretConfig } from "./config-source.ts";

const protocols = TlsParameters_TlsProtocol;
const versions = {
	TLS_AUTO: protocols.TLS_AUTO,
	TLSV1_0: protocols.TLSv1_0,
	TLSV1_1: protocols.TLSv1_1,
	TLSV1_2: protocols.TLSv1_2,
	TLSV1_3: protocols.TLSv1_3,
} as const;

/** The server side of TLS at a gateway; https://istio.io/latest/docs/reference/config/networking/gateway/#ServerTLSSettings */
export function gatewayTlsSocket(mesh: MeshConfig, tls: ServerTLSSettings, protocol: "http" | "tcp", own: ServerSecrets): object {
	const mutual = tls.mode === "MUTUAL" || tls.mode === "ISTIO_MUTUAL" || tls.mode === "OPTIONAL_MUTUAL";
	const params = tlsParams(mesh, tls);
	return {
		name: "envoy.transport_sockets.tls",
		typedConfig: packed("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", DownstreamTlsContext, {
			commonTlsContext: {
				// Only peers of the mesh exchange metadata.
				alpnProtocols: [...(protocol === "tcp" && tls.mode === "ISTIO_MUTUAL" ? ["istio-peer-exchange"] : []), "h2", "http/1.1"],
				...(params ? { tlsParams: params } : {}),
				tlsCertificateSdsSecretConfigs: certificates(tls, own),
				...(mutual
					? {
							combinedValidationContext: {
								defaultValidationContext: {
									matchSubjectAltNames: (tls.subjectAltNames ?? []).map((exact) => ({ exact })),
									verifyCertificateSpki: [...(tls.verifyCertificateSpki ?? [])],
									verifyCertificateHash: [...(tls.verifyCertificateHash ?? [])],
									...(tls.caCrl ? { crl: { filename: tls.caCrl } } : {}),
								},
								validationContextSdsSecretConfig: validation(tls, own),
							},
						}
					: {}),
			},
			requireClientCertificate: mutual && tls.mode !== "OPTIONAL_MUTUAL",
		}),
	};
}

/** Kept by the control plane, which sends a gateway the Secrets that its Gateways name. */
function controlPlaneSecret(name: string): object {
	return { name, sdsConfig: { ads: {}, resourceApiVersion: ApiVersion.V3 } };
}

function certificates(tls: ServerTLSSettings, own: ServerSecrets): object[] {
	if (tls.mode === "ISTIO_MUTUAL") return [ownSecretConfig(own.certificate, "default")];
	if (tls.credentialName === workloadCertificate) return [secretConfig("default")];
	const names = tls.credentialNames?.length ? tls.credentialNames : tls.credentialName ? [tls.credentialName] : [];
	if (names.length > 0) return names.map((name) => controlPlaneSecret(secretName(name)));
	const pairs = tls.tlsCertificates?.length ? tls.tlsCertificates : [tls];
	return pairs.map(({ serverCertificate = "", privateKey = "" }) => fileSecretConfig(`file-cert:${serverCertificate}~${privateKey}`));
}

function validation(tls: ServerTLSSettings, own: ServerSecrets): object {
	if (tls.mode === "ISTIO_MUTUAL") return ownSecretConfig(own.roots, "ROOTCA");
	const name = tls.caCertCredentialName || (tls.credentialName ? `${tls.credentialName}-cacert` : "");
	return name ? controlPlaneSecret(secretName(name)) : fileSecretConfig(`file-root:${tls.caCertificates ?? ""}`);
}

function secretName(name: string): string {
	return name.includes("://") ? name : `kubernetes://${name}`;
}

function tlsParams(mesh: MeshConfig, tls: ServerTLSSettings): object | undefined {
	const minimum = tls.minProtocolVersion ?? mesh.tlsDefaults?.minProtocolVersion;
	const cipherSuites = usableCipherSuites((tls.cipherSuites?.length ? tls.cipherSuites : mesh.tlsDefaults?.cipherSuites) ?? []);
	const curves = mesh.tlsDefaults?.ecdhCurves;
	if (!minimum && !tls.maxProtocolVersion && cipherSuites.length === 0 && !curves?.length) return undefined;
	return {
		...(minimum ? { tlsMinimumProtocolVersion: versions[minimum] } : {}),
		...(tls.maxProtocolVersion ? { tlsMaximumProtocolVersion: versions[tls.maxProtocolVersion] } : {}),
		...(cipherSuites.length > 0 ? { cipherSuites } : {}),
		...(curves?.length ? { ecdhCurves: [...curves] } : {}),
	};
}
