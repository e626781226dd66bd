import assert from "node:assert/strict";
import { test } from "node:test";
import { parseDump } from "../proxy-config/dump.ts";
import { describeDomains } from "../proxy-config/routes.ts";
import { renderDump } from "./proxy-config.ts";
import { renderProxyStatus } from "./proxy-status.ts";

const http = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const tcp = "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
const socket = (address: string, port: number) => ({ socket_address: { address, port_value: port } });
const config = (kind: string, name: string) => ({
	filter_metadata: { istio: { config: `/apis/networking.istio.io/v1alpha3/namespaces/default/${kind}/${name}` } },
});
const section = (name: string, parts: object) => ({ "@type": `type.googleapis.com/envoy.admin.v3.${name}`, ...parts });

const dump = {
	configs: [
		section("BootstrapConfigDump", { bootstrap: { node: { id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local" } } }),
		section("ClustersConfigDump", {
			static_clusters: [{ cluster: { name: "xds-grpc", type: "STRICT_DNS" } }],
			dynamic_active_clusters: [
				{ cluster: { name: "outbound|9080|v2|reviews.default.svc.cluster.local", type: "EDS", metadata: config("destination-rule", "reviews") } },
				{ cluster: { name: "outbound|9080||reviews.default.svc.cluster.local", type: "EDS", metadata: config("destination-rule", "reviews") } },
				{ cluster: { name: "inbound|80||", type: "ORIGINAL_DST" } },
				{ cluster: { name: "BlackHoleCluster" } },
			],
		}),
		section("ListenersConfigDump", {
			dynamic_listeners: [
				{
					active_state: {
						listener: {
							address: socket("0.0.0.0", 15006),
							filter_chains: [
								{ filter_chain_match: { destination_port: 15006 }, filters: [{ typed_config: { "@type": tcp, cluster: "BlackHoleCluster" } }] },
								{
									filter_chain_match: { destination_port: 80, transport_protocol: "tls", application_protocols: ["istio-peer-exchange", "istio"] },
									filters: [{ typed_config: { "@type": tcp, cluster: "inbound|80||" } }],
								},
								{
									filter_chain_match: { prefix_ranges: [{ address_prefix: "0.0.0.0", prefix_len: 0 }], server_names: ["a.com", "b.com"] },
									filters: [
										{
											typed_config: {
												"@type": http,
												route_config: { virtual_hosts: [{ domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "inbound|80||" } }] }] },
											},
										},
									],
								},
							],
						},
					},
				},
				{
					active_state: {
						listener: {
							address: socket("0.0.0.0", 80),
							filter_chains: [
								{
									filter_chain_match: { transport_protocol: "raw_buffer", application_protocols: ["http/1.1", "h2c"] },
									filters: [{ typed_config: { "@type": http, rds: { route_config_name: "80" } } }],
								},
							],
							default_filter_chain: { filters: [{ typed_config: { "@type": tcp, cluster: "PassthroughCluster" } }] },
						},
					},
				},
			],
		}),
		section("RoutesConfigDump", {
			dynamic_route_configs: [
				{
					route_config: {
						name: "9080",
						virtual_hosts: [
							{
								name: "reviews.default.svc.cluster.local:9080",
								domains: [
									"reviews.default.svc.cluster.local",
									"reviews.default.svc.cluster.local.",
									"reviews",
									"reviews.default.svc",
									"reviews.default",
									"10.96.0.7",
								],
								routes: [
									{ match: { prefix: "/" }, route: { cluster: "x" }, metadata: config("virtual-service", "reviews") },
									{ match: { safe_regex: { regex: "^/v[0-9]+$" } }, route: { cluster: "x" } },
								],
							},
							{ name: "allow_any", domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "PassthroughCluster" } }] },
						],
					},
				},
				{ route_config: { name: "80", virtual_hosts: [{ name: "empty", domains: ["a.com"] }] } },
			],
		}),
		section("EndpointsConfigDump", {
			dynamic_endpoint_configs: [
				{
					endpoint_config: {
						cluster_name: "outbound|9080||reviews.default.svc.cluster.local",
						endpoints: [
							{
								locality: { region: "r1", zone: "z1" },
								lb_endpoints: [
									{ endpoint: { address: socket("10.0.0.9", 9080) }, health_status: "UNHEALTHY" },
									{ endpoint: { address: socket("10.0.0.2", 9080) }, health_status: "HEALTHY" },
								],
							},
						],
					},
				},
			],
		}),
		section("SecretsConfigDump", {
			dynamic_warming_secrets: [{ name: "file", secret: { name: "file", validation_context: { trusted_ca: { filename: "/x" } } } }],
		}),
	],
};
const text = JSON.stringify(dump);
const parsed = parseDump(text, "test");
const lines = (what: string, filters: object = {}) =>
	renderDump(what, parsed, text, { output: "short", ...filters })
		.trimEnd()
		.split("\n")
		.map((line) => line.split(/ {2,}/).join(" | "));

