import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import type { PushSnapshot } from "../model/push.ts";
import { decodeNode } from "../model/node.ts";
import { contextOf, createTestMesh, service } from "./routes/test-mesh.ts";
import { resourceView } from "./resource-view.ts";

const headless = `
apiVersion: v1
kind: Service
metadata: {name: db, namespace: default}
spec: {clusterIP: None, selector: {app: db}, ports: [{name: tcp, port: 3306}]}
---`;
const pod = (index: number) => `
apiVersion: v1
kind: Pod
metadata: {name: db-${index}, namespace: default, labels: {app: db}}
spec: {hostname: db-${index}, subdomain: db, containers: []}
status: {podIP: 10.0.1.${index}}
---`;
const slice = (...ready: readonly boolean[]) => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: db-1, namespace: default, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
ports: [{name: tcp, port: 3306, protocol: TCP}]
endpoints: [${ready.map((is, i) => `{addresses: [10.0.1.${i}], conditions: {ready: ${is}}, targetRef: {kind: Pod, name: db-${i}, namespace: default}}`).join()}]
---`;
const entry = (spec: string) =>
	`\napiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: e, namespace: default}\nspec: {hosts: [ext.example.com], ports: [{number: 80, name: http, protocol: HTTP}], ${spec}}\n---`;

function table(push: PushSnapshot, metadata: object = {}): Readonly<Record<string, readonly string[]>> {
	const resource = resourceView(push, contextOf(push, metadata as Record<string, unknown>).node)
		.all("nds")
		.get("");
	return Object.fromEntries(
		Object.entries(NameTable.decode(resource?.bytes ?? new Uint8Array()).table).map(([name, info]) => [
			name,
			[info.registry, info.shortname, info.namespace, ...info.ips],
		]),
	);
}

describe("the name table", () => {
	it("has every service at its address, with what the search list needs", () => {
		assert.deepEqual(table(createTestMesh().apply(service("web", "{name: http, port: 80}"))), {
			"web.default.svc.cluster.local": ["Kubernetes", "web", "default", "10.96.0.3"],
		});
	});

	it("has a headless service at its ready pods, and each pod under its own name", () => {
		assert.deepEqual(table(createTestMesh().apply(headless + pod(0) + pod(1) + pod(2) + slice(true, true, false))), {
			"db.default.svc.cluster.local": ["Kubernetes", "db", "default", "10.0.1.0", "10.0.1.1"],
			"db-0.db.default.svc.cluster.local": ["Kubernetes", "db-0.db", "default", "10.0.1.0"],
			"db-1.db.default.svc.cluster.local": ["Kubernetes", "db-1.db", "default", "10.0.1.1"],
		});
	});

	it("has a ServiceEntry at its addresses; at its automatic one only for a sidecar that captures DNS", () => {
		assert.deepEqual(table(createTestMesh().apply(entry("resolution: DNS, addresses: [240.0.0.7]"))), { "ext.example.com": ["External", "", "", "240.0.0.7"] });
		const automatic = createTestMesh().apply(entry("resolution: DNS"));
		assert.deepEqual(table(automatic), {});
		assert.match(table(automatic, { DNS_CAPTURE: "true" })["ext.example.com"]?.[3] ?? "", /^240\.240\./);
	});

	it("is one object until an address in it changes", () => {
		const mesh = createTestMesh();
		const at = (push: PushSnapshot) => resourceView(push, contextOf(push).node).revision("nds");
		const first = at(mesh.apply(headless + pod(0) + pod(1) + slice(true, false) + service("web", "{name: http, port: 80}")));
		const unrelated = mesh.apply(
			"\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: default}\nspec: {host: web}\n---",
		);
		assert.equal(at(unrelated), first);
		assert.notEqual(at(mesh.apply(slice(true, true))), first);
	});

	it("is not for gateways", () => {
		const push = createTestMesh().apply(service("web", "{name: http, port: 80}"));
		const gateway = decodeNode({ id: "router~10.0.0.8~edge.default~default.svc.cluster.local", metadata: { NAMESPACE: "default" } }, push);
		assert.equal(resourceView(push, gateway).all("nds").size, 0);
	});
});
