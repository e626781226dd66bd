import assert from "node:assert/strict";
import { test } from "node:test";
import { unpackAny } from "@weft/xds";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { decodeNode } from "../../../model/node.ts";
import { scopeOf } from "../../../model/scope.ts";
import { contextOf, createTestMesh, service } from "../../routes/test-mesh.ts";
import { buildListeners } from "../index.ts";

const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const web = "envoy.filters.http.grpc_web";

/** Of every HTTP chain of the listener. */
function filterNames(listener: Listener | undefined, port?: number): readonly (readonly string[])[] {
	const chains = (listener?.filterChains ?? []).filter(({ filterChainMatch }) => port === undefined || filterChainMatch?.destinationPort === port);
	return chains.flatMap(({ filters }) =>
		filters.flatMap(({ typedConfig }) => {
			const manager = unpackAny(managerType, HttpConnectionManager, typedConfig);
			return manager ? [manager.httpFilters.map(({ name }) => name)] : [];
		}),
	);
}

const named = (listeners: readonly Listener[], name: string) => listeners.find((listener) => listener.name === name);
const ports = "{name: grpc-web, port: 8080}, {name: grpc, port: 9090}";
const pod = `
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default, labels: {app: api}}
spec: {containers: []}
status: {podIP: 10.0.0.9}
---`;

test("a port named grpc-web turns browsers' calls into gRPC, at the client's side and at the server's", () => {
	const listeners = buildListeners(contextOf(createTestMesh().apply(service("api", ports) + pod)));
	const [outbound = []] = filterNames(named(listeners, "0.0.0.0_8080"));
	assert.ok(outbound.indexOf(web) >= 0 && outbound.indexOf(web) < outbound.indexOf("envoy.filters.http.grpc_stats"), outbound.join());
	for (const filters of filterNames(named(listeners, "0.0.0.0_9090"))) assert.ok(!filters.includes(web));
	const inbound = named(listeners, "virtualInbound");
	assert.ok(filterNames(inbound, 8080).length > 0);
	for (const filters of filterNames(inbound, 8080)) assert.ok(filters.includes(web));
	for (const filters of filterNames(inbound, 9090)) assert.ok(!filters.includes(web));
});

test("so does a gateway's server of protocol GRPC-WEB", () => {
	const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: default}
spec:
  selector: {istio: edge}
  servers:
  - {port: {number: 80, name: web, protocol: GRPC-WEB}, hosts: ["*"]}
  - {port: {number: 81, name: grpc, protocol: GRPC}, hosts: ["*"]}
---`;
	const push = createTestMesh().apply(gateway);
	const metadata = { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", LABELS: { istio: "edge" } };
	const node = decodeNode({ id: "router~10.0.0.8~edge.default~default.svc.cluster.local", metadata }, push);
	const listeners = buildListeners({ push, scope: scopeOf(push, node), node });
	assert.deepEqual(
		["0.0.0.0_80", "0.0.0.0_81"].map((name) => filterNames(named(listeners, name)).map((filters) => filters.includes(web))),
		[[true], [false]],
	);
});
