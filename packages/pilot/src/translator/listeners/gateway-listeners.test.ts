import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { decodeNode } from "../../model/node.ts";
import { scopeOf } from "../../model/scope.ts";
import type { ProxyContext } from "../context.ts";
import { createTestMesh, routeTable, service } from "../routes/test-mesh.ts";
import { buildListeners } from "./index.ts";

const services = service("web", "{name: http, port: 8000}") + service("tls-web", "{name: https, port: 8443}");

function gateway(name: string, servers: string): string {
	return `\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: ${name}, namespace: default}\nspec: {selector: {istio: edge}, servers: [${servers}]}\n---`;
}

function virtualService(name: string, spec: string): string {
	return `\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ${name}, namespace: default}\nspec: {gateways: [g], ${spec}}\n---`;
}

function contextOf(yaml: string, labels: object = { istio: "edge" }): ProxyContext {
	const push = createTestMesh().apply(services + yaml);
	const node = decodeNode(
		{ id: "router~10.0.0.8~edge.default~default.svc.cluster.local", metadata: { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", LABELS: labels } },
		push,
	);
	return { push, scope: scopeOf(push, node), node };
}

function listenersOf(context: ProxyContext): ReadonlyMap<string, Listener> {
	return new Map(buildListeners(context).map((listener) => [listener.name, listener]));
}

const http = '{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*.example.com"]}';
const toWeb = "http: [{route: [{destination: {host: web}}]}]";

describe("a gateway", () => {
	it("listens for the servers of the Gateways that select it, and for nothing else", () => {
		assert.deepEqual([...listenersOf(contextOf(gateway("g", http))).keys()], ["0.0.0.0_80"]);
		assert.deepEqual([...listenersOf(contextOf(gateway("g", http), { istio: "other" })).keys()], []);
	});

	it("serves the hosts that the server and the VirtualService have in common, at the service's only port", () => {
		const context = contextOf(gateway("g", http) + virtualService("v", `hosts: [a.example.com, b.example.org], ${toWeb}`));
		const { virtualHosts } = routeTable(context, "http.80");
		assert.deepEqual(
			virtualHosts.map(({ name, domains }) => [name, domains]),
			[["a.example.com:80", ["a.example.com"]]],
		);
		assert.equal(virtualHosts[0]?.routes[0]?.route?.cluster, "outbound|8000||web.default.svc.cluster.local");
	});

	it("refuses every host while no VirtualService is bound to it", () => {
		const { virtualHosts } = routeTable(contextOf(gateway("g", http)), "http.80");
		assert.deepEqual(
			virtualHosts.map(({ domains, routes }) => [domains, routes.length]),
			[[["*"], 0]],
		);
	});

	it("ends TLS server by server, told apart by SNI, and never with one name twice", () => {
		const https = (name: string, hosts: string) =>
			`{port: {number: 443, name: ${name}, protocol: HTTPS}, tls: {mode: SIMPLE, credentialName: ${name}}, hosts: [${hosts}]}`;
		const listener = listenersOf(contextOf(gateway("g", `${https("a", "a.example.com")}, ${https("b", "a.example.com, b.example.com")}`))).get("0.0.0.0_443");
		assert.deepEqual(
			listener?.filterChains.map((chain) => chain.filterChainMatch?.serverNames),
			[["a.example.com"], ["b.example.com"]],
		);
		assert.ok(listener?.filterChains.every((chain) => chain.transportSocket?.name === "envoy.transport_sockets.tls"));
	});

	it("passes TLS through by SNI without ending it", () => {
		const server = "{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: [s.example.com]}";
		const routes = "hosts: [s.example.com], tls: [{match: [{sniHosts: [s.example.com]}], route: [{destination: {host: tls-web, port: {number: 8443}}}]}]";
		const [chain] = listenersOf(contextOf(gateway("g", server) + virtualService("v", routes))).get("0.0.0.0_443")?.filterChains ?? [];
		assert.deepEqual(chain?.filterChainMatch?.serverNames, ["s.example.com"]);
		assert.equal(chain?.transportSocket, undefined);
	});

	it("opens no port for a TCP server that no route serves", () => {
		const server = '{port: {number: 9000, name: tcp, protocol: TCP}, hosts: ["*"]}';
		assert.deepEqual([...listenersOf(contextOf(gateway("g", server))).keys()], []);
	});
});
