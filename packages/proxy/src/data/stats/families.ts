import { defineFamily } from "./registry.ts";

/**
 * Envoy's stat names by scope. Prefixes: `cluster.<stat name>.`, `http.<stat prefix>.`, `listener.<address with _ for :>.`,
 * `tcp.<stat prefix>.`. Response-code counters come from `response-codes.ts`.
 */

export const clusterCounters = defineFamily([
	"upstream_cx_total",
	"upstream_cx_http1_total",
	"upstream_cx_connect_fail",
	"upstream_cx_connect_timeout",
	"upstream_cx_idle_timeout",
	"upstream_cx_max_duration_reached",
	"upstream_cx_max_requests",
	"upstream_cx_overflow",
	"upstream_cx_none_healthy",
	"upstream_cx_destroy",
	"upstream_cx_destroy_local",
	"upstream_cx_destroy_remote",
	"upstream_cx_destroy_with_active_rq",
	"upstream_cx_destroy_local_with_active_rq",
	"upstream_cx_destroy_remote_with_active_rq",
	"upstream_cx_close_notify",
	"upstream_cx_connect_attempts_exceeded",
	"upstream_cx_http2_total",
	"upstream_cx_pool_overflow",
	"upstream_cx_protocol_error",
	"upstream_cx_rx_bytes_total",
	"upstream_cx_tx_bytes_total",
	"upstream_flow_control_backed_up_total",
	"upstream_flow_control_drained_total",
	"upstream_flow_control_paused_reading_total",
	"upstream_flow_control_resumed_reading_total",
	"upstream_internal_redirect_failed_total",
	"upstream_internal_redirect_succeeded_total",
	"upstream_rq_total",
	"upstream_rq_pending_total",
	"upstream_rq_pending_overflow",
	"upstream_rq_pending_failure_eject",
	"upstream_rq_cancelled",
	"upstream_rq_maintenance_mode",
	"upstream_rq_timeout",
	"upstream_rq_max_duration_reached",
	"upstream_rq_per_try_timeout",
	"upstream_rq_per_try_idle_timeout",
	"upstream_rq_rx_reset",
	"upstream_rq_tx_reset",
	"upstream_rq_retry",
	"upstream_rq_retry_success",
	"upstream_rq_retry_overflow",
	"upstream_rq_retry_limit_exceeded",
	"upstream_rq_retry_backoff_exponential",
	"upstream_rq_retry_backoff_ratelimited",
	"upstream_rq_rx_reset_no_error",
	"upstream_rq_active_overflow",
	"bind_errors",
	"assignment_stale",
	"assignment_timeout_received",
	"lb_healthy_panic",
	"lb_local_cluster_not_ok",
	"lb_recalculate_zone_structures",
	"lb_subsets_fallback",
	"lb_subsets_fallback_panic",
	"lb_subsets_selected",
	"lb_zone_routing_all_directly",
	"lb_zone_routing_sampled",
	"lb_zone_routing_cross_zone",
	"lb_zone_no_capacity_left",
	"lb_zone_cluster_too_small",
	"membership_change",
	"original_dst_host_invalid",
	"retry_or_shadow_abandoned",
	"update_attempt",
	"update_success",
	"update_failure",
	"update_empty",
	"update_no_rebuild",
]);

/** `vhost.<virtual host>.vcluster.<virtual cluster>.` */
export const virtualClusterCounters = defineFamily([
	"upstream_rq_retry",
	"upstream_rq_retry_limit_exceeded",
	"upstream_rq_retry_overflow",
	"upstream_rq_retry_success",
	"upstream_rq_timeout",
	"upstream_rq_total",
]);

export const clusterGauges = defineFamily([
	"upstream_cx_active",
	"upstream_cx_rx_bytes_buffered",
	"upstream_cx_tx_bytes_buffered",
	"upstream_rq_active",
	"upstream_rq_pending_active",
]);

const outlierReasons = [
	"consecutive_5xx",
	"consecutive_gateway_failure",
	"consecutive_local_origin_failure",
	"success_rate",
	"local_origin_success_rate",
	"failure_percentage",
	"local_origin_failure_percentage",
] as const;

/** Counted by the main thread, as `cluster.<name>.outlier_detection.`. */
export const outlierCounters = defineFamily([
	"ejections_total",
	"ejections_overflow",
	"ejections_consecutive_5xx",
	"ejections_success_rate",
	"ejections_enforced_total",
	...outlierReasons.map((reason) => `ejections_detected_${reason}` as const),
	...outlierReasons.map((reason) => `ejections_enforced_${reason}` as const),
]);

export const tlsCounters = defineFamily([
	"ssl.handshake",
	"ssl.connection_error",
	"ssl.no_certificate",
	"ssl.session_reused",
	"ssl.fail_verify_no_cert",
	"ssl.fail_verify_error",
	"ssl.fail_verify_san",
	"ssl.fail_verify_cert_hash",
]);

