import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { suite, test } from "node:test";
import type { ExtensionProvider, MeshConfig } from "@weft/api";
import type { Json } from "@weft/xds";
import { findEnvoy } from "../../../scripts/peers-find.mjs";
import { corpus, listCases, listFamilies, loadCase } from "../scripts/golden-cases.ts";
import { decodeNode } from "./model/node.ts";
import { type OfflineResources, translateAll } from "./translator/offline.ts";
import { createTestMesh } from "./translator/routes/test-mesh.ts";

// A stock Envoy checks everything that the protos and its extensions demand; it knows none of Istio's own extensions.

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

/** A filter configuration that comes by ECDS, in the place where it would be used. */
function extensionListener(config: Json, index: number): Json {
	const router = { name: "envoy.filters.http.router", typedConfig: { "@type": v3("filters.http.router.v3.Router") } };
	const typedConfig = {
		"@type": v3("filters.network.http_connection_manager.v3.HttpConnectionManager"),
		statPrefix: "extension",
		routeConfig: {},
		httpFilters: [config, router],
	};
	const address = { socketAddress: { address: "127.0.0.1", portValue: 30_000 + index } };
	return { name: `extension-${index}`, address, filterChains: [{ filters: [{ name: "http", typedConfig }] }] };
}

/** Modules are fetched by the agent, which puts a file in their place. */
const isWasm = (config: Json) => JSON.stringify(config).includes("wasm.v3.Wasm");

function bootstrap({ cds, eds, lds, rds, ecds }: OfflineResources): Json {
	const assignments = eds.map((loadAssignment, index) => ({ name: `assignment-${index}`, type: "STATIC", connectTimeout: "1s", loadAssignment }));
	return {
		node: { id: "test", cluster: "test" },
		dynamicResources: { adsConfig: { apiType: "GRPC", transportApiVersion: "V3", grpcServices: [{ envoyGrpc: { clusterName: "xds-grpc" } }] } },
		staticResources: {
			clusters: [grpcCluster("xds-grpc"), grpcCluster("sds-grpc"), ...cds, ...assignments],
			listeners: [...lds, ...rds.map(routeListener), ...ecds.filter((config) => !isWasm(config)).map(extensionListener)],
		},
	};
}

type Kind = keyof OfflineResources;
const resourceKinds: readonly Kind[] = ["cds", "eds", "lds", "rds", "ecds"];

/** Two listeners cannot have one address; nothing is bound here. */
const addressOf = (index: number): Json => ({ socketAddress: { address: "127.0.0.1", portValue: 1000 + index } });

/**
 * Everything that the cases send, each different resource once: the first of a name keeps it, so that references find it;
 * the others are told apart by the case they are from.
 */
function collect(cases: Iterable<readonly [name: string, resources: OfflineResources]>): OfflineResources {
	const seen: Record<Kind, Map<string, Json>> = { cds: new Map(), eds: new Map(), lds: new Map(), rds: new Map(), ecds: new Map() };
	const names = new Set<string>();
	for (const [name, resources] of cases) {
		for (const kind of resourceKinds) {
			for (const resource of resources[kind] as readonly { readonly name?: string; readonly [key: string]: Json | undefined }[]) {
				const text = JSON.stringify(resource);
				if (seen[kind].has(text)) continue;
				const own = `${kind} ${resource.name}`;
				const renamed = names.has(own) && resource.name !== undefined ? { ...resource, name: `${resource.name}~${name}` } : resource;
				names.add(own);
				seen[kind].set(text, (kind === "lds" ? { ...renamed, address: addressOf(seen.lds.size) } : renamed) as Json);
			}
		}
	}
	const list = (kind: Kind) => [...seen[kind].values()];
	return { cds: list("cds"), eds: list("eds"), lds: list("lds"), rds: list("rds"), ecds: list("ecds") };
}

const envoy = findEnvoy();
const noEnvoy = envoy === undefined ? "there is no Envoy (npm run peers)" : undefined;
const noCorpus = existsSync(corpus) ? undefined : "the golden corpus is not beside the repository";

