import { packAny } from "@weft/xds";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { Cluster_DiscoveryType } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ApiConfigSource_ApiType, ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { UpstreamTlsContext } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/tls.ts";
import { buildPodResources } from "../pod/pod-bootstrap.ts";
import type { SidecarFlags } from "./sidecar-flags.ts";

/** The names under which Istio's control plane refers to the workload's certificate and to the roots of the mesh. */
export const workloadSecret = "default";
export const rootsSecret = "ROOTCA";
/** What the control plane's own certificate must lead to: never offered to peers. */
export const controlPlaneSecret = "weft-control-plane-roots";

const controlPlaneCluster = "xds-grpc";

/** The bootstrap that Istio's agent would write to a file: all configuration from the control plane by delta ADS. */
export function buildSidecarBootstrap(flags: SidecarFlags, serverName: string): Bootstrap {
	const { address, port } = splitAddress(flags.discoveryAddress);
	const socket = { address: { socketAddress: { address, portValue: port } } };
	const pod = flags.pod === undefined ? { listeners: [], clusters: [] } : buildPodResources(flags.pod, flags.adminPort);
	const ads = { ads: {}, resourceApiVersion: ApiVersion.V3 };
	return Bootstrap.fromPartial({
		node: { id: flags.nodeId, cluster: flags.nodeCluster, metadata: flags.nodeMetadata, locality: flags.locality },
		admin: { address: { socketAddress: { address: "127.0.0.1", portValue: flags.adminPort } } },
		dynamicResources: {
			adsConfig: {
				apiType: ApiConfigSource_ApiType.DELTA_GRPC,
				transportApiVersion: ApiVersion.V3,
				setNodeOnFirstMessageOnly: true,
				grpcServices: [{ envoyGrpc: { clusterName: controlPlaneCluster } }],
			},
			cdsConfig: { ...ads, initialFetchTimeout: { seconds: 0n, nanos: 0 } },
			ldsConfig: { ...ads, initialFetchTimeout: { seconds: 0n, nanos: 0 } },
		},
		staticResources: {
			clusters: [
				{
					name: controlPlaneCluster,
					type: Cluster_DiscoveryType.STRICT_DNS,
					connectTimeout: { seconds: 1n, nanos: 0 },
					loadAssignment: { clusterName: controlPlaneCluster, endpoints: [{ lbEndpoints: [{ endpoint: socket }] }] },
					transportSocket: { name: "envoy.transport_sockets.tls", typedConfig: buildTls(serverName) },
				},
				...pod.clusters,
			],
			listeners: pod.listeners,
		},
	});
}

function buildTls(sni: string) {
	const context = UpstreamTlsContext.fromPartial({
		sni,
		commonTlsContext: {
			alpnProtocols: ["h2"],
			tlsCertificateSdsSecretConfigs: [{ name: workloadSecret }],
			validationContextSdsSecretConfig: { name: controlPlaneSecret },
		},
	});
	return packAny("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", UpstreamTlsContext, context);
}

function splitAddress(text: string): { readonly address: string; readonly port: number } {
	const match = /^\[?(.+?)\]?:(\d{1,5})$/.exec(text);
	if (!match) throw new Error(`expected HOST:PORT, got ${text}`);
	return { address: match[1] ?? "", port: Number(match[2]) };
}
