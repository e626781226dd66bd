import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { buildRouteTable } from "../routes/route-table.ts";
import { contextOf, createTestMesh, service } from "../routes/test-mesh.ts";
import { buildListeners } from "./index.ts";
import { type Call, type Outcome, simulate, type SimulatedProxy } from "./simulator.ts";

const bookinfo = `
${service("reviews", "{name: http, port: 9080}")}
${service("votes", "{name: http, port: 9080}")}
${service("db", "{name: tcp, port: 3306}")}
${service("odd", "{name: what, port: 5000}")}
${service("client", "{name: http, port: 8000, targetPort: 7000}, {name: tcp-x, port: 8001, targetPort: 7001}, {name: x, port: 8002, targetPort: 7002}")}
apiVersion: v1
kind: Pod
metadata: {name: client, namespace: default, labels: {app: client}}
spec: {serviceAccountName: client, containers: [{name: app, image: none}]}
status: {podIP: 10.0.0.9, podIPs: [{ip: 10.0.0.9}], phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: client-1, namespace: default, labels: {kubernetes.io/service-name: client}}
addressType: IPv4
ports: [{name: http, port: 7000, protocol: TCP}, {name: tcp-x, port: 7001, protocol: TCP}, {name: x, port: 7002, protocol: TCP}]
endpoints:
- {addresses: [10.0.0.9], conditions: {ready: true}, targetRef: {kind: Pod, name: client, namespace: default}}
---
`;

function proxyOf(extra = "", mesh: Parameters<typeof createTestMesh>[0] = {}): SimulatedProxy {
	const context = contextOf(createTestMesh(mesh).apply(bookinfo + extra));
	const table = (name: string) => {
		const resource = buildRouteTable(context, name);
		return resource && RouteConfiguration.decode(resource.bytes);
	};
	return { listeners: buildListeners(context), table };
}

function virtualService(spec: string): string {
	return `apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata: {name: v, namespace: default}\nspec: ${spec}\n`;
}

function peerAuthentication(spec: string): string {
	return `apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: default}\nspec: ${spec}\n`;
}

const get = (authority: string, port: number, more: Partial<Call> = {}): Call => ({ ip: "10.96.0.7", port, speaks: "http", authority, ...more });
const opaque = (ip: string, port: number): Call => ({ ip, port, speaks: "tcp" });

describe("what leaves an application", () => {
	const routes = [
		"{match: [{headers: {end-user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]}",
		"{route: [{destination: {host: reviews, subset: v1}, weight: 90}, {destination: {host: reviews, subset: v3}, weight: 10}]}",
	];
	const canary = virtualService(`{hosts: [reviews], http: [${routes.join()}]}`);
	const cluster = (subset: string) => `outbound|9080|${subset}|reviews.default.svc.cluster.local`;
	const cases: readonly (readonly [string, SimulatedProxy, Call, Partial<Outcome> | undefined])[] = [
		["goes to the service it names", proxyOf(), get("reviews:9080", 9080), { clusters: { [cluster("")]: 1 } }],
		[
			"goes to another service on the same port by its name",
			proxyOf(),
			get("votes", 9080),
			{ clusters: { "outbound|9080||votes.default.svc.cluster.local": 1 } },
		],
		["is split as the VirtualService says", proxyOf(canary), get("reviews", 9080), { clusters: { [cluster("v1")]: 0.9, [cluster("v3")]: 0.1 } }],
		["follows the header match", proxyOf(canary), get("reviews", 9080, { headers: { "end-user": "jason" } }), { clusters: { [cluster("v2")]: 1 } }],
		["passes on where nobody knows the host", proxyOf(), get("example.com", 9080), { clusters: { PassthroughCluster: 1 } }],
		[
			"is refused where nobody knows the host and only the registry counts",
			proxyOf("", { outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }),
			get("example.com", 9080),
			{ clusters: {}, status: 502 },
		],
		["as TCP goes by the service's address", proxyOf(), opaque("10.96.0.2", 3306), { clusters: { "outbound|3306||db.default.svc.cluster.local": 1 } }],
		["as TCP on an HTTP port passes on", proxyOf(), opaque("192.0.2.1", 9080), { clusters: { PassthroughCluster: 1 } }],
		["to a port that nobody serves passes on", proxyOf(), opaque("192.0.2.1", 4444), { listener: "virtualOutbound", clusters: { PassthroughCluster: 1 } }],
		[
			"to a sniffed port is routed as HTTP",
			proxyOf(),
			get("any", 5000, { ip: "10.96.0.3" }),
			{ clusters: { "outbound|5000||odd.default.svc.cluster.local": 1 } },
		],
		["to a sniffed port goes as TCP, too", proxyOf(), opaque("10.96.0.3", 5000), { clusters: { "outbound|5000||odd.default.svc.cluster.local": 1 } }],
		[
			"as TCP follows the VirtualService's weights",
			proxyOf(
				virtualService("{hosts: [db], tcp: [{route: [{destination: {host: db, subset: a}, weight: 75}, {destination: {host: db, subset: b}, weight: 25}]}]}"),
			),
			opaque("10.96.0.2", 3306),
			{ clusters: { "outbound|3306|a|db.default.svc.cluster.local": 0.75, "outbound|3306|b|db.default.svc.cluster.local": 0.25 } },
		],
	];
	for (const [sentence, proxy, call, expected] of cases) it(sentence, () => assertOutcome(simulate(proxy, "outbound", call), expected));
});

