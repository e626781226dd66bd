import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshConfig } from "@weft/api";
import type { Json } from "@weft/xds";
import { VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { buildPush } from "../model/build-push.ts";
import { decodeNode } from "../model/node.ts";
import { translateAll } from "./offline.ts";
import { resourceView } from "./resource-view.ts";
import { createTestMesh } from "./routes/test-mesh.ts";

const services = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}, {name: http2, port: 81}, {name: other, port: 82}]}
`;

interface Seen {
	readonly attemptCounts: readonly boolean[];
	readonly cased: readonly string[];
	readonly managers: boolean;
}

function see(proxyHeaders: object, asMesh: boolean): Seen {
	const mesh = createTestMesh();
	mesh.apply(services);
	const meshConfig = (asMesh ? { defaultConfig: { proxyHeaders } } : {}) as MeshConfig;
	const push = buildPush({ snapshot: mesh.store.snapshot(), meshConfig, clusterId: "Kubernetes" });
	const metadata = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", ...(asMesh ? {} : { PROXY_CONFIG: { proxyHeaders } }) };
	const { cds, lds, rds } = translateAll(push, decodeNode({ id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local", metadata }, push));
	const hosts = (rds as unknown as readonly { readonly virtualHosts: readonly { readonly includeRequestAttemptCount?: boolean }[] }[]).flatMap(
		(t) => t.virtualHosts,
	);
	return {
		attemptCounts: [...new Set(hosts.map(({ includeRequestAttemptCount }) => includeRequestAttemptCount === true))],
		cased: (cds as unknown as readonly ({ readonly name: string } & Json)[]).filter((c) => JSON.stringify(c).includes("preserve_case")).map(({ name }) => name),
		managers: JSON.stringify(lds).includes("preserve_case"),
	};
}

for (const asMesh of [true, false]) {
	const where = asMesh ? "the mesh's" : "the proxy's own";
	test(`${where} proxyHeaders: nothing said`, () => {
		assert.deepEqual(see({}, asMesh), { attemptCounts: [true], cased: [], managers: false });
	});

	test(`${where} proxyHeaders: no attempt count`, () => {
		assert.deepEqual(see({ attemptCount: { disabled: true } }, asMesh), { attemptCounts: [false], cased: [], managers: false });
	});

	test(`${where} proxyHeaders: case of HTTP/1 headers is kept on both sides`, () => {
		const host = "web.default.svc.cluster.local";
		assert.deepEqual(see({ preserveHttp1HeaderCase: true }, asMesh), {
			attemptCounts: [true],
			cased: ["InboundPassthroughCluster", "PassthroughCluster", `outbound|80||${host}`, `outbound|82||${host}`],
			managers: true,
		});
	});
}

test("of two proxies of one scope that take virtual hosts one by one, each has them by its own settings", () => {
	const mesh = createTestMesh();
	mesh.apply(services);
	const push = buildPush({ snapshot: mesh.store.snapshot(), meshConfig: {}, clusterId: "Kubernetes" });
	const attemptCounts = [false, true].map((disabled) => {
		const metadata = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", VHDS: "true", PROXY_CONFIG: { proxyHeaders: { attemptCount: { disabled } } } };
		const view = resourceView(push, decodeNode({ id: "sidecar~10.0.0.1~a.default~default.svc.cluster.local", metadata }, push));
		const hosts = [...(view.members("vhds", "80")?.values() ?? [])].map(({ bytes }) => VirtualHost.decode(bytes));
		return hosts.map(({ includeRequestAttemptCount }) => includeRequestAttemptCount);
	});
	assert.deepEqual(attemptCounts, [[true], [false]]);
});
