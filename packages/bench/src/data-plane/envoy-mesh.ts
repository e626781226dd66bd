import { address, type EnvoyJson, typed } from "./envoy-json.ts";
import { hopSpiffeId, type MeshRole } from "./topology.ts";

const virtualHostCount = 51;
const routesPerHost = 10;
const policyCount = 10;
const collector = "collector";

/** What a request names to be routed by the last virtual host's last route. */
export const meshHost = hostName(virtualHostCount - 1);

/** One cluster for each virtual host. */
export const meshClusters: readonly string[] = Array.from({ length: virtualHostCount }, (_, index) => clusterOf(index));

function hostName(index: number): string {
	return `svc-${index}.bench.svc.cluster.local`;
}

function clusterOf(index: number): string {
	return `outbound|80||${hostName(index)}`;
}

/** The node of a workload: what istio.stats and the exchange of metadata tell about it. */
export function meshNode(mesh: MeshRole | undefined): EnvoyJson {
	if (mesh === undefined) return {};
	const labels = { app: "bench", version: "v1", "service.istio.io/canonical-name": "bench", "service.istio.io/canonical-revision": "v1" };
	const metadata = { NAME: "bench-1", NAMESPACE: "bench", CLUSTER_ID: "Kubernetes", MESH_ID: "cluster.local", WORKLOAD_NAME: "bench", LABELS: labels };
	return { node: { id: "sidecar~127.0.0.1~bench-1.bench~bench.svc.cluster.local", cluster: "bench.bench", metadata } };
}

/** Where spans go: a Zipkin collector on loopback. */
export function collectorCluster({ collectorPort }: MeshRole): EnvoyJson {
	const endpoints = [{ lb_endpoints: [{ endpoint: { address: address(collectorPort) } }] }];
	return { name: collector, type: "STATIC", connect_timeout: "5s", load_assignment: { cluster_name: collector, endpoints } };
}

/** istiod's default format. */
const accessLogFormat =
	'[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% %BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" "%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

/** The connection manager's part, as istiod sends it with access log, metrics and tracing at 1 %. */
export function meshManager(mesh: MeshRole): EnvoyJson {
	const log = { path: mesh.accessLog, log_format: { text_format_source: { inline_string: accessLogFormat } } };
	return {
		access_log: [{ name: "envoy.access_loggers.file", typed_config: typed("envoy.extensions.access_loggers.file.v3.FileAccessLog", log) }],
		http_filters: httpFilters(mesh),
		normalize_path: true,
		path_with_escaped_slashes_action: "KEEP_UNCHANGED",
		server_name: "istio-envoy",
		stream_idle_timeout: "0s",
		use_remote_address: false,
		upgrade_configs: [{ upgrade_type: "websocket" }],
		request_id_extension: { typed_config: typed("envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", { use_request_id_for_trace_sampling: true }) },
		tracing: tracing(mesh),
		...(mesh.inbound ? { forward_client_cert_details: "APPEND_FORWARD", set_current_client_cert_details: { subject: true, dns: true, uri: true } } : {}),
	};
}

/**
 * Istio's own filters are optional, and structs by the names of their messages: a stock Envoy, which has neither messages nor filters,
 * reads them and does without.
 */
function httpFilters({ inbound, outbound }: MeshRole): readonly EnvoyJson[] {
	const own = (name: string, message: string, value: EnvoyJson): EnvoyJson => ({
		name,
		is_optional: true,
		typed_config: typed("xds.type.v3.TypedStruct", { type_url: `type.googleapis.com/${message}`, value }),
	});
	const http = (name: string, message: string, fields: EnvoyJson = {}): EnvoyJson => ({
		name: `envoy.filters.http.${name}`,
		typed_config: typed(`envoy.extensions.filters.http.${name}.v3.${message}`, fields),
	});
	return [
		own("istio.metadata_exchange", "io.istio.http.peer_metadata.Config", peerMetadata(inbound && !outbound ? "downstream" : "upstream")),
		...(inbound ? [http("rbac", "RBAC", { rules: { action: "ALLOW", policies: policies() } })] : []),
		http("grpc_stats", "FilterConfig", { emit_filter_state: true, stats_for_all_methods: false }),
		...(outbound ? [own("istio.alpn", "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig", alpn)] : []),
		http("fault", "HTTPFault"),
		http("cors", "Cors"),
		own("istio.stats", "stats.PluginConfig", inbound && !outbound ? { disable_host_header_fallback: true } : {}),
		http("router", "Router"),
	];
}

function peerMetadata(side: "downstream" | "upstream"): EnvoyJson {
	const found: readonly EnvoyJson[] = [{ istio_headers: {} }, { workload_discovery: {} }];
	return { [`${side}_discovery`]: found, [`${side}_propagation`]: [{ istio_headers: {} }] };
}

