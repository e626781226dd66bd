import assert from "node:assert/strict";
import type { MeshConfig } from "@weft/api";
import { createStore, decodeYaml, type Store } from "@weft/galley";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { buildPush } from "../../model/build-push.ts";
import { decodeNode } from "../../model/node.ts";
import type { PushSnapshot } from "../../model/push.ts";
import { scopeOf } from "../../model/scope.ts";
import type { ProxyContext } from "../context.ts";
import { buildRouteTable } from "./route-table.ts";

// Helpers of this folder's tests and of the listeners': a small mesh from YAML, and one proxy of it.

export interface TestMesh {
	readonly store: Store;
	/** Puts objects into force and returns the snapshot that follows the last one. */
	apply(yaml: string): PushSnapshot;
}

export function createTestMesh(meshConfig: MeshConfig = {}): TestMesh {
	const store = createStore();
	let push: PushSnapshot | undefined;
	return {
		store,
		apply: (yaml) => {
			const { objects, diagnostics } = decodeYaml(yaml, "test.yaml");
			assert.deepEqual(
				diagnostics.filter(({ severity }) => severity === "error"),
				[],
			);
			store.apply({ source: "test", upsert: objects, remove: [] });
			push = buildPush({ snapshot: store.snapshot(), meshConfig, clusterId: "Kubernetes" }, push);
			return push;
		},
	};
}

/** A sidecar called `client` in `namespace` at 10.0.0.9. */
export function contextOf(push: PushSnapshot, metadata: Readonly<Record<string, unknown>> = {}, namespace = "default"): ProxyContext {
	const node = decodeNode(
		{
			id: `sidecar~10.0.0.9~client.${namespace}~${namespace}.svc.cluster.local`,
			metadata: { NAMESPACE: namespace, ISTIO_VERSION: "1.30.3", INSTANCE_IPS: "10.0.0.9", ...metadata },
		},
		push,
	);
	return { push, scope: scopeOf(push, node), node };
}

export function routeTable(context: ProxyContext, name: string): RouteConfiguration {
	const resource = buildRouteTable(context, name);
	assert.ok(resource, `there is a route table ${name}`);
	return RouteConfiguration.decode(resource.bytes);
}

export function service(name: string, ports: string, extra = ""): string {
	return `
apiVersion: v1
kind: Service
metadata: {name: ${name}, namespace: default}
spec: {clusterIP: 10.96.0.${name.length}, selector: {app: ${name}}, ports: [${ports}]}
${extra}---`;
}
