import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import type { PushSnapshot } from "../../model/push.ts";
import { contextOf, createTestMesh } from "../routes/test-mesh.ts";
import { clusterLoadAssignments } from "./assignments.ts";

const entry = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: default}
spec:
  hosts: [app.example.internal]
  location: MESH_INTERNAL
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  workloadSelector: {labels: {app: app}}
---`;
const workload = (name: string, spec: string) =>
	`\napiVersion: networking.istio.io/v1\nkind: WorkloadEntry\nmetadata: {name: ${name}, namespace: default}\nspec: {labels: {app: app}, ${spec}}\n---`;
const gateway = (network: string, ips: string, labels = "") => `
apiVersion: v1
kind: Service
metadata: {name: gw-${network}, namespace: istio-system, labels: {topology.istio.io/network: ${network}${labels}}}
spec: {clusterIP: 10.96.9.9, externalIPs: [${ips}], ports: [{name: tls, port: 15443}, {name: other, port: 443}]}
---`;
const here = workload("here", "address: 10.0.1.1, network: n1, serviceAccount: app");
const there = workload("there", "address: 10.0.2.1, network: n2, serviceAccount: app");

function seenFrom(push: PushSnapshot, network: string): readonly string[] {
	const resource = clusterLoadAssignments(contextOf(push, { NETWORK: network }))("outbound|80||app.example.internal");
	return ClusterLoadAssignment.decode(resource?.bytes ?? new Uint8Array())
		.endpoints.flatMap(({ lbEndpoints }) => lbEndpoints)
		.map(({ endpoint, loadBalancingWeight }) => {
			const socket = endpoint?.address?.socketAddress;
			return `${socket?.address}:${socket?.portValue} ${loadBalancingWeight}`;
		});
}

const compile = (yaml: string) => createTestMesh().apply(entry + yaml);

describe("several networks", () => {
	it("are one while no gateway is known", () => {
		assert.deepEqual(seenFrom(compile(here + there), "n1"), ["10.0.1.1:80 1", "10.0.2.1:80 1"]);
	});

	it("hide behind their gateways, each from the others", () => {
		const push = compile(here + there + gateway("n2", "203.0.113.2"));
		assert.deepEqual(seenFrom(push, "n1"), ["10.0.1.1:80 1", "203.0.113.2:15443 1"]);
		// No gateway to the first network is known: its endpoints are reached directly.
		assert.deepEqual(seenFrom(push, "n2"), ["10.0.1.1:80 1", "10.0.2.1:80 1"]);
		assert.deepEqual(seenFrom(push, ""), ["10.0.1.1:80 1", "10.0.2.1:80 1"]);
	});

	it("share the weight among their gateways", () => {
		const more = workload("more", "address: 10.0.2.2, network: n2, serviceAccount: app, weight: 3");
		assert.deepEqual(seenFrom(compile(here + there + more + gateway("n2", "203.0.113.2, 203.0.113.3", ", networking.istio.io/gatewayPort: '443'")), "n1"), [
			"10.0.1.1:80 2",
			"203.0.113.2:443 4",
			"203.0.113.3:443 4",
		]);
	});

	it("take only mutual TLS, by which the gateway finds the service", () => {
		const plain = workload("plain", "address: 10.0.2.3, network: n2");
		assert.deepEqual(seenFrom(compile(here + plain + gateway("n2", "203.0.113.2")), "n1"), ["10.0.1.1:80 1"]);
	});

	it("may have workloads without an address that this one could use", () => {
		const hidden = workload("hidden", "network: n2, serviceAccount: app");
		assert.deepEqual(seenFrom(compile(here + hidden + gateway("n2", "203.0.113.2")), "n1"), ["10.0.1.1:80 1", "203.0.113.2:15443 1"]);
		assert.deepEqual(seenFrom(compile(here + hidden), "n1"), ["10.0.1.1:80 1"]);
	});
});
