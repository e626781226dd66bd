import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeInfo } from "../../config/runtime-config.ts";
import type { IstioStats } from "../../config/telemetry.ts";
import { createRequestView } from "../headers/headers-view.ts";
import { defaultStatsConfig } from "../../config/stats-config.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createConnectionInfo, createStreamInfo } from "../log/stream-info.ts";
import { clusterCounters } from "./families.ts";
import { createHistogram, cumulativeCounts, mergeHistograms, quantiles } from "./histogram.ts";
import { createIstioMetrics, type IstioPair, peerOfEndpoint, peerOfNode, peerOfPrincipal } from "./istio-metrics.ts";
import { renderPrometheus } from "./prometheus.ts";
import { createStatsRegistry, mergeStats, type StatsRegistry } from "./registry.ts";
import { createResponseCodes } from "./response-codes.ts";
import { renderStatsText } from "./stats-text.ts";
import { compileStatsView } from "./stats-view.ts";

const everything = { usedOnly: false };

function count(stats: StatsRegistry, handle: number, by = 1) {
	stats.counters[handle] = (stats.counters[handle] ?? 0) + by;
}

test("families count per scope, scopes of one prefix are one, and a closed scope is gone", () => {
	const stats = createStatsRegistry();
	const scope = stats.openScope("cluster.a.");
	const again = stats.openScope("cluster.a.");
	const base = scope.counters(clusterCounters);
	assert.equal(again.counters(clusterCounters), base);
	count(stats, base + clusterCounters.index.upstream_rq_total, 3);
	for (let i = 0; i < 20; i++) stats.openScope(`cluster.b${i}.`).counters(clusterCounters);
	assert.equal(mergeStats([stats.dump()]).counters.get("cluster.a.upstream_rq_total"), 3);
	scope.close();
	assert.ok(mergeStats([stats.dump()]).counters.has("cluster.a.upstream_rq_total"));
	again.close();
	assert.ok(!mergeStats([stats.dump()]).counters.has("cluster.a.upstream_rq_total"));
	const reused = stats.openScope("cluster.c.").counters(clusterCounters);
	assert.equal(reused, base);
	assert.equal(stats.counters[reused + clusterCounters.index.upstream_rq_total], 0);
});

test("threads are added up, and a dump survives structured cloning", () => {
	const threads = [1, 2].map((by) => {
		const stats = createStatsRegistry();
		const scope = stats.openScope("http.in.");
		count(stats, scope.counter("rq_total"), by);
		stats.gauges[scope.gauge("active")] = by;
		scope.histogram("time").record(by * 10);
		return structuredClone(stats.dump());
	});
	const merged = mergeStats(threads);
	assert.equal(merged.counters.get("http.in.rq_total"), 3);
	assert.equal(merged.gauges.get("http.in.active"), 3);
	assert.equal(merged.histograms.get("http.in.time")?.sum, 30);
});

test("reset clears counters and histograms, not gauges", () => {
	const stats = createStatsRegistry();
	const scope = stats.openScope("x.");
	count(stats, scope.counter("c"));
	stats.gauges[scope.gauge("g")] = 1;
	scope.histogram("h").record(1);
	stats.reset();
	const merged = mergeStats([stats.dump()]);
	assert.deepEqual([merged.counters.get("x.c"), merged.gauges.get("x.g"), merged.histograms.get("x.h")?.count], [0, 1, 0]);
});

test("histogram buckets are exact at Envoy's bounds", () => {
	const histogram = createHistogram();
	for (const value of [0, 0.5, 0.6, 1, 5, 5.1, 100, 101, 3_600_000, 4e12, -1]) histogram.record(value);
	assert.deepEqual(cumulativeCounts(histogram.dump(), [0.5, 1, 5, 100, 250, 3_600_000]), [3, 5, 6, 8, 9, 10]);
	const twice = mergeHistograms(histogram.dump(), histogram.dump());
	assert.deepEqual(cumulativeCounts(twice, [0.5, 3_600_000]), [6, 20]);
	assert.equal(twice.count, 22);
});

test("quantiles are right to two digits", () => {
	const histogram = createHistogram();
	for (let i = 1; i <= 1000; i++) histogram.record(i);
	const [p50 = 0, p99 = 0, p100 = 0] = quantiles(histogram.dump(), [0.5, 0.99, 1]);
	assert.ok(Math.abs(p50 - 500) <= 10 && Math.abs(p99 - 990) <= 10 && p100 === 1000, `${p50} ${p99} ${p100}`);
});

