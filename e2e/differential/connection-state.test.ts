import assert from "node:assert/strict";
import { connect, createServer, type Server } from "node:net";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createAuthority, requireClientCertificate } from "../security/identities.ts";
import { extension, fileLog, httpFilter, listener, loopback, staticCluster } from "./config.ts";
import { type Proxy, skipReason, startPair } from "./pair.ts";
import { get, runScenarios, type Scenario } from "./scenarios.ts";

type Json = Readonly<Record<string, unknown>>;

const setState = (fields: Json) => extension("envoy.filters.network.set_filter_state", "extensions.filters.network.set_filter_state.v3.Config", fields);
const object = (object_key: string, format: string, fields: Json = {}) => ({
	object_key,
	factory_key: "envoy.string",
	format_string: { text_format_source: { inline_string: format } },
	...fields,
});
const route = (name: string, match: Json = {}) => ({ name, match: { prefix: "/", ...match }, route: { cluster: "echo" } });

const authority = createAuthority("cluster.local");
const server = requireClientCertificate(authority.issue("spiffe://cluster.local/ns/a/sa/server"), authority.caPem);
const shown = authority.issue("spiffe://cluster.local/ns/foo/sa/alice");
const tls = { server, client: { cert: shown.certChainPem, key: shown.privateKeyPem } };

