import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { unpackAny } from "@weft/xds";
import type { FilterChain } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { TcpProxy } from "@weft/xds/generated/envoy/extensions/filters/network/tcp_proxy/v3/tcp_proxy.ts";
import { contextOf, createTestMesh, service } from "../routes/test-mesh.ts";
import { buildListeners, outboundRouteNames } from "./index.ts";

function listenersOf(yaml: string): ReadonlyMap<string, Listener> {
	return new Map(buildListeners(contextOf(createTestMesh().apply(yaml))).map((listener) => [listener.name, listener]));
}

function clusterOf(chain: FilterChain | undefined): string | undefined {
	const typeName = "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy";
	return chain?.filters.map(({ typedConfig }) => unpackAny(typeName, TcpProxy, typedConfig)?.cluster).find((found) => found !== undefined);
}

function entry(name: string, spec: string): string {
	return `\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: ${name}, namespace: default}\nspec: ${spec}\n---`;
}

describe("outbound listeners", () => {
	it("share one listener a port among HTTP services, and give TCP services one an address", () => {
		const names = [
			...listenersOf(service("a", "{name: http, port: 80}") + service("bb", "{name: http, port: 80}") + service("ccc", "{name: tcp, port: 80}")).keys(),
		];
		assert.deepEqual(names, ["0.0.0.0_80", "10.96.0.3_80", "virtualInbound", "virtualOutbound"]);
	});

	it("sniff a port without a name: HTTP by a table of its own, all else to the service's cluster", () => {
		const listener = listenersOf(service("a", "{name: whatever, port: 5000}")).get("10.96.0.1_5000");
		assert.ok(listener);
		assert.deepEqual(outboundRouteNames([listener]), ["a.default.svc.cluster.local:5000"]);
		assert.equal(clusterOf(listener.defaultFilterChain), "outbound|5000||a.default.svc.cluster.local");
		assert.deepEqual(
			listener.listenerFilters.map(({ name }) => name),
			["envoy.filters.listener.http_inspector"],
		);
	});

	it("let a TCP service without an address be the default of the HTTP listener on its port", () => {
		const tcp = entry("q", "{hosts: [q.example.org], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 80, name: tcp, protocol: TCP}]}");
		const listener = listenersOf(service("a", "{name: http, port: 80}") + tcp).get("0.0.0.0_80");
		assert.equal(clusterOf(listener?.defaultFilterChain), "outbound|80||q.example.org");
		assert.equal(listener?.filterChains.length, 1);
	});

	it("tell TLS services without addresses apart by SNI", () => {
		const tls = (name: string) =>
			entry(name, `{hosts: [${name}.example.org], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`);
		const listener = listenersOf(tls("a") + tls("b")).get("0.0.0.0_443");
		assert.deepEqual(
			listener?.filterChains.map((chain) => chain.filterChainMatch?.serverNames),
			[["a.example.org"], ["b.example.org"]],
		);
		assert.equal(clusterOf(listener?.defaultFilterChain), "PassthroughCluster");
		assert.deepEqual(
			listener?.listenerFilters.map(({ name }) => name),
			["envoy.filters.listener.tls_inspector"],
		);
	});

	it("never have one server name in two chains, for which Envoy would refuse the listener", () => {
		const tls = (name: string, host: string) =>
			entry(name, `{hosts: [${host}], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 443, name: tls, protocol: TLS}]}`);
		const virtualService = (name: string, host: string, sniHosts: string) =>
			`\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ${name}, namespace: default}\nspec: {hosts: ["${host}"], tls: [{match: [{sniHosts: [${sniHosts}]}], route: [{destination: {host: a.example.org}}]}]}\n---`;
		const routes = virtualService("v", "*.example.org", "a.example.org, b.example.org") + virtualService("w", "b.example.org", "b.example.org");
		const chains = listenersOf(tls("a", "a.example.org") + tls("b", "b.example.org") + routes).get("0.0.0.0_443")?.filterChains ?? [];
		const names = chains.flatMap((chain) => chain.filterChainMatch?.serverNames ?? []);
		assert.deepEqual(names, ["a.example.org", "b.example.org"]);
	});

	it("match a service that has a range of addresses by that range", () => {
		const net = entry(
			"n",
			"{hosts: [n.example.org], addresses: [10.90.0.0/16], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 27018, name: tcp, protocol: TCP}]}",
		);
		const chain = listenersOf(net).get("0.0.0.0_27018")?.filterChains[0];
		assert.deepEqual(chain?.filterChainMatch?.prefixRanges, [{ addressPrefix: "10.90.0.0", prefixLen: 16 }]);
	});

	it("never listen at all addresses on a port of the sidecar's own", () => {
		assert.ok(!listenersOf(service("a", "{name: http, port: 15006}")).has("0.0.0.0_15006"));
	});

	it("are the same objects after an edit of HTTP routes", () => {
		const mesh = createTestMesh();
		const edit = (timeout: string) =>
			`apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: default}\nspec: {hosts: [a], http: [{route: [{destination: {host: a}}], timeout: ${timeout}}]}\n`;
		const before = buildListeners(contextOf(mesh.apply(`${service("a", "{name: http, port: 80}")}\n${edit("1s")}`)));
		const after = buildListeners(contextOf(mesh.apply(edit("2s"))));
		assert.ok(before.length > 0 && before.every((listener, index) => listener === after[index]));
	});
});
