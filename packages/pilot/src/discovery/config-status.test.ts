import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { createStore } from "@weft/galley";
import type { StreamState } from "@weft/xds/server";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import { configStatus, type ProxyState } from "./config-status.ts";

const object = (kind: string, name: string, spec: object, namespace = "default") =>
	({ apiVersion: "networking.istio.io/v1", kind, metadata: { name, namespace, labels: {}, annotations: {} }, spec }) as unknown as AnyConfig;
const host = "a.default.svc.cluster.local";
const service = object("ServiceEntry", "a", {
	hosts: [host],
	ports: [{ number: 80, name: "http", protocol: "HTTP" }],
	resolution: "STATIC",
	location: "MESH_INTERNAL",
});
const rule = object("DestinationRule", "a", { host: "a", subsets: [{ name: "v1", labels: { version: "v1" } }], exportTo: ["."] });
const route = object("VirtualService", "a", { hosts: [host], http: [{ route: [{ destination: { host: "a", subset: "v1" } }] }] });
const policy = object("AuthorizationPolicy", "p", { selector: { matchLabels: { app: "one" } } });
const late = object("VirtualService", "a", { hosts: [host], http: [{ route: [{ destination: { host: "a", subset: "v9" } }] }] });

function mesh() {
	const store = createStore();
	store.apply({ source: "test", upsert: [service, rule, route, policy], remove: [] });
	const push = buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	store.apply({ source: "test", upsert: [late], remove: [] });
	return { push, later: buildPush({ snapshot: store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" }, push) };
}

const { push, later } = mesh();
const proxy = (name: string, namespace: string, parts: Partial<ProxyState> = {}): ProxyState => ({
	node: decodeNode({ id: `sidecar~10.0.0.1~${name}.${namespace}~${namespace}.svc.cluster.local`, metadata: { LABELS: { app: name } } }, push),
	isSynced: true,
	states: [],
	...parts,
});
const nack = (type: StreamState["type"], message: string): StreamState => ({ type, sent: "2", acked: "", nack: { message, names: ["80/a"] } });

test("how many of the proxies that see an object have it in force", () => {
	const one = proxy("one", "default");
	const other = proxy("two", "elsewhere");
	const cases = [
		{ name: "all", object: route, proxies: [one, other], reconciled: ["True", "UpToDate", "2/2 proxies up to date."] },
		{
			name: "one that has not answered",
			object: route,
			proxies: [one, proxy("two", "default", { isSynced: false })],
			reconciled: ["False", "Progressing", "1/2 proxies up to date."],
		},
		{ name: "not exported to the other", object: rule, proxies: [one, other], reconciled: ["True", "UpToDate", "1/1 proxies up to date."] },
		{ name: "selects a workload", object: policy, proxies: [one, proxy("two", "default")], reconciled: ["True", "UpToDate", "1/1 proxies up to date."] },
		{
			name: "refused",
			object: route,
			proxies: [one, proxy("two", "default", { states: [nack("vhds", "no good")] })],
			reconciled: ["False", "Rejected", "1/2 proxies up to date. two.default refused vhds 80/a: no good"],
		},
		{
			name: "a refusal of what the kind does not shape",
			object: rule,
			proxies: [proxy("one", "default", { states: [nack("lds", "no")] })],
			reconciled: ["True", "UpToDate", "1/1 proxies up to date."],
		},
	] as const;
	for (const { name, object: of, proxies, reconciled } of cases) {
		const [valid, condition] = configStatus(push, proxies, of)?.conditions ?? [];
		assert.deepEqual([condition?.status, condition?.reason, condition?.message], reconciled, name);
		assert.equal(valid?.status, "True", name);
	}
});

test("a VirtualService that waits for a subset says so", () => {
	const [valid, condition] = configStatus(later, [proxy("one", "default")], late)?.conditions ?? [];
	assert.deepEqual([valid?.status, valid?.reason, condition?.reason], ["False", "SubsetNotFound", "Held"]);
	assert.match(valid?.message ?? "", /subset v9 of host a\.default\.svc\.cluster\.local is in no DestinationRule/);
});

test("kinds without such a status have none", () => {
	assert.equal(configStatus(push, [], service), undefined);
});