const scenarios: Readonly<Record<string, Scenario>> = {
	"requests see it": {
		filters: [
			httpFilter("envoy.filters.http.rbac", "rbac.v3.RBAC", {
				rules: {
					action: "DENY",
					policies: {
						p: {
							permissions: [{ url_path: { path: { prefix: "/denied" } } }],
							principals: [{ filter_state: { key: "k", string_match: { exact: "of the connection" } } }],
						},
					},
				},
			}),
		],
		network: [setState({ on_new_connection: [object("k", "of the connection"), object("ip", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%")] })],
		host: { routes: [route("by state", { filter_state: [{ key: "k", string_match: { exact: "of the connection" } }] }), route("other")] },
		requests: { routed: get("/"), denied: get("/denied") },
	},
	"requests say another": {
		filters: [
			httpFilter("envoy.filters.http.set_filter_state", "set_filter_state.v3.Config", {
				on_request_headers: [object("k", "of the request"), object("ip", "mine")],
			}),
		],
		network: [setState({ on_new_connection: [object("k", "of the connection")] })],
		requests: { request: get("/") },
	},
	"without TLS": {
		filters: [],
		network: [
			setState({
				on_new_connection: [object("k", "new"), object("ip", "%DOWNSTREAM_PEER_URI_SAN%")],
				on_downstream_tls_handshake: [object("k", "handshake"), object("san", "%DOWNSTREAM_PEER_URI_SAN%")],
			}),
		],
		requests: { request: get("/") },
	},
	"over TLS": {
		filters: [],
		network: [
			setState({
				on_new_connection: [object("k", "new"), object("ip", "%DOWNSTREAM_PEER_URI_SAN% %REQUESTED_SERVER_NAME%")],
				on_downstream_tls_handshake: [object("k", "handshake"), object("san", "%DOWNSTREAM_PEER_URI_SAN%")],
			}),
		],
		tls,
		requests: { request: get("/") },
	},
};

runScenarios("filter state of connections", scenarios, {
	stats: /^http\.(?!admin|async)[^.]+\.rbac/,
	log: { route: "%ROUTE_NAME%", k: "%FILTER_STATE(k:PLAIN)%", ip: "%FILTER_STATE(ip:PLAIN)%", san: "%FILTER_STATE(san:PLAIN)%" },
});

const [hostKey, portKey] = ["envoy.upstream.dynamic_host", "envoy.upstream.dynamic_port"];
const names = { name: "names", dns_lookup_family: "V4_ONLY" };
const bySni = extension("sni", "extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig", { dns_cache_config: names, port_value: 1 });
const dynamic = (...objects: readonly Json[]) => ({ filters: [setState({ on_new_connection: objects }), bySni], proxy: { cluster: "names" } });
const clusterKey = "envoy.tcp_proxy.cluster";
const chains: Readonly<Record<string, { readonly filters: readonly object[]; readonly proxy?: Json }>> = {
	"a host of the filter state": dynamic(object(hostKey, "127.0.0.1", { factory_key: "" }), object(portKey, "PORT", { factory_key: "" })),
	"a host by name": dynamic(object(hostKey, "LocalHost", { factory_key: "" }), object(portKey, "PORT", { factory_key: "" })),
	"a port that is none": dynamic(object(hostKey, "127.0.0.1", { factory_key: "" }), object(portKey, "many", { factory_key: "" })),
	"a port that is too large": dynamic(object(hostKey, "127.0.0.1", { factory_key: "" }), object(portKey, "70000", { factory_key: "" })),
	"no host": dynamic(object(portKey, "PORT", { factory_key: "" })),
	"the proxy's own cluster": { filters: [setState({ on_new_connection: [object("k", "said")] })] },
	"a cluster of the filter state": { filters: [setState({ on_new_connection: [object(clusterKey, "two", { factory_key: "" })] })] },
	"instead of weighted ones": {
		filters: [setState({ on_new_connection: [object(clusterKey, "two", { factory_key: "" })] })],
		proxy: { cluster: undefined, weighted_clusters: { clusters: [{ name: "one", weight: 1 }] } },
	},
	"a cluster that is not there": { filters: [setState({ on_new_connection: [object(clusterKey, "gone", { factory_key: "" })] })] },
	hashed: {
		filters: [setState({ on_new_connection: [object("h", "some text", { factory_key: "envoy.hashable_string" })] })],
		proxy: { cluster: "ring", hash_policy: [{ filter_state: { key: "h" } }] },
	},
};

void describe("filter state of TCP connections, beside a real Envoy", { skip: skipReason }, () => {
	let upstreams: readonly Server[];
	let pair: readonly [Proxy, Proxy];

	before(async () => {
		upstreams = ["one", "two", "three"].map((name) =>
			createServer((socket) => socket.on("error", () => {}).on("data", (bytes) => socket.end(`${name} ${bytes.toString()}`))),
		);
		const ports = await Promise.all(
			upstreams.map(async (upstream) => {
				await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", () => resolve()));
				const address = upstream.address();
				return typeof address === "object" && address !== null ? address.port : 0;
			}),
		);
		pair = await startPair((accessLog) => bootstrap(ports, accessLog), Object.keys(chains));
	});
	after(async () => {
		for (const upstream of upstreams ?? []) upstream.close();
		for (const proxy of pair ?? []) await proxy.stop();
	});

	for (const name of Object.keys(chains)) {
		void test(name, async () => {
			const [envoy, weft] = await Promise.all((pair ?? []).map((proxy) => talk(proxy, name)));
			assert.deepEqual(weft, envoy);
		});
	}

	void test("logs", async () => {
		const sorted = (proxy: Proxy) => proxy.log().toSorted((a, b) => String(a["listener"]).localeCompare(String(b["listener"])));
		await sleep(100);
		const [envoy, weft] = pair;
		assert.equal(sorted(envoy).length, Object.keys(chains).length);
		assert.deepEqual(sorted(weft), sorted(envoy));
	});
});

function talk(proxy: Proxy, name: string): Promise<string> {
	return new Promise((resolve) => {
		let text = "";
		const socket = connect({ port: proxy.port(name), host: "127.0.0.1" }, () => socket.write("hi"));
		socket.on("data", (bytes) => void (text += bytes.toString()));
		socket.on("error", () => {});
		socket.on("close", () => resolve(text));
	});
}

function bootstrap([one = 0, two = 0, three = 0]: readonly number[], accessLog: string): object {
	const listeners = Object.entries(chains).map(([name, { filters, proxy = {} }]) => {
		const log = fileLog(accessLog, {
			listener: name,
			flags: "%RESPONSE_FLAGS%",
			cluster: "%UPSTREAM_CLUSTER%",
			k: "%FILTER_STATE(k:PLAIN)%",
			h: "%FILTER_STATE(h:TYPED)%",
			plain: `%FILTER_STATE(${clusterKey}:PLAIN)%`,
			typed: `%FILTER_STATE(${clusterKey})%`,
			host: `%FILTER_STATE(${hostKey}:PLAIN)% %FILTER_STATE(${hostKey})%`,
			port: `%FILTER_STATE(${portKey}:PLAIN)% %FILTER_STATE(${portKey})%`,
		});
		const tcp = extension("envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy", {
			stat_prefix: "t",
			cluster: "one",
			access_log: [log],
			...proxy,
		});
		return JSON.parse(JSON.stringify(listener(name, [...filters, tcp])).replaceAll('"PORT"', `"${one}"`)) as object;
	});
	const ring = [one, two, three].map((port, i) => ({
		endpoint: { address: loopback(port) },
		metadata: { filter_metadata: { "envoy.lb": { hash_key: `host-${i}` } } },
	}));
	return {
		admin: { address: loopback(0) },
		static_resources: {
			listeners,
			clusters: [
				staticCluster("one", one),
				staticCluster("two", two),
				{
					name: "names",
					lb_policy: "CLUSTER_PROVIDED",
					connect_timeout: "1s",
					cluster_type: extension("envoy.clusters.dynamic_forward_proxy", "extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig", {
						dns_cache_config: names,
					}),
				},
				{ name: "ring", type: "STATIC", lb_policy: "RING_HASH", load_assignment: { cluster_name: "ring", endpoints: [{ lb_endpoints: ring }] } },
			],
		},
	};
}