export const httpCounters = defineFamily([
	"downstream_cx_total",
	"downstream_cx_ssl_total",
	"downstream_cx_http1_total",
	"downstream_cx_http2_total",
	"downstream_cx_upgrades_total",
	"downstream_cx_destroy",
	"downstream_cx_destroy_local",
	"downstream_cx_destroy_remote",
	"downstream_cx_destroy_active_rq",
	"downstream_cx_destroy_local_active_rq",
	"downstream_cx_destroy_remote_active_rq",
	"downstream_cx_drain_close",
	"downstream_cx_delayed_close_timeout",
	"downstream_cx_idle_timeout",
	"downstream_cx_max_duration_reached",
	"downstream_cx_max_requests_reached",
	"downstream_cx_overload_disable_keepalive",
	"downstream_cx_protocol_error",
	"downstream_cx_rx_bytes_total",
	"downstream_cx_tx_bytes_total",
	"downstream_flow_control_paused_reading_total",
	"downstream_flow_control_resumed_reading_total",
	"downstream_rq_total",
	"downstream_rq_http1_total",
	"downstream_rq_http2_total",
	"downstream_rq_1xx",
	"downstream_rq_2xx",
	"downstream_rq_3xx",
	"downstream_rq_4xx",
	"downstream_rq_5xx",
	"downstream_rq_completed",
	"downstream_rq_failed_path_normalization",
	"downstream_rq_header_timeout",
	"downstream_rq_idle_timeout",
	"downstream_rq_max_duration_reached",
	"downstream_rq_non_relative_path",
	"downstream_rq_overload_close",
	"downstream_rq_redirected_with_normalized_path",
	"downstream_rq_response_before_rq_complete",
	"downstream_rq_rx_reset",
	"downstream_rq_timeout",
	"downstream_rq_too_large",
	"downstream_rq_too_many_premature_resets",
	"downstream_rq_tx_reset",
	"downstream_rq_ws_on_non_ws_route",
	"no_cluster",
	"no_route",
	"passthrough_internal_redirect_bad_location",
	"passthrough_internal_redirect_no_route",
	"passthrough_internal_redirect_predicate",
	"passthrough_internal_redirect_too_many_redirects",
	"passthrough_internal_redirect_unsafe_scheme",
	"rq_direct_response",
	"rq_redirect",
	"rq_reset_after_downstream_response_started",
	"rq_total",
	"rs_too_large",
]);

export const httpGauges = defineFamily([
	"downstream_cx_active",
	"downstream_cx_http1_active",
	"downstream_cx_http2_active",
	"downstream_cx_ssl_active",
	"downstream_cx_upgrades_active",
	"downstream_cx_rx_bytes_buffered",
	"downstream_cx_tx_bytes_buffered",
	"downstream_rq_active",
	"fault.active_faults",
]);

/** `http2.` downstream, `cluster.<name>.http2.` upstream. */
export const http2Counters = defineFamily([
	"dropped_headers_with_underscores",
	"header_overflow",
	"header_list_size_too_large",
	"headers_cb_no_stream",
	"inbound_empty_frames_flood",
	"inbound_priority_frames_flood",
	"inbound_window_update_frames_flood",
	"keepalive_timeout",
	"metadata_empty_frames",
	"outbound_control_flood",
	"outbound_flood",
	"requests_rejected_with_underscores_in_headers",
	"rx_messaging_error",
	"rx_reset",
	"stream_refused_errors",
	"trailers",
	"tx_flush_timeout",
	"tx_reset",
	"goaway_sent",
]);
export const clusterHttp2Counters = defineFamily(http2Counters.names.map((name) => `http2.${name}` as const));
export const http2Gauges = defineFamily([
	"streams_active",
	"pending_send_bytes",
	"deferred_stream_close",
	"outbound_frames_active",
	"outbound_control_frames_active",
]);

export const clusterHttp2Gauges = defineFamily(http2Gauges.names.map((name) => `http2.${name}` as const));

export const listenerCounters = defineFamily([
	"downstream_cx_total",
	"downstream_cx_destroy",
	"downstream_cx_overflow",
	"downstream_cx_overload_reject",
	"downstream_cx_transport_socket_connect_timeout",
	"downstream_global_cx_overflow",
	"downstream_pre_cx_timeout",
	"downstream_listener_filter_error",
	"downstream_listener_filter_remote_close",
	"no_filter_chain_match",
	"network_extension_config_missing",
	"extension_config_missing",
	"connections_accepted_per_socket_event",
]);
export const listenerGauges = defineFamily(["downstream_cx_active", "downstream_pre_cx_active"]);

/** `listener.<address>.worker_<n>.` */
export const listenerWorkerCounters = defineFamily(["downstream_cx_total"]);
export const listenerWorkerGauges = defineFamily(["downstream_cx_active"]);

/** Prefix `proxy_proto.`, and the filter's own behind it. */
export const proxyProtocolCounters = defineFamily([
	"not_found_allowed",
	"not_found_disallowed",
	"versions.v1.disallowed",
	"versions.v1.error",
	"versions.v1.found",
	"versions.v2.disallowed",
	"versions.v2.error",
	"versions.v2.found",
]);

/** `listener.<address>.http.<stat prefix>.` */
export const listenerHttpCounters = defineFamily([
	"downstream_rq_1xx",
	"downstream_rq_2xx",
	"downstream_rq_3xx",
	"downstream_rq_4xx",
	"downstream_rq_5xx",
	"downstream_rq_completed",
]);

/** Prefix `tls_inspector.` and `http_inspector.` */
export const tlsInspectorCounters = defineFamily([
	"client_hello_too_large",
	"tls_found",
	"tls_not_found",
	"alpn_found",
	"alpn_not_found",
	"sni_found",
	"sni_not_found",
]);
export const httpInspectorCounters = defineFamily(["http10_found", "http11_found", "http2_found", "http_not_found", "read_error"]);

export const tcpCounters = defineFamily([
	"downstream_cx_total",
	"downstream_cx_no_route",
	"downstream_cx_rx_bytes_total",
	"downstream_cx_tx_bytes_total",
	"downstream_flow_control_paused_reading_total",
	"downstream_flow_control_resumed_reading_total",
	"idle_timeout",
	"max_downstream_connection_duration",
	"early_data_received_count_total",
	"upstream_flush_total",
]);

/** The same prefix, where clusters are asked for on demand. */
export const tcpOnDemandCounters = defineFamily([
	"on_demand_cluster_attempt",
	"on_demand_cluster_missing",
	"on_demand_cluster_success",
	"on_demand_cluster_timeout",
]);
