import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Struct } from "@weft/xds/generated/google/protobuf/struct.ts";
import { createPeerReader, encodePeerMetadata } from "./peer-metadata.ts";

const node = {
	id: "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local",
	cluster: "web.shop",
	locality: { region: "", zone: "", subZone: "" },
	metadata: {
		NAME: "web-1",
		NAMESPACE: "shop",
		WORKLOAD_NAME: "web",
		CLUSTER_ID: "Kubernetes",
		OWNER: "kubernetes://apis/apps/v1/namespaces/shop/deployments/web",
		SECRET: "not told",
		LABELS: { app: "web", version: "v1", "service.istio.io/canonical-name": "web", "service.istio.io/canonical-revision": "v1", other: "not told" },
	},
};

test("what a sidecar tells is a google.protobuf.Struct that others can read", () => {
	const { fields } = Struct.decode(Buffer.from(encodePeerMetadata(node), "base64"));
	assert.deepEqual(fields, {
		CLUSTER_ID: "Kubernetes",
		LABELS: { app: "web", "service.istio.io/canonical-name": "web", "service.istio.io/canonical-revision": "v1", version: "v1" },
		NAME: "web-1",
		NAMESPACE: "shop",
		OWNER: "kubernetes://apis/apps/v1/namespaces/shop/deployments/web",
		WORKLOAD_NAME: "web",
	});
});

test("what a peer tells names its workload for metrics", () => {
	const peer = createPeerReader()(encodePeerMetadata(node));
	assert.deepEqual(peer, {
		workload: "web",
		namespace: "shop",
		canonicalService: "web",
		canonicalRevision: "v1",
		principal: "",
		app: "web",
		version: "v1",
		cluster: "Kubernetes",
	});
});

test("Structs with other kinds of values and long texts are read", () => {
	const bytes = Struct.encode({ fields: { WORKLOAD_NAME: "w".repeat(300), NUMBER: 5, LIST: [1], FLAG: true, LABELS: { app: "a" } } }).finish();
	const peer = createPeerReader()(Buffer.from(bytes).toString("base64"));
	assert.deepEqual([peer?.workload.length, peer?.app], [300, "a"]);
});

test("no value throws, and nothing of a hostile one is believed", () => {
	const read = createPeerReader();
	fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => void read(Buffer.from(bytes).toString("base64"))));
	assert.equal(read("A".repeat(9000)), undefined);
	const nested = Array.from({ length: 50 }).reduce<unknown>((inner) => ({ LABELS: inner }), { app: "deep" });
	assert.doesNotThrow(() => read(Buffer.from(Struct.encode({ fields: nested as Record<string, unknown> }).finish()).toString("base64")));
	assert.equal(({} as Record<string, unknown>)["polluted"], undefined);
});
