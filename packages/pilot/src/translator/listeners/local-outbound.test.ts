import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { unpackAny } from "@weft/xds";
import type { FilterChain } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { TcpProxy } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import { contextOf, createTestMesh, routeTable, service } from "../routes/test-mesh.ts";
import { buildListeners } from "./index.ts";

const mesh = `
${service("reviews", "{name: http, port: 9080, targetPort: 8080}")}
${service("web", "{name: http, port: 80, targetPort: 8081}")}
${service("db", "{name: tcp, port: 3306, targetPort: 3306}")}
${service("client", "{name: http, port: 8000, targetPort: 7000}, {name: tcp-x, port: 8001, targetPort: 7001}")}
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: app, image: none}]}
status: {podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}], phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: client-1, namespace: default, labels: {kubernetes.io/service-name: client}}
addressType: IPv4
ports: [{name: http, port: 7000, protocol: TCP}, {name: tcp-x, port: 7001, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.9], conditions: {ready: true}, targetRef: {kind: Pod, name: client, namespace: default}}
`;

const local = {
	inbound: { 7000: { bind: "127.0.0.5:17000", endpoint: "127.0.0.1:7000" }, 7001: { bind: "127.0.0.5:17001", endpoint: "127.0.0.1:7001" } },
	outbound: {
		"reviews.default.svc.cluster.local:9080": "127.0.0.6:9080",
		"db.default.svc.cluster.local:3306": "127.0.0.7:3306",
		"nobody.default.svc.cluster.local:1": "127.0.0.8:1",
	},
};
const metadata = { INTERCEPTION_MODE: "NONE", HTTP_PROXY_PORT: "15080", WEFT_LOCAL: JSON.stringify(local) };

function listenersOf(extra = "", more: object = {}): ReadonlyMap<string, Listener> {
	const push = createTestMesh().apply(`${mesh}---\n${extra}`);
	return new Map(buildListeners(contextOf(push, { ...metadata, ...more })).map((listener) => [listener.name, listener]));
}

function manager(chain: FilterChain | undefined): HttpConnectionManager | undefined {
	const typeName = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
	return chain?.filters.map(({ typedConfig }) => unpackAny(typeName, HttpConnectionManager, typedConfig)).find((found) => found !== undefined);
}

function tcpCluster(chain: FilterChain | undefined): string | undefined {
	const typeName = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
	return chain?.filters.map(({ typedConfig }) => unpackAny(typeName, TcpProxy, typedConfig)?.cluster).find((found) => found !== undefined);
}

describe("listeners in local mode", () => {
	it("binds what the launcher maps, and captures nothing", () => {
		assert.deepEqual([...listenersOf().keys()].sort(), [
			"127.0.0.1_15080",
			"127.0.0.6_9080",
			"127.0.0.7_3306",
			"inbound_127.0.0.5_17000",
			"inbound_127.0.0.5_17001",
		]);
		for (const listener of listenersOf().values()) assert.equal(listener.bindToPort, undefined, `${listener.name} is bound`);
	});

	it("serves an HTTP service by a route table of its own, and a TCP service by its cluster", () => {
		const listeners = listenersOf();
		assert.equal(manager(listeners.get("127.0.0.6_9080")?.filterChains[0])?.rds?.routeConfigName, "reviews.default.svc.cluster.local:9080");
		assert.equal(tcpCluster(listeners.get("127.0.0.7_3306")?.filterChains[0]), "outbound|3306||db.default.svc.cluster.local");
		assert.equal(listeners.get("127.0.0.7_3306")?.address?.socketAddress?.address, "127.0.0.7");
	});

	it("takes any authority at a service's own address", () => {
		const context = contextOf(createTestMesh().apply(mesh), metadata);
		const table = routeTable(context, "reviews.default.svc.cluster.local:9080");
		assert.deepEqual(
			table.virtualHosts.map(({ domains }) => domains),
			[["*"]],
		);
		assert.equal(table.virtualHosts[0]?.routes[0]?.route?.cluster, "outbound|9080||reviews.default.svc.cluster.local");
	});

	it("knows every HTTP service at the HTTP proxy, by name and port", () => {
		const context = contextOf(createTestMesh().apply(mesh), metadata);
		const table = routeTable(context, "http_proxy");
		const domains = new Map(table.virtualHosts.map((host) => [host.name, host.domains]));
		assert.deepEqual([...domains.keys()].sort(), [
			"allow_any",
			"client.default.svc.cluster.local:8000",
			"reviews.default.svc.cluster.local:9080",
			"web.default.svc.cluster.local:80",
		]);
		assert.ok(domains.get("reviews.default.svc.cluster.local:9080")?.includes("reviews:9080"));
		assert.ok(!domains.get("reviews.default.svc.cluster.local:9080")?.includes("reviews"), "without a port it is port 80 that is meant");
		assert.ok(domains.get("web.default.svc.cluster.local:80")?.includes("web"));
		assert.equal(table.ignorePortInHostMatching, false);
	});

	it("ends mutual TLS at the bound inbound port, and takes plain text beside it while PERMISSIVE", () => {
		const chains = listenersOf().get("inbound_127.0.0.5_17000")?.filterChains ?? [];
		assert.deepEqual(
			chains.map((chain) => [chain.filterChainMatch?.transportProtocol, chain.transportSocket !== undefined]),
			[
				["tls", true],
				["raw_buffer", false],
			],
		);
		assert.ok(chains.every((chain) => chain.filterChainMatch?.destinationPort === undefined));
		assert.equal(manager(chains[0])?.routeConfig?.virtualHosts[0]?.routes[0]?.route?.cluster, "inbound|7000||");
	});

	it("refuses plain text where PeerAuthentication is STRICT", () => {
		const strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: default}\nspec: {mtls: {mode: STRICT}}\n";
		const chains = listenersOf(strict).get("inbound_127.0.0.5_17001")?.filterChains ?? [];
		assert.deepEqual(
			chains.map((chain) => [chain.filterChainMatch?.transportProtocol, tcpCluster(chain)]),
			[["tls", "inbound|7001||"]],
		);
	});

	it("gives a stock Envoy no filter of Istio's", () => {
		const listeners = listenersOf("", { ISTIO_VERSION: "" });
		for (const listener of listeners.values()) {
			for (const chain of listener.filterChains) {
				const names = [...chain.filters.map(({ name }) => name), ...(manager(chain)?.httpFilters ?? []).map(({ name }) => name)];
				assert.deepEqual(
					names.filter((name) => name.startsWith("istio.")),
					[],
				);
			}
		}
	});
});
