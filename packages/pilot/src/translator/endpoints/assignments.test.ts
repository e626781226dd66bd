import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore, decodeYaml } from "@weft/galley";
import { buildPush } from "../../model/build-push.ts";
import type { PushSnapshot } from "../../model/push.ts";
import { resourceView } from "../resource-view.ts";
import { decodeNode } from "../translator.ts";

const dns = `
apiVersion: v1
kind: Service
metadata: {name: dns, namespace: default}
spec:
  clusterIP: 10.0.0.10
  selector: {app: dns}
  ports:
    - {name: dns, port: 53, protocol: UDP}
    - {name: dns-tcp, port: 53, protocol: TCP}
`;

const slice = (address: string) => `
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: dns-1, namespace: default, labels: {kubernetes.io/service-name: dns}}
addressType: IPv4
endpoints: [{addresses: [${address}], conditions: {ready: true}}]
ports: [{name: dns, port: 53, protocol: UDP}, {name: dns-tcp, port: 53, protocol: TCP}]
`;

test("a port number that TCP and UDP share has one assignment: a changed one is named once, or clients refuse the response", () => {
	const store = createStore();
	let push: PushSnapshot | undefined;
	const viewAfter = (yaml: string) => {
		store.apply({ source: "test", upsert: decodeYaml(yaml, "test.yaml").objects, remove: [] });
		push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push);
		const metadata = { NAMESPACE: "default", INSTANCE_IPS: "10.1.0.9" };
		return resourceView(push, decodeNode({ id: "sidecar~10.1.0.9~web.default~default.svc.cluster.local", metadata }, push));
	};
	const before = viewAfter(dns + "---" + slice("10.1.0.1"));
	const revision = before.revision("eds");
	assert.ok(before.get("eds", "outbound|53||dns.default.svc.cluster.local"));
	assert.deepEqual(viewAfter(slice("10.1.0.2")).changes("eds", revision), ["outbound|53||dns.default.svc.cluster.local"]);
});
