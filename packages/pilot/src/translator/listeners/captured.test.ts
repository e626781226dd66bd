import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { buildOutboundClusters } from "../clusters/index.ts";
import { atOnce } from "../pieces.ts";
import { contextOf, createTestMesh, service } from "../routes/test-mesh.ts";
import { buildListeners } from "./index.ts";

const push = () => createTestMesh().apply(service("a", "{name: http, port: 80}"));

function listenersOf(metadata: Readonly<Record<string, unknown>>): ReadonlyMap<string, Listener> {
	return new Map(buildListeners(contextOf(push(), metadata)).map((listener) => [listener.name, listener]));
}

function inboundFilters(metadata: Readonly<Record<string, string>>): readonly string[] {
	return (
		listenersOf(metadata)
			.get("virtualInbound")
			?.listenerFilters.map(({ name }) => name.replace("envoy.filters.listener.", "")) ?? []
	);
}

describe("listeners for captured traffic", () => {
	it("TPROXY: transparent, and the application sees the client's address", () => {
		const listeners = listenersOf({ INTERCEPTION_MODE: "TPROXY" });
		assert.deepEqual(
			["virtualInbound", "virtualOutbound", "0.0.0.0_80"].map((name) => listeners.get(name)?.transparent),
			[true, true, undefined],
		);
		assert.deepEqual(inboundFilters({ INTERCEPTION_MODE: "TPROXY" }).slice(0, 2), ["original_dst", "original_src"]);
	});

	it("a pod that asks for both families gets both", () => {
		const metadata = { INSTANCE_IPS: "10.0.0.9,fd00::9", PROXY_CONFIG: { proxyMetadata: { ISTIO_DUAL_STACK: "true" } } };
		const listeners = listenersOf(metadata);
		for (const name of ["virtualInbound", "virtualOutbound", "0.0.0.0_80"]) {
			const extra = listeners.get(name)?.additionalAddresses.map(({ address }) => address?.socketAddress?.address);
			assert.deepEqual(extra, ["::"], name);
		}
		const resource = atOnce(buildOutboundClusters(contextOf(push(), metadata), false)).find((cluster) => cluster.name === "InboundPassthroughCluster");
		const bind = resource && Cluster.decode(resource.bytes).upstreamBindConfig;
		assert.deepEqual([bind?.sourceAddress?.address, bind?.extraSourceAddresses.map(({ address }) => address?.address)], ["127.0.0.6", ["::6"]]);
	});

	it("REDIRECT: neither", () => {
		assert.equal(listenersOf({}).get("virtualInbound")?.transparent, undefined);
		assert.ok(!inboundFilters({}).includes("original_src"));
	});

	const addressOf = (listener: Listener | undefined) => listener?.address?.socketAddress?.address;
	for (const [name, ips, wildcard, bind] of [
		["IPv4", "10.0.0.9", "0.0.0.0", "127.0.0.6"],
		["IPv6 alone", "fd00::9", "::", "::6"],
		["both", "10.0.0.9,fd00::9", "0.0.0.0", "127.0.0.6"],
	] as const) {
		it(`a pod with ${name} listens on ${wildcard} and reaches its application from ${bind}`, () => {
			const listeners = listenersOf({ INSTANCE_IPS: ips });
			for (const listener of ["virtualInbound", "virtualOutbound", `${wildcard}_80`]) assert.equal(addressOf(listeners.get(listener)), wildcard, listener);
			const resource = atOnce(buildOutboundClusters(contextOf(push(), { INSTANCE_IPS: ips }), false)).find(
				(cluster) => cluster.name === "InboundPassthroughCluster",
			);
			assert.equal(resource && Cluster.decode(resource.bytes).upstreamBindConfig?.sourceAddress?.address, bind);
		});
	}
});
