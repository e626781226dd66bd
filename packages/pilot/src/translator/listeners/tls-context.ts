import type { MeshConfig } from "@weft/api";
import type { ServerSecrets } from "../../model/mounted-certificates.ts";
import { TlsParameters_TlsProtocol } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/common.ts";
import { DownstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import { packed } from "../routes/values.ts";
import { ownSecretConfig } from "./config-source.ts";

/** Forward secrecy first; the two last are for peers that have nothing better. */
const cipherSuites = [
	"ECDHE-ECDSA-AES256-GCM-SHA384",
	"ECDHE-RSA-AES256-GCM-SHA384",
	"ECDHE-ECDSA-AES128-GCM-SHA256",
	"ECDHE-RSA-AES128-GCM-SHA256",
	"AES256-GCM-SHA384",
	"AES128-GCM-SHA256",
];

/** Names of files are the proxies' own. */
const variantsMax = 64;
const sockets = new WeakMap<MeshConfig, Map<string, object>>();

/** The server side of mutual TLS: our certificate, a certificate of ours demanded, any workload of our trust domains accepted. */
export function mutualTlsSocket(mesh: MeshConfig, trustDomain: string, protocol: "http" | "tcp", own: ServerSecrets): object {
	let known = sockets.get(mesh);
	if (known === undefined) {
		known = new Map();
		sockets.set(mesh, known);
	}
	const key = JSON.stringify([protocol, trustDomain, own.certificate, own.roots]);
	const socket = known.get(key) ?? buildSocket(mesh, trustDomain, protocol, own);
	if (known.size >= variantsMax) known.clear();
	known.set(key, socket);
	return socket;
}

function buildSocket(mesh: MeshConfig, trustDomain: string, protocol: "http" | "tcp", own: ServerSecrets): object {
	const version = TlsParameters_TlsProtocol;
	const trustDomains = [...new Set([trustDomain, ...(mesh.trustDomainAliases ?? [])])];
	return {
		name: "envoy.transport_sockets.tls",
		typedConfig: packed("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", DownstreamTlsContext, {
			commonTlsContext: {
				alpnProtocols: protocol === "http" ? ["h2", "http/1.1"] : ["istio-peer-exchange", "h2", "http/1.1"],
				tlsParams: {
					tlsMinimumProtocolVersion: mesh.meshMTLS?.minProtocolVersion === "TLSV1_3" ? version.TLSv1_3 : version.TLSv1_2,
					tlsMaximumProtocolVersion: version.TLSv1_3,
					cipherSuites: mesh.meshMTLS?.cipherSuites?.length ? [...mesh.meshMTLS.cipherSuites] : cipherSuites,
					...(mesh.meshMTLS?.ecdhCurves?.length ? { ecdhCurves: [...mesh.meshMTLS.ecdhCurves] } : {}),
				},
				tlsCertificateSdsSecretConfigs: [ownSecretConfig(own.certificate, "default")],
				combinedValidationContext: {
					defaultValidationContext: { matchSubjectAltNames: trustDomains.map((domain) => ({ prefix: `spiffe://${domain}/` })) },
					validationContextSdsSecretConfig: ownSecretConfig(own.roots, "ROOTCA"),
				},
			},
			requireClientCertificate: true,
		}),
	};
}
