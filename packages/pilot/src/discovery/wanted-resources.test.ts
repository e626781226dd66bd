import assert from "node:assert/strict";
import { test } from "node:test";
import { createStore, decodeYaml } from "@weft/galley";
import type { XdsType } from "@weft/xds";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import { resourceView } from "../translator/resource-view.ts";
import { wantedResources } from "./wanted-resources.ts";

const service = (name: string, ip: string) => `---
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: ${ip}, selector: {app: ${name}}, ports: [{name: http, port: 80}]}
`;

const store = createStore();
store.apply({ source: "test", upsert: decodeYaml(service("a", "10.0.0.1") + service("b", "10.0.0.2"), "test.yaml").objects, remove: [] });
const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
const id = "sidecar~10.0.0.9~web.default~default.svc.cluster.local";
const metadata = { NAMESPACE: "default", INSTANCE_IPS: "10.0.0.9" };
const viewFor = (clientFeatures: readonly string[]) => resourceView(push, decodeNode({ id, metadata, clientFeatures }, push));
const state = (type: XdsType, ...names: string[]) => {
	return { type, sent: "1", acked: "1", nack: undefined, nonceSent: "1.1", nonceAcked: "1.1", sentAtMs: 0, names: new Set(names) };
};

test("a table whose virtual hosts come one by one is whole, under their own names, and says where they come from", () => {
	const tableOf = (features: readonly string[]) => {
		const [table] = wantedResources(viewFor(features), state("rds", "80"));
		return RouteConfiguration.decode(table?.bytes ?? new Uint8Array());
	};
	const sorted = ({ virtualHosts }: RouteConfiguration) => virtualHosts.toSorted((x, y) => (x.name < y.name ? -1 : 1));
	const [whole, split] = [tableOf([]), tableOf(["weft.xds.vhds"])];
	assert.ok(whole.virtualHosts.length > 2);
	assert.deepEqual(sorted(split), sorted(whole));
	assert.ok(split.vhds?.configSource?.ads !== undefined && whole.vhds === undefined);
});

test("of names only those that there are; of what is taken whole, everything", () => {
	const view = viewFor([]);
	const names = (type: XdsType, ...wanted: string[]) => wantedResources(view, state(type, ...wanted)).map(({ name }) => name);
	const web = "outbound|80||a.default.svc.cluster.local";
	assert.deepEqual(names("eds", "nobody", web), [web]);
	assert.deepEqual(names("cds"), [...view.all("cds").keys()]);
});
