import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { registerMessages } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { decodeNode } from "../model/node.ts";
import type { PushSnapshot } from "../model/push.ts";
import { translateAll } from "./offline.ts";
import { createTestMesh } from "./routes/test-mesh.ts";

registerMessages(allMessages);

const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.example.com"]
  resolution: DYNAMIC_DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
`;

function sent(push: PushSnapshot, node: object = {}) {
	return translateAll(
		push,
		decodeNode(
			{ id: "sidecar~10.0.0.9~client.default~default.svc.cluster.local", metadata: { NAMESPACE: "default", INSTANCE_IPS: "10.0.0.9" }, ...node },
			push,
		),
	);
}

type Shape = { readonly [key: string]: Shape } & { readonly name: string };
const find = (list: readonly unknown[], name: string) => (list as Shape[]).find((item) => item.name === name);
const weftProxy = { userAgentName: "weft-proxy" };

describe("hosts resolved when a request names them", () => {
	const push = createTestMesh().apply(entry);

	it("have a cluster that shares its cache with the filters", () => {
		const { cds, lds } = sent(push);
		const cluster = find(cds, "outbound|80||*.example.com");
		assert.equal(cluster?.["clusterType"]?.name, "envoy.clusters.dynamic_forward_proxy");
		const cache = { name: "*.example.com_dfp_dns_cache", dnsLookupFamily: "V4_ONLY" };
		assert.deepEqual(cluster?.["clusterType"]?.["typedConfig"]?.["dnsCacheConfig"], cache);
		assert.equal(cluster?.["lbPolicy"], "CLUSTER_PROVIDED");
		const text = JSON.stringify(lds);
		assert.match(
			text,
			/"name":"envoy.filters.http.dynamic_forward_proxy","typedConfig":\{[^}]*FilterConfig","dnsCacheConfig":\{"name":"\*\.example\.com_dfp_dns_cache","dnsLookupFamily":"V4_ONLY"\}\}\},\{"name":"envoy.filters.http.router"/,
		);
		assert.match(
			text,
			/"serverNames":\["\*\.example\.com"\]\},"filters":\[\{"name":"envoy.extensions.filters.network.sni_dynamic_forward_proxy","typedConfig":\{[^}]*"dnsCacheConfig":\{[^}]*\},"portValue":443/,
		);
	});

	it("go where the application resolved them, for a proxy that cannot", () => {
		const { cds, lds } = sent(push, weftProxy);
		assert.equal(find(cds, "outbound|80||*.example.com")?.["type"], "ORIGINAL_DST");
		assert.doesNotMatch(JSON.stringify(lds), /dynamic_forward_proxy/);
		assert.equal(find(sent(push, { extensions: [{ name: "envoy.clusters.dynamic_forward_proxy" }] }).cds, "outbound|80||*.example.com")?.["type"], undefined);
	});

	it("may be all that no service has (ALLOW_ANY_DYNAMIC_DNS)", () => {
		const any = createTestMesh({ outboundTrafficPolicy: { mode: "ALLOW_ANY_DYNAMIC_DNS" } }).apply(
			"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: default}\nspec: {clusterIP: 10.96.0.3, ports: [{name: http, port: 80}]}",
		);
		const { cds, rds, lds } = sent(any);
		assert.ok(find(cds, "AllowAnyDynamicDNSCluster"));
		assert.match(JSON.stringify(rds), /"name":"allow_any".*"cluster":"AllowAnyDynamicDNSCluster"/);
		assert.match(JSON.stringify(lds), /AllowAnyDynamicDNSCluster_dfp_dns_cache/);
		const other = sent(any, weftProxy);
		assert.equal(find(other.cds, "AllowAnyDynamicDNSCluster"), undefined);
		assert.match(JSON.stringify(other.rds), /"cluster":"PassthroughCluster"/);
	});
});