describe("what comes to an application", () => {
	const sidecar = { sni: "outbound_.8000_._.client", alpn: ["istio-http/1.1"] };
	const sidecarTcp = { sni: "outbound_.8001_._.client", alpn: ["istio-peer-exchange", "istio"] };
	const strict = peerAuthentication("{mtls: {mode: STRICT}}");
	const disabled = peerAuthentication("{mtls: {mode: DISABLE}}");
	const to = (port: number, speaks: Call["speaks"]): Call => ({ ip: "10.0.0.9", port, speaks, authority: "client" });
	const cases: readonly (readonly [string, string, Call, Partial<Outcome> | undefined])[] = [
		["from a sidecar ends mutual TLS", "", to(7000, sidecar), { mutualTls: true, clusters: { "inbound|7000||": 1 } }],
		["in plain text is taken while PERMISSIVE", "", to(7000, "http"), { mutualTls: false, clusters: { "inbound|7000||": 1 } }],
		["in plain text is refused when STRICT", strict, to(7000, "http"), undefined],
		["from a sidecar is taken when STRICT", strict, to(7000, sidecar), { mutualTls: true, clusters: { "inbound|7000||": 1 } }],
		["as TCP in plain text is refused when STRICT", strict, to(7001, "tcp"), undefined],
		["as TCP from a sidecar ends mutual TLS", "", to(7001, sidecarTcp), { mutualTls: true, clusters: { "inbound|7001||": 1 } }],
		[
			"with TLS of its own is passed through while PERMISSIVE",
			"",
			to(7001, { sni: "x", alpn: ["h2"] }),
			{ mutualTls: false, clusters: { "inbound|7001||": 1 } },
		],
		["is plain when DISABLE", disabled, to(7000, "http"), { mutualTls: false, clusters: { "inbound|7000||": 1 } }],
		["to a sniffed port from a sidecar is HTTP inside mutual TLS", "", to(7002, sidecar), { mutualTls: true, clusters: { "inbound|7002||": 1 } }],
		["to a port without a service passes on", "", to(7777, "tcp"), { clusters: { InboundPassthroughCluster: 1 } }],
		["to a port without a service is refused when STRICT", strict, to(7777, "tcp"), undefined],
		[
			"to a port without a service is refused when that port is STRICT",
			peerAuthentication("{selector: {matchLabels: {app: client}}, portLevelMtls: {7777: {mode: STRICT}}}"),
			to(7777, "tcp"),
			undefined,
		],
		["to the listener's own port ends nowhere", "", to(15_006, "tcp"), { clusters: { BlackHoleCluster: 1 } }],
	];
	for (const [sentence, extra, call, expected] of cases) it(sentence, () => assertOutcome(simulate(proxyOf(extra), "inbound", call), expected));
});

function assertOutcome(actual: Outcome | undefined, expected: Partial<Outcome> | undefined): void {
	if (expected === undefined || actual === undefined) {
		assert.deepEqual(actual, expected);
		return;
	}
	assert.deepEqual(actual, { ...actual, ...expected });
}
