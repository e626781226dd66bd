import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { startMixedLoad, type MixedLoad } from "./mixed-load.ts";
import { type Proxy, skipReason as skip } from "./pair.ts";

/** Statistics of Envoy that there are none of here, and why. */
const missing: readonly (readonly [names: RegExp, why: string])[] = [
	[/^(http|listener\.[^.]+\.http)\.admin\.|^listener\.admin\./, "the admin interface is the main thread's own server, and its pages are no traffic"],
	[/^http\.async-client\./, "what filters ask of other services is counted by the cluster that they ask"],
	[/http3|upstream_rq_0rtt|connect_with_0_rtt/, "there is no HTTP/3"],
	[/nghttp2_|oghttp2_/, "names of libraries that Envoy may be built with"],
	[/(^|\.)http2\.(cookie_|cookies_|header_count|header_list_size$)/, "sizes of heads: they would be taken of every request, for nobody's limit"],
	[/(^|\.)http1\./, "faults of HTTP/1 peers are counted as protocol errors, and underscores as 4xx"],
	[/^http\.[^.]+\.tracing\./, "counted where a listener traces"],
	[/passthrough_internal_redirect_|upstream_internal_redirect_/, "internal redirects are refused as configuration"],
	[/downstream_cx_http1_soft_drain$/, "HTTP/1 connections have no two steps of draining"],
	[/downstream_rq_rejected_via_ip_detection$/, "detection of the original address is not pluggable here"],
	[/rq_overload_local_reply$|downstream_cx_overload_close$|reset_high_memory_stream/, "overload actions that are refused as configuration"],
	[/^listener\..*\.main_thread\./, "the main thread accepts no connections"],
	[/^listener\.[^.]+\.downstream_cx_length_ms$/, "told by http.*.downstream_cx_length_ms, and by the duration in TCP logs"],
	[/ssl_socket_factory\./, "a connection that waits for its certificate is refused, and counted as a connection error"],
	[/\.ssl\.ocsp_staple_/, "OCSP staples are not configurable"],
	[/\.ssl\.certificate\./, "server.days_until_first_cert_expiring tells it of all"],
	[/^listener\..*\.ssl\.curves\./, "a server is not told the curve by Node"],
	[/\.ssl\.sigalgs\./, "Node does not tell the signature of a handshake"],
	[/^cluster\.[^.]+\.(assignment_use_cached|version|warming_state)$/, "resources are shown with their versions, and as warming, by /config_dump"],
	[
		/^cluster\.[^.]+\.(default\.total_match_count|max_host_weight|upstream_queue_overloaded|upstream_cx_preconnect_skipped)$/,
		"parts of Envoy's own that are not here",
	],
	[/remaining_cx_pools$/, "connection pools have no limit of their own"],
	[/\.lb_subsets_(active|created|removed)$/, "subsets are a list by host, made anew with each change"],
	[/ejections_detected_degradation$/, "no such detector can be configured"],
	[
		/^cluster_manager\.(cluster_updated|cluster_updated_via_merge|update_merge_cancelled|update_out_of_merge_window)$/,
		"updates of hosts are not merged over a time",
	],
	[
		/^listener_manager\.(listener_create_|listener_in_place_updated|listener_stopped|total_filter_chains_draining|total_listeners_draining|workers_pinned)/,
		"a worker replaces a listener as a whole",
	],
	[/^thread_local_cluster_manager\.|watchdog_|^overload\.refresh_interval_delay$/, "of Envoy's own threads"],
	[/^filesystem\./, "log files are written by the system's calls at the end of a turn"],
	[/^downstream_cx_proxy_proto_error$/, "proxy_proto.* tells it with the version"],
	[
		/^tcp\..*\.(downstream_cx_drain_close|downstream_cx_[rt]x_bytes_buffered|route_delayed_total|upstream_flush_active)$/,
		"TCP sessions are not drained one by one, and buffers are the system's",
	],
	[
		/^server\.(compilation_settings|debug_assertion_failures|dropped_stat_flushes|dynamic_unknown_fields|envoy_bug_failures|envoy_notifications|hot_restart_generation|initialization_time_ms|parent_connections|seconds_until_first_ocsp_response_expiring|static_unknown_fields|stats_recent_lookups|version|wip_protos)/,
		"of Envoy's own build, restart and configuration",
	],
];

const names = async (proxy: Proxy): Promise<ReadonlySet<string>> =>
	new Set(
		(await proxy.admin("/stats"))
			.split("\n")
			.flatMap((line) => (line.includes(": ") ? [line.slice(0, line.indexOf(": ")).replace(/127\.0\.0\.1_\d+/, "ADDRESS")] : [])),
	);

describe("names of statistics, beside a real Envoy's", { skip }, () => {
	let load: MixedLoad;
	let envoy: ReadonlySet<string>;
	let weft: ReadonlySet<string>;
	before(async () => {
		load = await startMixedLoad();
		[envoy, weft] = (await Promise.all(load.proxies.map(names))) as [ReadonlySet<string>, ReadonlySet<string>];
	});
	after(() => load?.stop());

	it("are all here, but for those that are listed", () => {
		assert.ok(envoy.size > 1000, `${envoy.size} names`);
		const unexplained = [...envoy].filter((name) => !weft.has(name) && !missing.some(([pattern]) => pattern.test(name)));
		assert.deepEqual(unexplained, []);
	});

	it("are all missed that are listed", () => {
		const gone = [...envoy].filter((name) => !weft.has(name));
		assert.deepEqual(
			missing.filter(([pattern]) => !gone.some((name) => pattern.test(name))).map(([, why]) => why),
			[],
		);
	});

	it("mean the same: what the load moved", async () => {
		const pattern =
			/^(proxy_proto\.|listener\..*\.worker_0\.downstream_cx_total|cluster\.[^.]+\.(external|internal)\.upstream_rq_(\d|completed)|cluster_manager\.cluster_added|listener_manager\.listener_added)/;
		const [a, b] = await Promise.all(
			load.proxies.map(async (proxy) => {
				const counters = [...(await proxy.counters(pattern))].filter(([, value]) => value !== 0);
				// A listener with a port for name: of the two, the values in order.
				return counters.map(([name, value]) => `${name.replace(/127\.0\.0\.1_\d+/, "ADDRESS")} ${value}`).toSorted();
			}),
		);
		assert.ok((a?.length ?? 0) > 8, String(a));
		assert.deepEqual(b, a);
	});
});
