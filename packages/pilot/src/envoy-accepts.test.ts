import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { suite, test } from "node:test";
import type { MeshConfig } from "@weft/api";
import type { Json } from "@weft/xds";
import { findEnvoy } from "../../../scripts/peers-find.mjs";
import { corpus, loadCase } from "../scripts/golden-cases.ts";
import { decodeNode } from "./model/node.ts";
import { createTestMesh } from "./translator/routes/test-mesh.ts";
import { type OfflineResources, translateAll } from "./translator/offline.ts";

// A stock Envoy checks everything that the protos and its extensions demand; it knows none of Istio's own extensions.

const cases = [
	"base/productpage",
	"base/tcp-echo",
	"base/db",
	"gateway/http",
	"destinationrule-other/subset-overrides",
	"serviceentry/dns-http",
	"sidecar/ingress",
	"gateway/ingress-resource",
	"gateway/tls-auto-passthrough",
	"gatewayapi/httproute-timeouts-retry",
	"gatewayapi/httproute-weights-filters",
	"gatewayapi/service-parent-tlsroute",
	"gatewayapi/tcproute",
];

const edge = `
apiVersion: v1
kind: Service
metadata: {name: edge, namespace: default}
spec: {clusterIP: 10.96.0.9, ports: [{name: http, port: 80}, {name: https, port: 443}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: edge, namespace: default}
subsets: [{addresses: [{ip: 10.0.0.9}], ports: [{name: http, port: 80}, {name: https, port: 443}]}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge}]
  listeners:
  - {name: http, port: 80, protocol: HTTP}
  - {name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}], options: {gateway.istio.io/tls-terminate-mode: MUTUAL}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: default}
spec:
  parentRefs: [{name: gw}]
  rules:
  - matches: [{path: {value: /strip.me}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
    backendRefs: [{name: edge, port: 80}]
  - matches: [{path: {value: /go}}]
    filters: [{type: RequestRedirect, requestRedirect: {scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /gone}}}]
  - matches: [{path: {value: /cors}, headers: [{name: X-A, type: RegularExpression, value: a.*}]}]
    filters: [{type: CORS, cors: {allowOrigins: ["https://*.example.com"], allowCredentials: true}}]
    backendRefs: [{name: edge, port: 80, weight: 1}, {name: forbidden, namespace: other, port: 80, weight: 1}]
  - matches: [{path: {value: /nothing}}]
`;

const wildcard = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.example.com"]
  resolution: DYNAMIC_DNS
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: wild, namespace: default}
spec: {host: "*.example.com", trafficPolicy: {portLevelSettings: [{port: {number: 80}, tls: {mode: SIMPLE}}]}}
`;

/** What the corpus lacks: title, kind of proxy, objects, MeshConfig. */
const own: readonly (readonly [title: string, kind: string, yaml: string, mesh: MeshConfig])[] = [
	["filters and TLS of the Gateway API", "router", edge, {}],
	["hosts resolved when a request names them", "sidecar", wildcard, { outboundTrafficPolicy: { mode: "ALLOW_ANY_DYNAMIC_DNS" } }],
];

const v3 = (name: string) => `type.googleapis.com/envoy.extensions.${name}`;

/** A cluster that the resources refer to, as a proxy's bootstrap has it. */
function grpcCluster(name: string): Json {
	const options = { "@type": v3("upstreams.http.v3.HttpProtocolOptions"), explicitHttpConfig: { http2ProtocolOptions: {} } };
	return { name, type: "STATIC", connectTimeout: "1s", typedExtensionProtocolOptions: { "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options } };
}

/** Routes are checked inside a listener of their own. */
function routeListener(routeConfig: Json, index: number): Json {
	const filters: readonly (readonly [string, string])[] = [
		["fault", "filters.http.fault.v3.HTTPFault"],
		["cors", "filters.http.cors.v3.Cors"],
		["router", "filters.http.router.v3.Router"],
	];
	const httpFilters = filters.map(([name, type]) => ({ name: `envoy.filters.http.${name}`, typedConfig: { "@type": v3(type) } }));
	const typedConfig = { "@type": v3("filters.network.http_connection_manager.v3.HttpConnectionManager"), statPrefix: "routes", routeConfig, httpFilters };
	const address = { socketAddress: { address: "127.0.0.1", portValue: 20_000 + index } };
	return { name: `routes-${index}`, address, filterChains: [{ filters: [{ name: "http", typedConfig }] }] };
}

function bootstrap({ cds, eds, lds, rds }: OfflineResources): Json {
	const assignments = eds.map((loadAssignment, index) => ({ name: `assignment-${index}`, type: "STATIC", connectTimeout: "1s", loadAssignment }));
	return {
		node: { id: "test", cluster: "test" },
		dynamicResources: { adsConfig: { apiType: "GRPC", transportApiVersion: "V3", grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }] } },
		staticResources: {
			clusters: [grpcCluster("xds-grpc"), grpcCluster("sds-grpc"), ...cds, ...assignments],
			listeners: [...lds, ...rds.map(routeListener)],
		},
	};
}

const envoy = findEnvoy();
const missing = envoy === undefined ? "there is no Envoy (npm run peers)" : existsSync(corpus) ? undefined : "the golden corpus is not beside the repository";

suite("a stock Envoy accepts what it is sent", { skip: missing ?? false }, () => {
	for (const name of cases) {
		test(name, () => {
			const { push, node } = loadCase(name, { ISTIO_VERSION: "" });
			accepts(translateAll(push, node));
		});
	}
	for (const [title, kind, yaml, mesh] of own) {
		test(title, () => {
			const push = createTestMesh(mesh).apply(yaml);
			const id = `${kind}~10.0.0.9~client.default~default.svc.cluster.local`;
			const sent = translateAll(push, decodeNode({ id, metadata: { NAMESPACE: "default", INSTANCE_IPS: "10.0.0.9" } }, push));
			assert.ok(sent.lds.length > 0 && sent.rds.length > 0);
			accepts(sent);
		});
	}
});

function accepts(sent: OfflineResources): void {
	const folder = mkdtempSync(path.join(os.tmpdir(), "weft-envoy-"));
	try {
		const file = path.join(folder, "bootstrap.json");
		writeFileSync(file, JSON.stringify(bootstrap(sent)));
		const result = spawnSync(envoy ?? "", ["--mode", "validate", "-c", file, "--log-level", "error"], { encoding: "utf8", timeout: 30_000 });
		assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
	} finally {
		rmSync(folder, { recursive: true });
	}
}