test("response codes are counted by code and class, and nonsense makes no names", () => {
	const stats = createStatsRegistry();
	const codes = createResponseCodes(stats, stats.openScope("cluster.a."), "upstream_rq");
	for (const code of [200, 200, 503, 99_999, 0]) codes.increment(code);
	assert.deepEqual(Object.fromEntries(mergeStats([stats.dump()]).counters), {
		"cluster.a.upstream_rq_completed": 5,
		"cluster.a.upstream_rq_200": 2,
		"cluster.a.upstream_rq_2xx": 2,
		"cluster.a.upstream_rq_503": 1,
		"cluster.a.upstream_rq_5xx": 1,
		"cluster.a.upstream_rq_unknown": 2,
	});
});

test("Prometheus gets Envoy's names and labels, cluster names with dots included", () => {
	const stats = createStatsRegistry();
	const add = (prefix: string, name: string, value: number) => count(stats, stats.openScope(prefix).counter(name), value);
	add("cluster.outbound|80||a.b.svc.cluster.local.", "upstream_rq_200", 2);
	add("cluster.outbound|80||a.b.svc.cluster.local.", "upstream_rq_2xx", 2);
	add("cluster.c.circuit_breakers.default.", "rq_open", 1);
	add("http.ingress.", "downstream_rq_5xx", 1);
	add("listener.0.0.0.0_80.", "downstream_cx_total", 4);
	add("listener.0.0.0.0_80.http.ingress.", "downstream_rq_2xx", 5);
	add("cluster.c.grpc.svc.Get.", "total", 6);
	add("cluster.c.grpc.", "total", 7);
	add("server.", "live", 1);
	add("vhost.shop.vcluster.cart.v1.", "upstream_rq_404", 8);
	add("vhost.a.b.vcluster.cart.", "upstream_rq_total", 9);
	add("vhost.shop.route.good.one.", "upstream_rq_404", 10);
	assert.equal(
		[...renderPrometheus(mergeStats([stats.dump()]), everything)].join(""),
		[
			"# TYPE envoy_cluster_circuit_breakers_default_rq_open counter",
			'envoy_cluster_circuit_breakers_default_rq_open{envoy_cluster_name="c"} 1',
			"# TYPE envoy_cluster_grpc_total counter",
			'envoy_cluster_grpc_total{envoy_cluster_name="c"} 7',
			'envoy_cluster_grpc_total{envoy_grpc_bridge_method="Get",envoy_grpc_bridge_service="svc",envoy_cluster_name="c"} 6',
			"# TYPE envoy_cluster_upstream_rq counter",
			'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="outbound|80||a.b.svc.cluster.local"} 2',
			"# TYPE envoy_cluster_upstream_rq_xx counter",
			'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="outbound|80||a.b.svc.cluster.local"} 2',
			"# TYPE envoy_http_downstream_rq_xx counter",
			'envoy_http_downstream_rq_xx{envoy_response_code_class="5",envoy_http_conn_manager_prefix="ingress"} 1',
			"# TYPE envoy_listener_downstream_cx_total counter",
			'envoy_listener_downstream_cx_total{envoy_listener_address="0.0.0.0_80"} 4',
			"# TYPE envoy_listener_http_downstream_rq_xx counter",
			'envoy_listener_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="ingress",envoy_listener_address="0.0.0.0_80"} 5',
			"# TYPE envoy_server_live counter",
			"envoy_server_live{} 1",
			"# TYPE envoy_vhost_b_vcluster_cart_upstream_rq_total counter",
			'envoy_vhost_b_vcluster_cart_upstream_rq_total{envoy_virtual_host="a"} 9',
			"# TYPE envoy_vhost_route_one_upstream_rq counter",
			'envoy_vhost_route_one_upstream_rq{envoy_response_code="404",envoy_virtual_host="shop",envoy_route="good"} 10',
			"# TYPE envoy_vhost_vcluster_v1_upstream_rq counter",
			'envoy_vhost_vcluster_v1_upstream_rq{envoy_response_code="404",envoy_virtual_cluster="cart",envoy_virtual_host="shop"} 8',
			"",
		].join("\n"),
	);
});

