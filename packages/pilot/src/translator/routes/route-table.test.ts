import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { buildRouteTable } from "./route-table.ts";
import { contextOf, createTestMesh, routeTable, service } from "./test-mesh.ts";
import { virtualHostStats } from "./virtual-host.ts";

const services = service("reviews", "{name: http, port: 9080}") + service("votes", "{name: http, port: 9080}") + service("db", "{name: tcp, port: 9080}");

function virtualService(name: string, hosts: string, http: string): string {
	return `\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ${name}, namespace: default}\nspec: {hosts: ${hosts}, http: ${http}}\n---`;
}

const routeTo = (host: string, timeout: string) => `[{route: [{destination: {host: ${host}}}], timeout: ${timeout}}]`;

describe("a route table", () => {
	it("has a virtual host for every HTTP service on the port, and one for the rest", () => {
		const table = routeTable(contextOf(createTestMesh().apply(services)), "9080");
		assert.deepEqual(table.virtualHosts.map(({ name }) => name).sort(), [
			"allow_any",
			"reviews.default.svc.cluster.local:9080",
			"votes.default.svc.cluster.local:9080",
		]);
	});

	it("knows a service by short names in its own namespace only", () => {
		const push = createTestMesh().apply(services);
		const domains = (namespace: string) =>
			routeTable(contextOf(push, {}, namespace), "9080").virtualHosts.find(({ name }) => name.startsWith("reviews"))?.domains;
		assert.deepEqual(domains("default"), [
			"reviews.default.svc.cluster.local",
			"reviews.default.svc.cluster.local.",
			"reviews",
			"reviews.default.svc",
			"reviews.default",
			"10.96.0.7",
		]);
		assert.ok(!domains("other")?.includes("reviews"));
		assert.ok(domains("other")?.includes("reviews.default"));
	});

	it("refuses unknown authorities where only the registry may be called", () => {
		const push = createTestMesh({ outboundTrafficPolicy: { mode: "REGISTRY_ONLY" } }).apply(services);
		const last = routeTable(contextOf(push), "9080").virtualHosts.at(-1);
		assert.equal(last?.name, "block_all");
		assert.equal(last?.routes[0]?.directResponse?.status, 502);
	});

	it("lets the specific VirtualService speak before the wildcard one", () => {
		const yaml = `${services}${virtualService("wild", '["*.default.svc.cluster.local"]', routeTo("votes", "1s"))}${virtualService("own", "[reviews]", routeTo("reviews", "2s"))}`;
		const { virtualHosts } = routeTable(contextOf(createTestMesh().apply(yaml)), "9080");
		const seconds = new Map(virtualHosts.map(({ name, routes }) => [name.split(".")[0], routes[0]?.route?.timeout?.seconds]));
		assert.equal(seconds.get("reviews"), 2n);
		assert.equal(seconds.get("votes"), 1n);
	});

	it("puts a host that no service bears on port 80", () => {
		const yaml = `${services}${virtualService("ext", "[www.example.com]", routeTo("reviews", "1s"))}`;
		const { virtualHosts } = routeTable(contextOf(createTestMesh().apply(yaml)), "80");
		assert.deepEqual(
			virtualHosts.map(({ domains }) => domains),
			[["www.example.com"], ["*"]],
		);
	});

	it("never has one domain twice", () => {
		const yaml = `${services}${virtualService("a", "[10.96.0.7, reviews]", routeTo("reviews", "1s"))}`;
		const domains = routeTable(contextOf(createTestMesh().apply(yaml)), "9080").virtualHosts.flatMap((host) => host.domains);
		assert.equal(new Set(domains).size, domains.length);
	});

	it("is absent under a name that nothing bears", () => {
		const context = contextOf(createTestMesh().apply(services));
		assert.equal(buildRouteTable(context, "no-such-table"), undefined);
		assert.equal(buildRouteTable(context, "nobody.default.svc.cluster.local:9080"), undefined);
		assert.equal(buildRouteTable(context, "db.default.svc.cluster.local:9080"), undefined, "db speaks TCP");
	});

	it("is the same bytes as one that was encoded whole", () => {
		const resource = buildRouteTable(contextOf(createTestMesh().apply(services)), "9080");
		assert.ok(resource);
		const whole = RouteConfiguration.encode(RouteConfiguration.decode(resource.bytes)).finish();
		assert.deepEqual(Buffer.from(whole), Buffer.from(resource.bytes));
	});
});

describe("an edit of one VirtualService", () => {
	const mesh = createTestMesh();
	mesh.apply(`${services}${virtualService("reviews", "[reviews]", routeTo("reviews", "1s"))}${virtualService("votes", "[votes]", routeTo("votes", "1s"))}`);

	function edit(timeout: string): { readonly builds: number; readonly versions: readonly (string | undefined)[] } {
		const push = mesh.apply(virtualService("reviews", "[reviews]", routeTo("reviews", timeout)));
		const before = virtualHostStats.builds;
		const contexts = ["a", "b", "c"].map((app) => contextOf(push, { LABELS: { app } }));
		const versions = contexts.map((context) => buildRouteTable(context, "9080")?.version);
		return { builds: virtualHostStats.builds - before, versions };
	}

	it("builds the one virtual host again, whatever the number of proxies, and nothing when nothing changed", () => {
		const first = edit("2s");
		const second = edit("3s");
		const again = edit("3s");
		assert.equal(second.builds, 1);
		assert.equal(again.builds, 0);
		assert.equal(new Set(second.versions).size, 1);
		assert.notEqual(first.versions[0], second.versions[0]);
		assert.deepEqual(again.versions, second.versions);
	});
});

describe("sec/f55: a rule of one namespace for another's host", () => {
	const capture = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: capture, namespace: attacker}
spec: {hosts: [web.default.svc.cluster.local], http: [{route: [{destination: {host: evil.attacker.svc.cluster.local}}]}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: capture, namespace: attacker}
spec: {host: web.default.svc.cluster.local, trafficPolicy: {tls: {mode: DISABLE}}}
---`;
	const clusterOf = (namespace: string, exported?: readonly string[]) => {
		const config = exported === undefined ? {} : { defaultVirtualServiceExportTo: [...exported], defaultDestinationRuleExportTo: [...exported] };
		const push = createTestMesh(config).apply(service("web", "{name: http, port: 80}") + capture);
		const table = routeTable(contextOf(push, {}, namespace), "80");
		return table.virtualHosts.find(({ domains }) => domains.includes("web.default.svc.cluster.local"))?.routes[0]?.route?.cluster;
	};

	it("sec/f55: with the export to the own namespace as the default it binds its own clients alone", () => {
		assert.equal(clusterOf("default", ["."]), "outbound|80||web.default.svc.cluster.local");
		assert.equal(clusterOf("other", ["."]), "outbound|80||web.default.svc.cluster.local");
		assert.equal(clusterOf("attacker", ["."]), "outbound|80||evil.attacker.svc.cluster.local");
	});
});
