import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { decodeNode } from "../../model/node.ts";
import { translateAll } from "../offline.ts";
import { createTestMesh } from "../routes/test-mesh.ts";

const service = (port: number, target: number) => `
apiVersion: v1
kind: Service
metadata: {name: s${port}, namespace: default}
spec: {clusterIP: 10.96.0.${port % 250}, selector: {app: web}, ports: [{name: http, port: ${port}, targetPort: ${target}}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s${port}, namespace: default, labels: {kubernetes.io/service-name: s${port}}}
addressType: IPv4
ports: [{name: http, port: ${target}}]
endpoints: [{addresses: [10.0.0.1], targetRef: {kind: Pod, name: web-1, namespace: default}}]
---`;
const pod = `
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: default, labels: {app: web}}
spec: {containers: [{name: c, image: i}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---`;

suite("ports of a sidecar's own", () => {
	const push = createTestMesh().apply([pod, service(15_021, 8080), service(15_090, 8081), service(15_006, 15_006), service(80, 15_021)].join(""));
	const listenersOf = (metadata: Readonly<Record<string, unknown>>) => {
		const node = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.1", ...metadata };
		return translateAll(push, decodeNode({ id: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", metadata: node }, push)).lds as readonly {
			readonly name: string;
			readonly filterChains: readonly { readonly filterChainMatch?: { readonly destinationPort?: number } }[];
		}[];
	};
	const outbound = (metadata: Readonly<Record<string, unknown>>) => listenersOf(metadata).flatMap(({ name }) => /^0\.0\.0\.0_(\d+)$/.exec(name)?.[1] ?? []);
	const inbound = (metadata: Readonly<Record<string, unknown>>) => {
		const chains = listenersOf(metadata).find(({ name }) => name === "virtualInbound")?.filterChains ?? [];
		return [...new Set(chains.flatMap(({ filterChainMatch }) => filterChainMatch?.destinationPort ?? []))].sort();
	};
	const pods = { ENVOY_STATUS_PORT: 15_021, ENVOY_PROMETHEUS_PORT: "15090" };

	test("are those that its metadata names, each proxy's own", () => {
		assert.deepEqual([pods, {}, { ENVOY_STATUS_PORT: 15_090 }, pods].map(outbound), [["80"], ["15021", "15090", "80"], ["15021", "80"], ["80"]]);
	});

	test("have no chain of an application's, whatever Services say: connections would go around for ever", () => {
		assert.deepEqual([pods, {}].map(inbound), [
			[15_006, 8080, 8081],
			[15_006, 15_021, 8080, 8081],
		]);
		const blackHole = listenersOf(pods).find(({ name }) => name === "virtualInbound")?.filterChains ?? [];
		assert.equal(blackHole.filter(({ filterChainMatch }) => filterChainMatch?.destinationPort === 15_006).length, 1);
	});
});