function accepts(resources: OfflineResources): void {
	const folder = mkdtempSync(path.join(os.tmpdir(), "weft-envoy-"));
	try {
		const file = path.join(folder, "bootstrap.json");
		// Envoy opens its logs at once; what it has for standard output here is no file.
		writeFileSync(file, JSON.stringify(bootstrap(resources)).replaceAll(/\/dev\/std(?:out|err)|\/var\/log\/[\w.]+/g, path.join(folder, "log")));
		const result = spawnSync(envoy ?? "", ["--mode", "validate", "-c", file, "--log-level", "error"], { encoding: "utf8", timeout: 60_000 });
		assert.equal(result.status, 0, `${result.stdout}${result.stderr}`);
	} finally {
		rmSync(folder, { recursive: true });
	}
}

function* corpusCases(family: string): Generator<readonly [string, OfflineResources]> {
	for (const name of listCases([family])) {
		const { push, node } = loadCase(name, { ISTIO_VERSION: "" });
		yield [name, translateAll(push, node)];
	}
}

suite("a stock Envoy accepts whatever any case of the corpus sends", { skip: noEnvoy ?? noCorpus ?? false }, () => {
	for (const family of existsSync(corpus) ? listFamilies() : []) test(family, () => accepts(collect(corpusCases(family))));
});

const collector = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80}, {name: tcp, port: 81}]}
---
apiVersion: v1
kind: Service
metadata: {name: collector, namespace: default}
spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}, {name: grpc, port: 81}]}
`;
const service = "collector.default.svc.cluster.local";
const http = { service, port: 80 };
const grpc = { service, port: 81 };

const providers: Readonly<Record<string, Omit<ExtensionProvider, "name">>> = {
	zipkin: { zipkin: { ...http, maxTagLength: 9, path: "/spans", enable64bitTraceId: true } },
	datadog: { datadog: http },
	skywalking: { skywalking: { ...grpc, accessToken: "t" } },
	"otel-grpc": { opentelemetry: { ...grpc, grpc: { timeout: "3s", initialMetadata: [{ name: "a", value: "b" }] } } },
	"otel-http": {
		opentelemetry: {
			...http,
			http: { path: "/v1", timeout: "3s", headers: [{ name: "a", value: "b" }] },
			resourceDetectors: { environment: {}, dynatrace: {} },
		},
	},
	dynatrace: { opentelemetry: { ...http, http: { path: "/v1", timeout: "3s" }, dynatraceSampler: { tenant: "t", clusterId: 1 } } },
	file: {
		envoyFileAccessLog: { path: "/dev/stdout", omitEmptyValues: true, logFormat: { labels: { a: "%REQ(:PATH)%", b: { c: "%REQ_WITHOUT_QUERY(:PATH)%" } } } },
	},
	"file-text": { envoyFileAccessLog: { path: "/dev/stderr", logFormat: { text: "%REQ_WITHOUT_QUERY(X?:PATH)% %METADATA(CLUSTER:istio)%" } } },
	"als-http": { envoyHttpAls: { ...grpc, logName: "l", additionalRequestHeadersToLog: ["a"], filterStateObjectsToLog: ["f"] } },
	"als-tcp": { envoyTcpAls: grpc },
	"als-otel": { envoyOtelAls: { ...grpc, logFormat: { text: "%PROTOCOL%", labels: { a: "%REQ_WITHOUT_QUERY(X)%", b: "c" } } } },
};

const telemetry = (spec: string) => `---\napiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t, namespace: default}\nspec: ${spec}\n`;
const tags = "{l: {literal: {value: v}}, e: {environment: {name: E}}, h: {header: {name: x}}, f: {formatter: {value: '%PROTOCOL%'}}}";

const lua = `---
apiVersion: extensions.istio.io/v1alpha1
kind: TrafficExtension
metadata: {name: l, namespace: default}
spec: {lua: {inlineCode: "function envoy_on_request(h) end"}}
`;

const rateLimit = `---
apiVersion: weft.dev/v1alpha1
kind: RateLimit
metadata: {name: r, namespace: default}
spec:
  limits:
  - {requests: 5, unit: SECOND, burst: 9}
  - {requests: 1, unit: DAY, match: {paths: [{exact: /a.b}, {prefix: /c}, {regex: "/d[0-9]"}], methods: [GET], headers: [{name: x}, {name: y, value: {prefix: z}}]}}
  - {requests: 2, unit: HOUR, per: [{header: x-user}, {claim: sub}, {clientAddress: true}]}