const alpn: EnvoyJson = {
	alpn_override: [
		{ alpn_override: ["istio-http/1.0", "istio", "http/1.0"] },
		{ upstream_protocol: "HTTP11", alpn_override: ["istio-http/1.1", "istio", "http/1.1"] },
		{ upstream_protocol: "HTTP2", alpn_override: ["istio-h2", "istio", "h2"] },
	],
};

/** AuthorizationPolicies by principal, method and path, the last of which lets the benchmark's requests pass. */
function policies(): EnvoyJson {
	const either = (kind: "or_rules" | "or_ids", inner: "rules" | "ids", ...of: readonly EnvoyJson[]): EnvoyJson => ({ [kind]: { [inner]: of } });
	const policy = (index: number): EnvoyJson => {
		const methods = either("or_rules", "rules", header(":method", { exact: "GET" }), header(":method", { exact: "POST" }));
		const paths = either("or_rules", "rules", { url_path: { path: { prefix: index === policyCount - 1 ? "/" : `/admin-${index}/` } } });
		const principal = { authenticated: { principal_name: { exact: hopSpiffeId } } };
		// The one proxy that has everything is reached in clear text, where nobody has a principal.
		const local = { direct_remote_ip: { address_prefix: "127.0.0.0", prefix_len: 8 } };
		return {
			permissions: [{ and_rules: { rules: [methods, paths] } }],
			principals: [{ and_ids: { ids: [either("or_ids", "ids", principal, local)] } }],
		};
	};
	return Object.fromEntries(Array.from({ length: policyCount }, (_, index) => [`ns[bench]-policy[p${index}]-rule[0]`, policy(index)]));
}

function header(name: string, string_match: EnvoyJson): EnvoyJson {
	return { header: { name, string_match } };
}

function tracing({ collectorPath }: MeshRole): EnvoyJson {
	const tag = (name: string, value: string): EnvoyJson => ({ tag: name, literal: { value } });
	const zipkin = {
		collector_cluster: collector,
		collector_endpoint: collectorPath,
		collector_endpoint_version: "HTTP_JSON",
		trace_id_128bit: true,
		shared_span_context: false,
	};
	return {
		client_sampling: { value: 100 },
		random_sampling: { value: 1 },
		overall_sampling: { value: 100 },
		custom_tags: [
			tag("istio.canonical_revision", "v1"),
			tag("istio.canonical_service", "bench"),
			tag("istio.cluster_id", "Kubernetes"),
			tag("istio.mesh_id", "cluster.local"),
			tag("istio.namespace", "bench"),
		],
		provider: { name: "envoy.tracers.zipkin", typed_config: typed("envoy.config.trace.v3.ZipkinConfig", zipkin) },
	};
}

/** As a VirtualService of ten HTTP routes makes them; nine by path and header, the last one for everything. */
export function meshVirtualHosts(): readonly EnvoyJson[] {
	return Array.from({ length: virtualHostCount }, (_, index) => ({
		name: `${hostName(index)}:80`,
		domains: [hostName(index), `${hostName(index)}.`, `svc-${index}.bench`, `svc-${index}.bench.svc`],
		include_request_attempt_count: true,
		routes: Array.from({ length: routesPerHost }, (_unused, route) => meshRoute(index, route)),
	}));
}

function meshRoute(host: number, index: number): EnvoyJson {
	const isLast = index === routesPerHost - 1;
	const chosen = { prefix: `/api-${index}/`, headers: [{ name: "x-bench-user", string_match: { exact: `user-${index}` } }] };
	const add = (key: string, value: string): EnvoyJson => ({ header: { key, value }, append_action: "OVERWRITE_IF_EXISTS_OR_ADD" });
	return {
		name: `route-${index}`,
		match: isLast ? { prefix: "/" } : chosen,
		decorator: { operation: `${hostName(host)}:80/*` },
		route: {
			cluster: clusterOf(host),
			timeout: "10s",
			max_grpc_timeout: "10s",
			retry_policy: {
				retry_on: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
				num_retries: 2,
				retriable_status_codes: [503],
				host_selection_retry_max_attempts: "5",
				retry_host_predicate: [
					{
						name: "envoy.retry_host_predicates.previous_hosts",
						typed_config: typed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"),
					},
				],
			},
		},
		request_headers_to_add: [add("x-bench-route", `route-${index}`)],
		request_headers_to_remove: ["x-bench-internal"],
		response_headers_to_add: [add("x-bench-served-by", "bench")],
		response_headers_to_remove: ["x-powered-by"],
		typed_per_filter_config: {
			"envoy.filters.http.cors": typed("envoy.extensions.filters.http.cors.v3.CorsPolicy", {
				allow_origin_string_match: [{ exact: "https://bench.example" }],
				allow_methods: "GET,POST",
				max_age: "86400",
				filter_enabled: { default_value: { numerator: 100 } },
			}),
			"envoy.filters.http.fault": typed("envoy.extensions.filters.http.fault.v3.HTTPFault", {
				abort: { http_status: 503, percentage: { numerator: 100 } },
				headers: [{ name: "x-bench-fault", string_match: { exact: "abort" } }],
			}),
		},
	};
}
