import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Route } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { decodeNode } from "../../model/node.ts";
import { scopeOf } from "../../model/scope.ts";
import type { ProxyContext } from "../context.ts";
import { buildListeners } from "../listeners/index.ts";
import { contextOf, createTestMesh, routeTable, service } from "./test-mesh.ts";

// What a route does depends on the API it was written in.

const edge = service("edge", "{name: http, port: 80, targetPort: 8080}, {name: alt, port: 81, targetPort: 8081}");
const pod = `
apiVersion: v1
kind: Pod
metadata: {name: edge, namespace: default, labels: {app: edge, istio: edge}}
spec: {containers: []}
status: {podIP: 10.0.0.8}
---`;
const web = service("web", "{name: http, port: 8000}");

function gatewayContext(yaml: string, metadata: object = {}, meshConfig = {}): ProxyContext {
	const push = createTestMesh(meshConfig).apply(edge + pod + web + yaml);
	const node = decodeNode(
		{ id: "router~10.0.0.8~edge.default~default.svc.cluster.local", metadata: { NAMESPACE: "default", ISTIO_VERSION: "1.30.3", ...metadata } },
		push,
	);
	return { push, scope: scopeOf(push, node), node };
}

function kubernetesGateway(port: number): string {
	return `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec: {gatewayClassName: istio, addresses: [{type: Hostname, value: edge}], listeners: [{name: http, port: ${port}, protocol: HTTP}]}
---`;
}

function httpRoute(rule: string, parents = "[{name: gw}]", namespace = "default", name = "r"): string {
	return `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: ${name}, namespace: ${namespace}}
spec: {parentRefs: ${parents}, rules: [${rule}]}
---`;
}

const toWeb = "backendRefs: [{name: web, port: 8000}]";
const firstRoute = (context: ProxyContext, table = "http.8080"): Route | undefined => routeTable(context, table).virtualHosts[0]?.routes[0];

describe("a Kubernetes Gateway", () => {
	it("listens behind the ports of its Service, and on no other", () => {
		assert.deepEqual(
			buildListeners(gatewayContext(kubernetesGateway(80) + httpRoute(`{${toWeb}}`))).map(({ name }) => name),
			["0.0.0.0_8080"],
		);
		assert.deepEqual(buildListeners(gatewayContext(kubernetesGateway(8080) + httpRoute(`{${toWeb}}`))), []);
	});

	it("is for the proxies of its Service alone", () => {
		const push = createTestMesh().apply(edge + pod + web + kubernetesGateway(80) + httpRoute(`{${toWeb}}`));
		const node = decodeNode({ id: "router~10.0.0.7~other.default~default.svc.cluster.local", metadata: { NAMESPACE: "default" } }, push);
		assert.deepEqual(buildListeners({ push, scope: scopeOf(push, node), node }), []);
	});

	it("answers for a backend that is not there with 500", () => {
		assert.equal(firstRoute(gatewayContext(kubernetesGateway(80) + httpRoute(`{${toWeb}}`)))?.route?.clusterNotFoundResponseCode, 2);
	});

	it("takes prefixes of whole path segments", () => {
		const match = firstRoute(gatewayContext(kubernetesGateway(80) + httpRoute(`{matches: [{path: {value: /a}}], ${toWeb}}`)))?.match;
		assert.deepEqual([match?.pathSeparatedPrefix, match?.prefix], ["/a", undefined]);
	});

	it("takes a prefix away without leaving two slashes", () => {
		const rule = `{matches: [{path: {value: /v1.0}}], ${toWeb}, filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]}`;
		const rewrite = firstRoute(gatewayContext(kubernetesGateway(80) + httpRoute(rule)))?.route?.regexRewrite;
		assert.equal(rewrite?.pattern?.regex, "^/v1\\.0(/?)(.*)");
		const substituted = (path: string) => path.replace(new RegExp(rewrite?.pattern?.regex ?? ""), (rewrite?.substitution ?? "").replace("\\2", "$2"));
		assert.deepEqual(["/v1.0", "/v1.0/", "/v1.0/x"].map(substituted), ["/", "/", "/x"]);
	});

	it("redirects by prefix, and leaves the scheme's own port out", () => {
		const redirect = (port: number, filter: string) =>
			firstRoute(
				gatewayContext(
					kubernetesGateway(port) + httpRoute(`{matches: [{path: {value: /a}}], filters: [{type: RequestRedirect, requestRedirect: {${filter}}}]}`),
				),
				port === 80 ? "http.8080" : "http.8081",
			)?.redirect;
		assert.equal(redirect(80, "path: {type: ReplacePrefixMatch, replacePrefixMatch: /b}")?.prefixRewrite, "/b");
		assert.equal(redirect(80, "hostname: a.com")?.portRedirect, 0);
		assert.equal(redirect(81, "hostname: a.com")?.portRedirect, 81);
		assert.equal(redirect(81, "scheme: https")?.portRedirect, 0);
		assert.equal(redirect(81, "scheme: https, port: 443")?.portRedirect, 0);
		assert.equal(redirect(81, "scheme: https, port: 8443")?.portRedirect, 8443);
	});
});

