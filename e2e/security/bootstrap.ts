/** Fields of an HttpConnectionManager that a test adds to the defaults. */
export type ManagerFields = Readonly<Record<string, unknown>>;

export interface BootstrapOptions {
	readonly upstreamPort: number;
	/** Listener name → fields of its connection manager. Each gets a port of its own. */
	readonly listeners: Readonly<Record<string, ManagerFields>>;
	/** Listener name → its DownstreamTlsContext; the others are plain. */
	readonly tls?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
	/** JSON lines of every request. */
	readonly accessLogPath: string;
	/** More `request_headers_to_add` of the route table, name → format. */
	readonly addedHeaders?: Readonly<Record<string, string>>;
	/** Fields of the one route's action, beside its cluster. */
	readonly route?: Readonly<Record<string, unknown>>;
	/** As Envoy's JSON has them, beside those above. */
	readonly moreRoutes?: readonly object[];
	readonly moreClusters?: readonly object[];
	readonly moreListeners?: readonly { readonly name: string }[];
}

export const typePrefix = "type.googleapis.com/envoy.extensions";
export const loopback = (port: number) => ({ socket_address: { address: "127.0.0.1", port_value: port } });

export const tlsSocket = (context: Readonly<Record<string, unknown>>) => ({
	name: "envoy.transport_sockets.tls",
	typed_config: { "@type": `${typePrefix}.transport_sockets.tls.v3.DownstreamTlsContext`, ...context },
});

/** What the proxy took the request for, told to the upstream by the proxy itself: a smuggled request cannot have it right. */
export const judgedHeader = "x-judged";
const judgedFormat = "%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH)%";

const logFields = {
	method: "%REQ(:METHOD)%",
	path: "%REQ(:PATH)%",
	authority: "%REQ(:AUTHORITY)%",
	agent: "%REQ(USER-AGENT)%",
	status: "%RESPONSE_CODE%",
	details: "%RESPONSE_CODE_DETAILS%",
	client: "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
};

/** An Envoy v3 bootstrap, as JSON: HTTP/1.1 listeners in front of the upstream. */
export function buildBootstrap({ upstreamPort, listeners, tls = {}, accessLogPath, addedHeaders = {}, route = {}, ...more }: BootstrapOptions): string {
	const { moreRoutes = [], moreClusters = [], moreListeners = [] } = more;
	const routeConfig = {
		name: "local",
		virtual_hosts: [
			{
				name: "all",
				domains: ["*"],
				routes: [
					...moreRoutes,
					{ match: { connect_matcher: {} }, route: { cluster: "upstream" } },
					{ match: { prefix: "/elsewhere/" }, route: { cluster: "elsewhere", ...route } },
					{ match: { prefix: "/" }, route: { cluster: "upstream", ...route } },
				],
			},
		],
		request_headers_to_add: Object.entries({ [judgedHeader]: judgedFormat, ...addedHeaders }).map(([key, value]) => ({
			header: { key, value },
			append_action: "OVERWRITE_IF_EXISTS_OR_ADD",
		})),
	};
	const manager = (name: string, fields: ManagerFields) => ({
		"@type": `${typePrefix}.filters.network.http_connection_manager.v3.HttpConnectionManager`,
		stat_prefix: name,
		route_config: routeConfig,
		http_filters: [{ name: "envoy.filters.http.router", typed_config: { "@type": `${typePrefix}.filters.http.router.v3.Router` } }],
		access_log: [
			{
				name: "envoy.access_loggers.file",
				typed_config: { "@type": `${typePrefix}.access_loggers.file.v3.FileAccessLog`, path: accessLogPath, log_format: { json_format: logFields } },
			},
		],
		...fields,
	});
	return JSON.stringify({
		admin: { address: loopback(0) },
		static_resources: {
			listeners: [
				...moreListeners,
				...Object.entries(listeners).map(([name, fields]) => ({
					name,
					address: loopback(0),
					filter_chains: [
						{
							filters: [{ name: "envoy.filters.network.http_connection_manager", typed_config: manager(name, fields) }],
							...(tls[name] === undefined ? {} : { transport_socket: tlsSocket(tls[name]) }),
						},
					],
				})),
			],
			clusters: [
				...moreClusters,
				...["upstream", "elsewhere"].map((name) => ({
					name,
					type: "STATIC",
					connect_timeout: "2s",
					// Passed on only where the listener lets them in.
					http_protocol_options: { enable_trailers: true },
					circuit_breakers: { thresholds: [{ max_connections: 4096, max_pending_requests: 4096, max_requests: 8192 }] },
					load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: loopback(upstreamPort) } }] }] },
				})),
			],
		},
	});
}