test("/stats is sorted, filtered, and shows quantiles", () => {
	const stats = createStatsRegistry();
	const scope = stats.openScope("cluster.a.");
	count(stats, scope.counter("z"), 2);
	scope.counter("unused");
	stats.gauges[scope.gauge("b")] = 1;
	scope.histogram("time").record(3);
	const merged = mergeStats([stats.dump()]);
	assert.match(
		renderStatsText(merged, everything),
		/^cluster\.a\.b: 1\ncluster\.a\.unused: 0\ncluster\.a\.z: 2\ncluster\.a\.time: P0\(nan,2\.9\) .* P100\(nan,3\)\n$/,
	);
	assert.equal(renderStatsText(merged, { usedOnly: true, matches: (name) => name.endsWith("z") || name.endsWith("unused") }), "cluster.a.z: 2\n");
});

const node: NodeInfo = {
	id: "sidecar~10.0.0.1~productpage-1.default~default.svc.cluster.local",
	cluster: "productpage.default",
	metadata: { NAMESPACE: "default", WORKLOAD_NAME: "productpage-v1", CLUSTER_ID: "Kubernetes", LABELS: { app: "productpage", version: "v1" } },
	locality: { region: "", zone: "", subZone: "" },
};
const standard: IstioStats = { disableHostHeaderFallback: false, reporter: "default", overrides: [] };
const pair: IstioPair = {
	reporter: "source",
	source: peerOfNode(node, "spiffe://cluster.local/ns/default/sa/productpage"),
	destination: peerOfEndpoint("reviews-v1;default;reviews;v1;Kubernetes", "spiffe://cluster.local/ns/default/sa/reviews"),
	service: { host: "reviews.default.svc.cluster.local", name: "reviews", namespace: "default" },
	securityPolicy: "unknown",
};

function prometheusOf(istio: ReturnType<typeof createIstioMetrics>["value"], copies = 1): string {
	const dumps = Array.from({ length: copies }, () => structuredClone(createStatsRegistry(istio).dump()));
	return [...renderPrometheus(mergeStats(dumps), everything)].join("");
}

test("Istio's request metrics have the 25 labels in order, and buckets", () => {
	const { value, errors } = createIstioMetrics(standard, node);
	assert.deepEqual(errors, []);
	value.forPair(pair).http(200, "", 0, 7, 100, 2000, "");
	value.forPair(pair).http(200, "", 0, 3, 0, 0, "");
	const text = prometheusOf(value, 2);
	const labels =
		'reporter="source",source_workload="productpage-v1",source_canonical_service="productpage",source_canonical_revision="v1",source_workload_namespace="default",' +
		'source_principal="spiffe://cluster.local/ns/default/sa/productpage",source_app="productpage",source_version="v1",source_cluster="Kubernetes",' +
		'destination_workload="reviews-v1",destination_workload_namespace="default",destination_principal="spiffe://cluster.local/ns/default/sa/reviews",' +
		'destination_app="unknown",destination_version="unknown",destination_service="reviews.default.svc.cluster.local",destination_canonical_service="reviews",' +
		'destination_canonical_revision="v1",destination_service_name="reviews",destination_service_namespace="default",destination_cluster="Kubernetes",' +
		'request_protocol="http",response_code="200",grpc_response_status="",response_flags="-",connection_security_policy="unknown"';
	assert.ok(text.includes(`# TYPE istio_requests_total counter\nistio_requests_total{${labels}} 4\n`), text);
	assert.ok(text.includes(`istio_request_duration_milliseconds_bucket{${labels},le="5"} 2\n`), text);
	assert.ok(text.includes(`istio_request_duration_milliseconds_sum{${labels}} 20\n`), text);
	assert.ok(text.includes(`istio_response_bytes_count{${labels}} 4\n`), text);
});

