import { hopDnsName, hopSpiffeId, type ProxyRole } from "./topology.ts";

const typeUrl = (name: string) => `type.googleapis.com/${name}`;
const unlimited = 1_000_000;

/**
 * The bootstrap that Envoy and weft-proxy both get, as JSON. Set up as Envoy's "how to benchmark" page asks: circuit breakers out of
 * the way, no request ids, no dynamic stats; one listener, one route, one static cluster.
 */
export function buildEnvoyConfig(role: ProxyRole): string {
	const config = {
		admin: { address: address(role.adminPort) },
		static_resources: { listeners: [listener(role)], clusters: [cluster(role)] },
	};
	return JSON.stringify(config, undefined, 2);
}

function listener(role: ProxyRole): object {
	const manager = {
		"@type": typeUrl("envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"),
		stat_prefix: "bench",
		codec_type: "HTTP1",
		generate_request_id: false,
		route_config: {
			name: "bench",
			virtual_hosts: [{ name: "bench", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "backend", timeout: "15s" } }] }],
		},
		http_filters: [
			{ name: "envoy.filters.http.router", typed_config: { "@type": typeUrl("envoy.extensions.filters.http.router.v3.Router"), dynamic_stats: false } },
		],
	};
	const chain = { filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager }] };
	return {
		name: "bench",
		address: address(role.listenPort),
		filter_chains: [role.listenTls ? { ...chain, transport_socket: transportSocket(role, "DownstreamTlsContext") } : chain],
	};
}

function cluster(role: ProxyRole): object {
	const limits = { max_connections: unlimited, max_pending_requests: unlimited, max_requests: unlimited, max_retries: unlimited };
	return {
		name: "backend",
		type: "STATIC",
		connect_timeout: "5s",
		lb_policy: "ROUND_ROBIN",
		circuit_breakers: { thresholds: [limits] },
		load_assignment: {
			cluster_name: "backend",
			endpoints: [{ lb_endpoints: [{ endpoint: { address: address(role.upstreamPort) } }] }],
		},
		...(role.upstreamTls ? { transport_socket: transportSocket(role, "UpstreamTlsContext") } : {}),
	};
}

function transportSocket(role: ProxyRole, context: "DownstreamTlsContext" | "UpstreamTlsContext"): object {
	const { ca, certificate, key } = role.certificates;
	const common = {
		tls_params: { tls_minimum_protocol_version: "TLSv1_3", tls_maximum_protocol_version: "TLSv1_3" },
		tls_certificates: [{ certificate_chain: { filename: certificate }, private_key: { filename: key } }],
		validation_context: {
			trusted_ca: { filename: ca },
			match_typed_subject_alt_names: [{ san_type: "URI", matcher: { exact: hopSpiffeId } }],
		},
	};
	const own = context === "DownstreamTlsContext" ? { require_client_certificate: true } : { sni: hopDnsName };
	return {
		name: "envoy.transport_sockets.tls",
		typed_config: { "@type": typeUrl(`envoy.extensions.transport_sockets.tls.v3.${context}`), common_tls_context: common, ...own },
	};
}

function address(port: number): object {
	return { socket_address: { address: "127.0.0.1", port_value: port } };
}