describe("a route of the mesh", () => {
	const named = (port: number | undefined, namespace: string, name: string) =>
		httpRoute(
			`{name: ${name}, backendRefs: [{name: web, namespace: default, port: 8000}]}`,
			`[{group: '', kind: Service, name: web, namespace: default${port === undefined ? "" : `, port: ${port}`}}]`,
			namespace,
			name,
		);
	const namesFor = (yaml: string, namespace: string) => {
		const context = contextOf(createTestMesh().apply(service("web", "{name: http, port: 8000}, {name: alt, port: 8001}") + yaml), {}, namespace);
		return ["8000", "8001"].map((table) => routeTable(context, table).virtualHosts[0]?.routes[0]?.name);
	};

	it("holds for everyone in the service's namespace, else for its own namespace, which it overrules", () => {
		const both = named(undefined, "default", "producer") + named(undefined, "shop", "consumer");
		assert.deepEqual(namesFor(both, "shop"), ["consumer", "consumer"]);
		assert.deepEqual(namesFor(both, "other"), ["producer", "producer"]);
		assert.deepEqual(namesFor(named(undefined, "shop", "consumer"), "other"), ["default", "default"]);
	});

	it("may be for one port, beside another for the next", () => {
		assert.deepEqual(namesFor(named(8000, "default", "a"), "other"), ["a", "default"]);
		assert.deepEqual(namesFor(named(8000, "default", "a") + named(8001, "default", "b"), "other"), ["a", "b"]);
	});
});

describe("an Ingress", () => {
	const ingress = (spec: string, metadata = "") =>
		`\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: i, namespace: default${metadata}}\nspec: ${spec}\n---`;
	const path = (text: string) => `{${text}, backend: {service: {name: web, port: {name: http}}}}`;
	const rules = (...paths: readonly string[]) => `{rules: [{host: a.com, http: {paths: [${paths.join()}]}}]}`;
	const anyMode = { ingressControllerMode: "DEFAULT", ingressSelector: "edge" };
	const served = (yaml: string, meshConfig: object = anyMode) => {
		const context = gatewayContext(yaml, { LABELS: { istio: "edge" } }, meshConfig);
		return context.push.virtualServices.length === 0 ? [] : routeTable(context, "http.8080").virtualHosts.flatMap(({ routes }) => routes);
	};

	it("the longest path comes first, and of two as long the exact one", () => {
		const matches = served(
			ingress(
				rules(
					path("path: /a, pathType: Prefix"),
					path("path: /abc, pathType: Prefix"),
					path("path: /a, pathType: Exact"),
					path("path: /x*, pathType: ImplementationSpecific"),
				),
			),
		).map(({ match }) => match?.path ?? match?.pathSeparatedPrefix);
		assert.deepEqual(matches, ["/abc", "/x*", "/a", "/a"]);
	});

	it("a port is found by its name", () => {
		assert.equal(served(ingress(rules(path("path: /, pathType: Prefix"))))[0]?.route?.cluster, "outbound|8000||web.default.svc.cluster.local");
		assert.deepEqual(served(ingress(rules(path("path: /, pathType: Prefix").replace("name: http", "name: no")))), []);
	});

	it("is served where annotation, class or mode say so", () => {
		const all = rules(path("path: /, pathType: Prefix"));
		const classed = all.replace("{rules", "{ingressClassName: mine, rules");
		const classOf = (controller: string) =>
			`\napiVersion: networking.k8s.io/v1\nkind: IngressClass\nmetadata: {name: mine}\nspec: {controller: ${controller}}\n---`;
		const annotated = (name: string) => ingress(all, `, annotations: {kubernetes.io/ingress.class: ${name}}`);
		const mode = (ingressControllerMode: string) => ({ ...anyMode, ingressControllerMode });
		const count = (yaml: string, name: string) => served(yaml, mode(name)).length;
		assert.deepEqual(
			["OFF", "DEFAULT", "STRICT"].map((name) => count(ingress(all), name)),
			[0, 1, 0],
		);
		assert.deepEqual(
			["OFF", "DEFAULT", "STRICT"].map((name) => count(annotated("istio"), name)),
			[0, 1, 1],
		);
		assert.deepEqual(
			["OFF", "DEFAULT", "STRICT"].map((name) => count(annotated("nginx"), name)),
			[0, 0, 0],
		);
		assert.equal(count(ingress(classed) + classOf("istio.io/ingress-controller"), "STRICT"), 1);
		assert.equal(count(ingress(classed) + classOf("example.com/other"), "DEFAULT"), 0);
	});

	it("ends TLS with its Secret", () => {
		const push = gatewayContext(ingress(`{tls: [{hosts: [a.com], secretName: s}, {hosts: [b.com]}], rules: [{host: a.com}]}`), {}, anyMode).push;
		assert.deepEqual(
			push.gateways[0]?.servers.map(({ port, tls }) => [port.number, tls?.credentialName]),
			[
				[443, "s"],
				[80, undefined],
			],
		);
	});
});

describe("an ExternalName Service as destination", () => {
	it("stands for its target, which alone has a cluster", () => {
		const alias =
			"\napiVersion: v1\nkind: Service\nmetadata: {name: docs, namespace: default}\nspec: {type: ExternalName, externalName: web.default.svc.cluster.local, ports: [{name: http, port: 8000}]}\n---";
		const route =
			"\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: default}\nspec: {hosts: [web], http: [{route: [{destination: {host: docs}}]}]}\n---";
		const context = contextOf(createTestMesh().apply(web + alias + route));
		assert.equal(routeTable(context, "8000").virtualHosts[0]?.routes[0]?.route?.cluster, "outbound|8000||web.default.svc.cluster.local");
	});
});

it("a gateway without the right to low ports opens none", () => {
	const gateway = (port: number) =>
		`\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g${port}, namespace: default}\nspec: {selector: {istio: edge}, servers: [{port: {number: ${port}, name: http, protocol: HTTP}, hosts: ["*"]}]}\n---`;
	const names = (metadata: object) => buildListeners(gatewayContext(gateway(80) + gateway(90), metadata)).map(({ name }) => name);
	assert.deepEqual(names({}), ["0.0.0.0_8080", "0.0.0.0_90"]);
	assert.deepEqual(names({ UNPRIVILEGED_POD: "true" }), ["0.0.0.0_8080"]);
});
