import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore, decodeYaml } from "@weft/galley";
import { buildPush } from "../model/build-push.ts";
import { scopeOf } from "../model/scope.ts";
import { type KeptParts, keptParts } from "./kept.ts";
import { decodeNode } from "./translator.ts";

const serviceEntry = (name: string, address: string) => `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: ${name}, namespace: a}
spec: {hosts: [${name}.example], ports: [{number: 80, name: http, protocol: HTTP}], resolution: STATIC, endpoints: [{address: ${address}}]}`;

const virtualService = (route: string) => `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: routes, namespace: a}
spec: {hosts: [one.example], ${route}}`;

const destinationRule = `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: one, namespace: a}
spec: {host: one.example, subsets: [{name: v1, labels: {version: v1}}]}`;

test("clusters and listeners of a proxy are built again only after a change of what they are made of", () => {
	const store = createStore();
	const edit = (yaml: string) => store.apply({ source: "test", upsert: decodeYaml(yaml, "test.yaml").objects, remove: [] });
	const input = () => ({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	edit(serviceEntry("one", "10.1.0.1"));
	edit(serviceEntry("two", "10.1.0.2"));
	let push = buildPush(input());
	const metadata = { NAMESPACE: "a", ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.1.0.1" };
	const node = decodeNode({ id: "sidecar~10.1.0.1~one-0.a~a.svc.cluster.local", metadata }, push);
	const seen = new Set<KeptParts>();
	const buildsAfter = (yaml: string): number => {
		edit(yaml);
		push = buildPush(input(), push);
		return seen.add(keptParts({ push, scope: scopeOf(push, node), node })).size;
	};
	assert.equal(buildsAfter(virtualService("http: [{route: [{destination: {host: one.example}}]}]")), 1);
	assert.equal(buildsAfter(serviceEntry("two", "10.1.0.3")), 1, "an endpoint elsewhere");
	assert.equal(buildsAfter(virtualService("http: [{route: [{destination: {host: two.example}}]}]")), 1, "an HTTP route");
	assert.equal(buildsAfter(serviceEntry("one", "10.1.0.4")), 2, "the proxy's own endpoint");
	assert.equal(buildsAfter(virtualService("tcp: [{route: [{destination: {host: two.example}}]}]")), 3, "a TCP route");
	assert.equal(buildsAfter(destinationRule), 4, "a rule");
});