test("histograms have the buckets that the bootstrap asks for, Istio's included", () => {
	const { value } = compileStatsView({
		...defaultStatsConfig,
		histogramBounds: [{ match: { kind: "suffix", value: "milliseconds", ignoreCase: false }, bounds: [2, 8] }],
	});
	const { value: istio } = createIstioMetrics(standard, node, undefined, value.boundsOf);
	for (const durationMs of [1, 2, 5, 9]) istio.forPair(pair).http(200, "", 0, durationMs, 100, 2000, "");
	const registry = createStatsRegistry(istio);
	registry.openScope("x.").histogram("y_milliseconds").record(5);
	const text = [...renderPrometheus(mergeStats([structuredClone(registry.dump()), registry.dump()]), everything, value)].join("");
	const buckets = [...text.matchAll(/^(\w+_milliseconds_bucket).*le="([^"]+)"\} (\d+)$/gm)].map(([, name, bound, count]) => [name, bound, count].join(" "));
	assert.deepEqual(buckets, [
		"envoy_x_y_milliseconds_bucket 2 0",
		"envoy_x_y_milliseconds_bucket 8 2",
		"envoy_x_y_milliseconds_bucket +Inf 2",
		"istio_request_duration_milliseconds_bucket 2 4",
		"istio_request_duration_milliseconds_bucket 8 6",
		"istio_request_duration_milliseconds_bucket +Inf 8",
	]);
	assert.match(text, /istio_response_bytes_bucket\{[^}]*le="3.6e\+06|istio_response_bytes_bucket\{[^}]*le="3600000"/);
});

test("TCP metrics have no codes, and flags only on the close", () => {
	const { value } = createIstioMetrics(standard, node);
	const recorder = value.forPair({ ...pair, source: peerOfPrincipal("spiffe://td/ns/foo/sa/bar"), securityPolicy: "mutual_tls" });
	recorder.tcpOpened("");
	recorder.tcpBytes(10, 20, "");
	recorder.tcpClosed(responseFlags.UF, "");
	const text = prometheusOf(value);
	assert.match(
		text,
		/istio_tcp_sent_bytes_total\{[^}]*source_workload_namespace="foo"[^}]*request_protocol="tcp",response_flags="-",connection_security_policy="mutual_tls"\} 10\n/,
	);
	assert.match(text, /istio_tcp_connections_closed_total\{[^}]*response_flags="UF"[^}]*\} 1\n/);
	assert.doesNotMatch(text, /response_code/);
});

test("overrides drop metrics, remove, replace and add labels", () => {
	const override = (parts: object) => ({ metric: "", drop: false, removeTags: [], dimensions: {}, ...parts });
	const overrides = [
		override({ removeTags: ["source_principal"], dimensions: { tier: "'gold'", source_app: "node.metadata['CLUSTER_ID']" } }),
		override({ metric: "request_bytes", drop: true }),
	];
	const { value, errors } = createIstioMetrics({ ...standard, overrides }, node);
	assert.deepEqual(errors, []);
	value.forPair(pair).http(200, "", 0, 1, 1, 1, "");
	const text = prometheusOf(value);
	assert.doesNotMatch(text, /source_principal|istio_request_bytes/);
	assert.match(text, /istio_requests_total\{[^}]*source_app="Kubernetes"[^}]*tier="gold"\} 1/);
	const bad = createIstioMetrics({ ...standard, overrides: [override({ metric: "requests_total", dimensions: { a: "nobody.host" } })] }, node);
	assert.match(bad.errors.join(), /istio_requests_total: tag "a": CEL expression "nobody\.host": there is no attribute nobody/);
});

test("labels by expressions tell series apart, of the metrics that have them", () => {
	const dimensions = { host: "request.host", big: "request.size > 100", nobody: "request.headers['x-nobody']" };
	const overrides = [{ metric: "requests_total", drop: false, removeTags: [], dimensions }];
	const { value, errors } = createIstioMetrics({ ...standard, overrides }, node);
	assert.deepEqual(errors, []);
	const recorder = value.forPair(pair);
	for (const [authority, bytes] of [
		["a.com", 5],
		["b.com", 500],
		["a.com", 7],
	] as const) {
		const info = Object.assign(createStreamInfo(createConnectionInfo()), { bytesReceived: bytes, request: createRequestView({ authority }) });
		recorder.http(200, "", 0, 1, bytes, 1, value.tagsOf(info));
	}
	const text = prometheusOf(value);
	assert.match(text, /istio_requests_total\{[^}]*host="a\.com",big="false",nobody="unknown"\} 2\n/);
	assert.match(text, /istio_requests_total\{[^}]*host="b\.com",big="true",nobody="unknown"\} 1\n/);
	// The others are not told apart.
	assert.deepEqual(
		[...text.matchAll(/istio_request_bytes_sum\{[^}]*\} (\d+)\n/g)].map(([, sum]) => sum),
		["512"],
	);
});

test("sec/e51: beyond the limit new series are counted together as unknown", () => {
	const { value } = createIstioMetrics(standard, node, 10);
	const recorder = value.forPair(pair);
	for (let code = 200; code < 300; code++) recorder.http(code, "", 0, 1, 1, 1, "");
	assert.equal(value.dump().length, 10);
	assert.equal(value.overflows, 91);
	const total = value.dump().reduce((sum, series) => sum + (series.counters[0]?.[1] ?? 0), 0);
	assert.equal(total, 100);
});
