/** Names and types of the v2 API and what took their place: https://www.envoyproxy.io/docs/envoy/v1.14.1/intro/deprecated. */

export type ExtensionKind = "network" | "http" | "listener" | "accessLog" | "downstreamSocket" | "upstreamSocket" | "tracer";

interface Extension {
	readonly names: readonly string[];
	readonly type: string;
}

const filters = "envoy.extensions.filters";

const extensions: Readonly<Record<ExtensionKind, readonly Extension[]>> = {
	network: [
		{
			names: ["envoy.http_connection_manager", "envoy.filters.network.http_connection_manager"],
			type: `${filters}.network.http_connection_manager.v3.HttpConnectionManager`,
		},
		{ names: ["envoy.tcp_proxy", "envoy.filters.network.tcp_proxy"], type: `${filters}.network.tcp_proxy.v3.TcpProxy` },
		{ names: ["envoy.echo", "envoy.filters.network.echo"], type: `${filters}.network.echo.v3.Echo` },
		{ names: ["envoy.filters.network.sni_cluster"], type: `${filters}.network.sni_cluster.v3.SniCluster` },
		{ names: ["envoy.filters.network.direct_response"], type: `${filters}.network.direct_response.v3.Config` },
		{ names: ["envoy.filters.network.connection_limit"], type: `${filters}.network.connection_limit.v3.ConnectionLimit` },
	],
	http: [
		{ names: ["envoy.router", "envoy.filters.http.router"], type: `${filters}.http.router.v3.Router` },
		{ names: ["envoy.cors", "envoy.filters.http.cors"], type: `${filters}.http.cors.v3.Cors` },
		{ names: ["envoy.fault", "envoy.filters.http.fault"], type: `${filters}.http.fault.v3.HTTPFault` },
		{ names: ["envoy.health_check", "envoy.filters.http.health_check"], type: `${filters}.http.health_check.v3.HealthCheck` },
		{ names: ["envoy.filters.http.grpc_stats"], type: `${filters}.http.grpc_stats.v3.FilterConfig` },
	],
	listener: [
		{ names: ["envoy.listener.tls_inspector", "envoy.filters.listener.tls_inspector"], type: `${filters}.listener.tls_inspector.v3.TlsInspector` },
		{ names: ["envoy.listener.http_inspector", "envoy.filters.listener.http_inspector"], type: `${filters}.listener.http_inspector.v3.HttpInspector` },
		{ names: ["envoy.listener.original_dst", "envoy.filters.listener.original_dst"], type: `${filters}.listener.original_dst.v3.OriginalDst` },
		{ names: ["envoy.listener.proxy_protocol", "envoy.filters.listener.proxy_protocol"], type: `${filters}.listener.proxy_protocol.v3.ProxyProtocol` },
	],
	accessLog: [
		{ names: ["envoy.file_access_log", "envoy.access_loggers.file"], type: "envoy.extensions.access_loggers.file.v3.FileAccessLog" },
		{ names: ["envoy.access_loggers.stdout"], type: "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog" },
		{ names: ["envoy.access_loggers.stderr"], type: "envoy.extensions.access_loggers.stream.v3.StderrAccessLog" },
	],
	downstreamSocket: [
		{ names: ["tls", "envoy.transport_sockets.tls"], type: "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext" },
		{ names: ["raw_buffer", "envoy.transport_sockets.raw_buffer"], type: "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" },
	],
	upstreamSocket: [
		{ names: ["tls", "envoy.transport_sockets.tls"], type: "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext" },
		{ names: ["raw_buffer", "envoy.transport_sockets.raw_buffer"], type: "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer" },
	],
	tracer: [],
};

const prefix = "type.googleapis.com/";

/** The type URL of an extension known by its name, old or new. */
export function typeUrlOf(kind: ExtensionKind, name: string): string | undefined {
	const found = extensions[kind].find(({ names }) => names.includes(name));
	return found && prefix + found.type;
}

/** The newer name of an extension. */
export function currentName(kind: ExtensionKind, name: string): string {
	return extensions[kind].find(({ names }) => names.includes(name))?.names.at(-1) ?? name;
}

const movedTypes = new Map<string, string>([
	["envoy.config.filter.network.http_connection_manager.v2.HttpConnectionManager", `${filters}.network.http_connection_manager.v3.HttpConnectionManager`],
	["envoy.config.filter.network.tcp_proxy.v2.TcpProxy", `${filters}.network.tcp_proxy.v3.TcpProxy`],
	["envoy.config.filter.http.router.v2.Router", `${filters}.http.router.v3.Router`],
	["envoy.config.filter.http.fault.v2.HTTPFault", `${filters}.http.fault.v3.HTTPFault`],
	["envoy.config.filter.http.health_check.v2.HealthCheck", `${filters}.http.health_check.v3.HealthCheck`],
	["envoy.config.filter.http.cors.v2.Cors", `${filters}.http.cors.v3.Cors`],
	["envoy.config.filter.http.grpc_stats.v2alpha.FilterConfig", `${filters}.http.grpc_stats.v3.FilterConfig`],
	["envoy.config.filter.listener.tls_inspector.v2.TlsInspector", `${filters}.listener.tls_inspector.v3.TlsInspector`],
	["envoy.config.filter.listener.http_inspector.v2.HttpInspector", `${filters}.listener.http_inspector.v3.HttpInspector`],
	["envoy.config.filter.listener.original_dst.v2.OriginalDst", `${filters}.listener.original_dst.v3.OriginalDst`],
	["envoy.config.filter.listener.proxy_protocol.v2.ProxyProtocol", `${filters}.listener.proxy_protocol.v3.ProxyProtocol`],
	["envoy.config.accesslog.v2.FileAccessLog", "envoy.extensions.access_loggers.file.v3.FileAccessLog"],
	["envoy.api.v2.auth.DownstreamTlsContext", "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"],
	["envoy.api.v2.auth.UpstreamTlsContext", "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"],
	["envoy.api.v2.auth.Secret", "envoy.extensions.transport_sockets.tls.v3.Secret"],
	["envoy.api.v2.Cluster", "envoy.config.cluster.v3.Cluster"],
	["envoy.api.v2.Listener", "envoy.config.listener.v3.Listener"],
	["envoy.api.v2.RouteConfiguration", "envoy.config.route.v3.RouteConfiguration"],
	["envoy.api.v2.ClusterLoadAssignment", "envoy.config.endpoint.v3.ClusterLoadAssignment"],
]);

/** The v3 URL of a v2 type; undefined when it is not a v2 type that is known. */
export function movedTypeUrl(typeUrl: string): string | undefined {
	const moved = movedTypes.get(typeUrl.slice(typeUrl.lastIndexOf("/") + 1));
	return moved && prefix + moved;
}
