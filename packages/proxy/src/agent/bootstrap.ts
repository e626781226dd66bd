import { toJson } from "@weft/xds";
import type { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";

/** What Envoy tells of itself in its first request on every stream. */
export interface NodeIdentity {
	readonly id: string;
	/** Envoy's `--service-cluster`. */
	readonly cluster: string;
	readonly metadata: Readonly<Record<string, unknown>>;
	readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string } | undefined;
}

export interface StaticResources {
	readonly listeners: readonly Listener[];
	readonly clusters: readonly Cluster[];
}

export interface BootstrapOptions {
	readonly node: NodeIdentity;
	/** Absolute paths of the agent's Unix sockets. */
	readonly secretSocket: string;
	readonly discoverySocket: string;
	/** On 127.0.0.1; 0 lets the system choose. */
	readonly adminPort: number;
	/** Default true, as Istio's. */
	readonly delta?: boolean;
	readonly resources?: StaticResources;
}

type Json = { readonly [key: string]: Json } | readonly Json[] | string | number | boolean;

/** Cluster names that Istio's control plane writes into what it sends; they are part of the contract. */
export const secretClusterName = "sds-grpc";
export const discoveryClusterName = "xds-grpc";

/** An Envoy bootstrap in proto3 JSON: everything but the way to the agent comes over xDS. */
export function buildBootstrap({ node, secretSocket, discoverySocket, adminPort, delta = true, resources }: BootstrapOptions): Json {
	const json = (type: string, messages: readonly object[] = []) => messages.map((message) => toJson(type, message) as Json);
	const own = [socketCluster(secretClusterName, secretSocket), socketCluster(discoveryClusterName, discoverySocket)];
	// Istio sends listeners and clusters whenever it has them: no timeout may let Envoy start without.
	const ads = { ads: {}, initial_fetch_timeout: "0s", resource_api_version: "V3" };
	return {
		node: nodeOf(node),
		admin: { address: { socket_address: { address: "127.0.0.1", port_value: adminPort } } },
		stats_flush_interval: "5s",
		dynamic_resources: {
			lds_config: ads,
			cds_config: ads,
			ads_config: {
				api_type: delta ? "DELTA_GRPC" : "GRPC",
				transport_api_version: "V3",
				set_node_on_first_message_only: true,
				grpc_services: [{ envoy_grpc: { cluster_name: discoveryClusterName } }],
			},
		},
		static_resources: {
			clusters: [...own, ...json("envoy.config.cluster.v3.Cluster", resources?.clusters)],
			listeners: json("envoy.config.listener.v3.Listener", resources?.listeners),
		},
	};
}

function nodeOf({ id, cluster, metadata, locality }: NodeIdentity): Json {
	const node = { id, cluster, metadata: metadata as Json };
	return locality === undefined ? node : { ...node, locality: { region: locality.region, zone: locality.zone, sub_zone: locality.subZone } };
}

function socketCluster(name: string, path: string): Json {
	return {
		name,
		type: "STATIC",
		connect_timeout: "1s",
		typed_extension_protocol_options: {
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
				"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
				explicit_http_config: { http2_protocol_options: {} },
			},
		},
		load_assignment: {
			cluster_name: name,
			endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
		},
	};
}