`;

interface Own {
	readonly yaml: string;
	readonly meshConfig?: MeshConfig;
}

const proxyHeaders = {
	server: { value: "mine" },
	forwardedClientCert: "APPEND_FORWARD",
	setCurrentClientCertDetails: { subject: true, cert: true, chain: true, dns: true, uri: true },
	requestId: { disabled: true },
	attemptCount: { disabled: true },
	envoyDebugHeaders: { disabled: true },
	preserveHttp1HeaderCase: true,
} as const;

const own: Readonly<Record<string, Own>> = {
	...Object.fromEntries(
		Object.keys(providers)
			.filter((name) => !/^(file|als)/.test(name))
			.map((name) => [`tracing by ${name}`, { yaml: telemetry(`{tracing: [{providers: [{name: ${name}}], customTags: ${tags}}]}`) }]),
	),
	"every kind of access log": {
		yaml: telemetry(
			`{accessLogging: [{providers: [${Object.keys(providers)
				.filter((name) => /^(file|als)/.test(name))
				.map((name) => `{name: ${name}}`)
				.join()}]}]}`,
		),
	},
	"every header setting": { yaml: "", meshConfig: { defaultConfig: { proxyHeaders } } },
	"a Lua filter": { yaml: lua },
	"limits by everything": { yaml: rateLimit },
	"refusals that tell their reason": { yaml: "", meshConfig: { defaultConfig: { proxyMetadata: { WEFT_REASON_HEADER: "true" } } } },
};

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
apiVersion: v1
kind: Secret
metadata: {name: cert, namespace: default}
stringData: {tls.crt: a, tls.key: b}
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

/** Of the Gateway API and of hosts resolved by request: title, kind of proxy, objects, MeshConfig. */
const foreign: readonly (readonly [title: string, kind: string, yaml: string, mesh: MeshConfig])[] = [
	["filters and TLS of the Gateway API", "router", edge, {}],
	["hosts resolved when a request names them", "sidecar", wildcard, { outboundTrafficPolicy: { mode: "ALLOW_ANY_DYNAMIC_DNS" } }],
];

suite("a stock Envoy accepts what no case of the corpus asks for", { skip: noEnvoy ?? false }, () => {
	for (const [name, { yaml, meshConfig }] of Object.entries(own)) {
		test(name, () => {
			const extensionProviders = Object.entries(providers).map(([provider, config]) => ({ name: provider, ...config }));
			const push = createTestMesh({ ...meshConfig, extensionProviders }).apply(collector + yaml);
			const metadata = { NAMESPACE: "default", LABELS: { app: "web" } };
			const node = decodeNode({ id: "sidecar~10.0.0.1~web-1.default~default.svc.cluster.local", cluster: "web.default", metadata }, push);
			const resources = translateAll(push, node);
			const before = translateAll(createTestMesh({ extensionProviders }).apply(collector), node);
			assert.notDeepEqual(resources, before, "it says something");
			accepts(collect([[name, resources]]));
		});
	}
	for (const [title, kind, yaml, mesh] of foreign) {
		test(title, () => {
			const push = createTestMesh(mesh).apply(yaml);
			const id = `${kind}~10.0.0.9~client.default~default.svc.cluster.local`;
			const sent = translateAll(push, decodeNode({ id, metadata: { NAMESPACE: "default", INSTANCE_IPS: "10.0.0.9" } }, push));
			assert.ok(sent.lds.length > 0 && sent.rds.length > 0);
			accepts(sent);
		});
	}
});