test("proxy-config cluster", () => {
	assert.deepEqual(lines("cluster"), [
		"SERVICE FQDN | PORT | SUBSET | DIRECTION | TYPE | DESTINATION RULE",
		" | 80 | - | inbound | ORIGINAL_DST",
		"BlackHoleCluster | - | - | - | STATIC",
		"reviews.default.svc.cluster.local | 9080 | - | outbound | EDS | reviews.default",
		"reviews.default.svc.cluster.local | 9080 | v2 | outbound | EDS | reviews.default",
		"xds-grpc | - | - | - | STRICT_DNS",
	]);
	assert.equal(lines("cluster", { subset: "v2" }).length, 2);
	assert.equal(lines("cluster", { fqdn: "reviews.default.svc.cluster.local", port: "9080" }).length, 3);
	assert.equal(lines("cluster", { direction: "inbound" }).length, 2);
	const json = JSON.parse(renderDump("cluster", parsed, text, { output: "json", subset: "v2" })) as { name: string }[];
	assert.deepEqual(
		json.map(({ name }) => name),
		["outbound|9080|v2|reviews.default.svc.cluster.local"],
	);
});

test("proxy-config listener: a line for each filter chain, columns one blank apart", () => {
	assert.equal(
		renderDump("listener", parsed, text, { output: "short" }),
		[
			"ADDRESSES PORT  MATCH                                DESTINATION",
			"0.0.0.0   80    Trans: raw_buffer; App: http/1.1,h2c Route: 80",
			"0.0.0.0   80    ALL                                  PassthroughCluster",
			"0.0.0.0   15006 Addr: *:15006                        Non-HTTP/Non-TCP",
			"0.0.0.0   15006 Trans: tls; App: TCP TLS; Addr: *:80 Cluster: inbound|80||",
			"0.0.0.0   15006 SNI: a.com,b.com; Addr: 0.0.0.0/0    Cluster: inbound|80||",
			"",
		].join("\n"),
	);
	assert.equal(lines("listener", { port: "80" }).length, 3);
	assert.equal(lines("listener", { type: "tcp" }).length, 1);
	assert.equal(lines("listener", { type: "http+tcp" }).length, 6);
});

test("proxy-config route", () => {
	assert.deepEqual(lines("route"), [
		"NAME | VHOST NAME | DOMAINS | MATCH | VIRTUAL SERVICE",
		"80 | empty | a.com | /* | 404",
		"9080 | reviews.default.svc.cluster.local:9080 | reviews, reviews.default + 1 more... | /* | reviews.default",
		"9080 | reviews.default.svc.cluster.local:9080 | reviews, reviews.default + 1 more... | regex ^/v[0-9]+$",
	]);
	assert.equal(lines("route", { name: "80" }).length, 2);
	assert.equal(describeDomains(["a.svc.cluster.local:80", "b:80"]), "a.svc.cluster.local:80, b:80");
});

test("proxy-config endpoint", () => {
	assert.deepEqual(lines("endpoint"), [
		"NAME | STATUS | LOCALITY | CLUSTER",
		"10.0.0.2:9080 | HEALTHY | r1/z1 | outbound|9080||reviews.default.svc.cluster.local",
		"10.0.0.9:9080 | UNHEALTHY | r1/z1 | outbound|9080||reviews.default.svc.cluster.local",
	]);
	assert.equal(lines("endpoint", { status: "healthy" }).length, 2);
	assert.equal(lines("endpoint", { address: "10.0.0.9" }).length, 2);
});

test("proxy-config secret, bootstrap and all", () => {
	assert.deepEqual(lines("secret"), ["RESOURCE NAME | TYPE | STATUS | VALID CERT | SERIAL NUMBER | NOT AFTER | NOT BEFORE"]);
	assert.match(renderDump("bootstrap", parsed, text, { output: "json" }), /sidecar~10\.0\.0\.1~a\.default/);
	assert.deepEqual(
		lines("all")
			.filter((line) => /^[A-Z]+ ?[A-Z]* (\||[A-Z])/.test(line))
			.map((line) => line.split(" ")[0]),
		["SERVICE", "ADDRESSES", "NAME", "NAME"],
	);
});

test("what is no config_dump is refused by its name", () => {
	assert.throws(() => parseDump("{", "a.json"), /a\.json: this is no JSON/);
	assert.throws(() => parseDump("{}", "a.json"), /a\.json: this is no config_dump/);
});

test("proxy-status tells what each proxy subscribed to, and with -v 1 whether it has it", () => {
	const status = {
		proxy: "a.default",
		cluster_id: "Kubernetes",
		istio_version: "1.30.3",
		cluster_sent: "2",
		cluster_acked: "2",
		listener_sent: "2",
		listener_acked: "1",
		route_sent: "2",
		route_acked: "",
		endpoint_sent: "",
		endpoint_acked: "",
	};
	const rows = (isVerbose: boolean) =>
		renderProxyStatus([{ istiod: "istiod-1", status }], isVerbose)
			.trimEnd()
			.split("\n")
			.map((line) => line.split(/ {2,}/));
	assert.deepEqual(rows(false), [
		["NAME", "CLUSTER", "ISTIOD", "VERSION", "SUBSCRIBED TYPES"],
		["a.default", "Kubernetes", "istiod-1", "1.30.3", "3 (CDS,LDS,RDS)"],
	]);
	assert.deepEqual(rows(true)[1]?.slice(4), ["SYNCED", "STALE", "NOT SENT", "STALE (Never Acknowledged)", "NOT SENT"]);
});
