import { hopDnsName, hopSpiffeId, type ProxyRole } from "./topology.ts";

const typeUrl = (name: string) => `type.googleapis.com/${name}`;
const unlimited = 1_000_000;
const clusterName = "backend";
const routeName = "bench";
const overAds = { resource_api_version: "V3", ads: {} };

/** What an ADS server sends for a role: one resource of each type, in proto3 JSON. */
export type AdsResources = {
	readonly cds: EnvoyJson;
	readonly eds: EnvoyJson;
	readonly lds: EnvoyJson;
	readonly rds: EnvoyJson;
};

export type EnvoyJson = { readonly [key: string]: EnvoyValue };
type EnvoyValue = boolean | number | string | readonly EnvoyValue[] | EnvoyJson;

/**
 * The bootstrap that Envoy and weft-proxy both get, as JSON. Set up as Envoy's "how to benchmark" page asks: circuit breakers out of
 * the way, no request ids, no dynamic stats; one listener, one route, one cluster, all static unless the role names an ADS server.
 */
export function buildEnvoyConfig(role: ProxyRole): string {
	const admin = { address: address(role.adminPort) };
	const config = role.adsPort === undefined ? { admin, static_resources: staticResources(role) } : { admin, ...adsBootstrap(role.adsPort) };
	return JSON.stringify(config, undefined, 2);
}

/** The same listener, route, cluster and endpoint for an ADS server to send. */
export function buildAdsResources(role: ProxyRole): AdsResources {
	return {
		cds: { ...cluster(role), type: "EDS", eds_cluster_config: { eds_config: overAds } },
		eds: endpoints(role),
		lds: listener(role, { rds: { route_config_name: routeName, config_source: overAds } }),
		rds: routes,
	};
}

function staticResources(role: ProxyRole): EnvoyJson {
	return {
		listeners: [listener(role, { route_config: routes })],
		clusters: [{ ...cluster(role), type: "STATIC", load_assignment: endpoints(role) }],
	};
}

function adsBootstrap(adsPort: number): EnvoyJson {
	const server = {
		name: "xds",
		type: "STATIC",
		connect_timeout: "5s",
		typed_extension_protocol_options: http2Options,
		load_assignment: { cluster_name: "xds", endpoints: [{ lb_endpoints: [{ endpoint: { address: address(adsPort) } }] }] },
	};
	const ads = { api_type: "DELTA_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }] };
	return {
		node: { id: "bench", cluster: "bench" },
		static_resources: { clusters: [server] },
		dynamic_resources: { ads_config: ads, cds_config: overAds, lds_config: overAds },
	};
}

const http2Options: EnvoyJson = {
	"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
		"@type": typeUrl("envoy.extensions.upstreams.http.v3.HttpProtocolOptions"),
		explicit_http_config: { http2_protocol_options: {} },
	},
};

const routes: EnvoyJson = {
	name: routeName,
	virtual_hosts: [{ name: "bench", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: clusterName, timeout: "15s" } }] }],
};

function listener(role: ProxyRole, routing: EnvoyJson): EnvoyJson {
	const router = { "@type": typeUrl("envoy.extensions.filters.http.router.v3.Router"), dynamic_stats: false };
	const manager = {
		"@type": typeUrl("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
		stat_prefix: "bench",
		codec_type: role.http2 ? "HTTP2" : "HTTP1",
		generate_request_id: false,
		...routing,
		http_filters: [{ name: "envoy.filters.http.router", typed_config: router }],
	};
	const chain = { filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] };
	return {
		name: "bench",
		address: address(role.listenPort),
		filter_chains: [role.listenTls ? { ...chain, transport_socket: transportSocket(role, "DownstreamTlsContext") } : chain],
	};
}

function cluster(role: ProxyRole): EnvoyJson {
	const limits = { max_connections: unlimited, max_pending_requests: unlimited, max_requests: unlimited, max_retries: unlimited };
	return {
		name: clusterName,
		connect_timeout: "5s",
		lb_policy: "ROUND_ROBIN",
		circuit_breakers: { thresholds: [limits] },
		...(role.http2 ? { typed_extension_protocol_options: http2Options } : {}),
		...(role.upstreamTls ? { transport_socket: transportSocket(role, "UpstreamTlsContext") } : {}),
	};
}

function endpoints(role: ProxyRole): EnvoyJson {
	return { cluster_name: clusterName, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(role.upstreamPort) } }] }] };
}

function transportSocket(role: ProxyRole, context: "DownstreamTlsContext" | "UpstreamTlsContext"): EnvoyJson {
	const { ca, certificate, key } = role.certificates;
	const common = {
		...(role.http2 ? { alpn_protocols: ["h2"] } : {}),
		tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
		tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
		validation_context: {
			trusted_ca: { filename: ca },
			match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: hopSpiffeId } }],
		},
	};
	const own: EnvoyJson = context === "DownstreamTlsContext" ? { require_client_certificate: true } : { sni: hopDnsName };
	return {
		name: "envoy.transport_sockets.tls",
		typed_config: { "@type": typeUrl(`envoy.extensions.transport_sockets.tls.v3.${context}`), common_tls_context: common, ...own },
	};
}

function address(port: number): EnvoyJson {
	return { socket_address: { address: "127.0.0.1", port_value: port } };
}
