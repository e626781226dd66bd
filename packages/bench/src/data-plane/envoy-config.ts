import { address, type EnvoyJson, typed } from "./envoy-json.ts";
import { collectorCluster, meshClusters, meshManager, meshNode, meshVirtualHosts } from "./envoy-mesh.ts";
import { hopDnsName, hopSpiffeId, type ProxyRole, routePath } from "./topology.ts";

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

/**
 * The bootstrap that Envoy and weft-proxy both get, as JSON. Set up as Envoy's "how to benchmark" page asks: circuit breakers out of
 * the way, and without mesh features no request ids and no dynamic stats; static unless the role names an ADS server.
 */
export function buildEnvoyConfig(role: ProxyRole): string {
	const admin = { address: address(role.adminPort) };
	const config =
		role.adsPort === undefined ? { admin, ...meshNode(role.mesh), static_resources: staticResources(role) } : { admin, ...adsBootstrap(role.adsPort) };
	return JSON.stringify(config, undefined, 2);
}

/** The same listener, route, cluster and endpoint for an ADS server to send. */
export function buildAdsResources(role: ProxyRole): AdsResources {
	return {
		cds: { ...cluster(role, clusterName), type: "EDS", eds_cluster_config: { eds_config: overAds } },
		eds: endpoints(clusterName, role.upstreamPort),
		lds: listener(role, { rds: { route_config_name: routeName, config_source: overAds } }),
		rds: routeTable(role),
	};
}

function staticResources(role: ProxyRole): EnvoyJson {
	const names = clusterNames(role);
	const clusters = names.map((name) => ({ ...cluster(role, name), type: "STATIC", load_assignment: endpoints(name, role.upstreamPort) }));
	return {
		listeners: [listener(role, { route_config: routeTable(role) })],
		clusters: [...clusters, ...(role.mesh === undefined ? [] : [collectorCluster(role.mesh)])],
	};
}

function clusterNames({ mesh, routes }: ProxyRole): readonly string[] {
	if (mesh?.outbound) return meshClusters;
	return routes === undefined ? [clusterName] : Array.from({ length: routes }, (_, index) => `${clusterName}-${index}`);
}

function adsBootstrap(adsPort: number): EnvoyJson {
	const server = {
		name: "xds",
		type: "STATIC",
		connect_timeout: "5s",
		typed_extension_protocol_options: http2Options,
		load_assignment: endpoints("xds", adsPort),
	};
	const ads = { api_type: "DELTA_GRPC", transport_api_version: "V3", grpc_services: [{ envoy_grpc: { cluster_name: "xds" } }] };
	return {
		node: { id: "bench", cluster: "bench" },
		static_resources: { clusters: [server] },
		dynamic_resources: { ads_config: ads, cds_config: overAds, lds_config: overAds },
	};
}

const protocolOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
const http2Options: EnvoyJson = { [protocolOptions]: typed(protocolOptions, { explicit_http_config: { http2_protocol_options: {} } }) };

function routeTable({ mesh, routes }: ProxyRole): EnvoyJson {
	if (mesh?.outbound) return { name: routeName, virtual_hosts: meshVirtualHosts() };
	const route = (prefix: string, target: string): EnvoyJson => ({ match: { prefix }, route: { cluster: target, timeout: "15s" } });
	const all =
		routes === undefined ? [route("/", clusterName)] : Array.from({ length: routes }, (_, index) => route(routePath(index), `${clusterName}-${index}`));
	return { name: routeName, virtual_hosts: [{ name: "bench", domains: ["*"], routes: all }] };
}

function listener(role: ProxyRole, routing: EnvoyJson): EnvoyJson {
	const filter = role.protocol === "tcp" ? tcpProxy : connectionManager(role, routing);
	return {
		name: "bench",
		address: address(role.listenPort),
		filter_chains: [{ filters: [filter], ...(role.listenTls === "none" ? {} : { transport_socket: downstreamTls(role) }) }],
	};
}

const tcpProxy: EnvoyJson = {
	name: "envoy.filters.network.tcp_proxy",
	typed_config: typed("envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", { stat_prefix: "bench", cluster: clusterName }),
};

function connectionManager(role: ProxyRole, routing: EnvoyJson): EnvoyJson {
	const router = typed("envoy.extensions.filters.http.router.v3.Router", { dynamic_stats: false });
	const bare = { generate_request_id: false, http_filters: [{ name: "envoy.filters.http.router", typed_config: router }] };
	return {
		name: "envoy.filters.network.http_connection_manager",
		typed_config: typed("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", {
			stat_prefix: "bench",
			codec_type: role.protocol === "http2" ? "HTTP2" : "HTTP1",
			...(role.mesh === undefined ? bare : meshManager(role.mesh)),
			...routing,
		}),
	};
}

function cluster(role: ProxyRole, name: string): EnvoyJson {
	const limits = { max_connections: unlimited, max_pending_requests: unlimited, max_requests: unlimited, max_retries: unlimited };
	return {
		name,
		connect_timeout: "5s",
		lb_policy: "ROUND_ROBIN",
		circuit_breakers: { thresholds: [limits] },
		...(role.protocol === "http2" ? { typed_extension_protocol_options: http2Options } : {}),
		...(role.upstreamTls ? { transport_socket: upstreamTls(role) } : {}),
	};
}

function endpoints(name: string, port: number): EnvoyJson {
	return { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] };
}

/** With the client's certificate, as between sidecars; or without, and then with full handshakes only, since those are what is measured. */
function downstreamTls(role: ProxyRole): EnvoyJson {
	const own: EnvoyJson =
		role.listenTls === "mutual"
			? { require_client_certificate: true, common_tls_context: { ...tlsContext(role), ...validation(role) } }
			: { disable_stateless_session_resumption: true, disable_stateful_session_resumption: true, common_tls_context: tlsContext(role) };
	return { name: "envoy.transport_sockets.tls", typed_config: typed("envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext", own) };
}

function upstreamTls(role: ProxyRole): EnvoyJson {
	const own = { sni: hopDnsName, common_tls_context: { ...tlsContext(role), ...validation(role) } };
	return { name: "envoy.transport_sockets.tls", typed_config: typed("envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", own) };
}

function tlsContext({ protocol, certificates: { certificate, key } }: ProxyRole): EnvoyJson {
	return {
		...(protocol === "http2" ? { alpn_protocols: ["h2"] } : {}),
		tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
		tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
	};
}

function validation({ certificates: { ca } }: ProxyRole): EnvoyJson {
	return {
		validation_context: {
			trusted_ca: { filename: ca },
			match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: hopSpiffeId } }],
		},
	};
}
