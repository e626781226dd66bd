import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { kindNames } from "../kinds.ts";
import { mergeMeshConfig } from "../schema/mesh-config.ts";
import { decodeMeshConfigValue } from "./mesh-config.ts";
import { say } from "./testing.ts";
import { decodeObject, validateObject } from "./validate.ts";

const service = { apiVersion: "v1", kind: "Service", metadata: { name: "web" }, spec: { ports: [{ name: "http", port: 80 }] } };

test("a decoded object has its namespace, empty maps and no nulls", () => {
	const { object, diagnostics } = decodeObject({ ...service, metadata: { name: "web", labels: null, creationTimestamp: null } });
	assert.deepEqual(diagnostics, []);
	assert.deepEqual(object, {
		apiVersion: "v1",
		kind: "Service",
		metadata: { name: "web", namespace: "default", labels: {}, annotations: {} },
		spec: { ports: [{ name: "http", port: 80 }] },
	});
});

test("kinds without spec keep their top-level fields there", () => {
	const { object } = decodeObject({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "c" }, data: { a: "b" } });
	assert.deepEqual(object?.spec, { data: { a: "b" } });
});

test("cluster-scoped kinds have no namespace", () => {
	const { object } = decodeObject({ apiVersion: "v1", kind: "Namespace", metadata: { name: "foo" } });
	assert.equal(object?.metadata.namespace, "");
});

test("an object with errors is not given out", () => {
	const { object, diagnostics } = decodeObject({ ...service, spec: { ports: [{ port: "80" }] } });
	assert.equal(object, undefined);
	assert.deepEqual(diagnostics.map(say), ['error spec.ports[0].port: must be an integer, not the string "80"; write it without quotes']);
});

for (const [title, value, expected] of [
	["no object at all", [], /must be an object/],
	["no kind", { apiVersion: "v1" }, /kind: the field kind is required/],
	["an unknown kind", { kind: "Servise" }, /did you mean "Service"/],
	["no apiVersion", { ...service, apiVersion: undefined }, /apiVersion is required; write apiVersion: v1/],
	["a wrong apiVersion", { ...service, apiVersion: "v2" }, /"v2" is no apiVersion of Service/],
	["no name", { ...service, metadata: {} }, /metadata\.name: .*needs a name/],
	["a name in capitals", { ...service, metadata: { name: "Web" } }, /metadata\.name/],
	["a bad label", { ...service, metadata: { name: "web", labels: { "a b": "c" } } }, /metadata\.labels\["a b"\]/],
	["a numeric annotation", { ...service, metadata: { name: "web", annotations: { a: 1 } } }, /annotations\.a: must be a string/],
	["a time that is none", { ...service, metadata: { name: "web", creationTimestamp: "noon" } }, /creationTimestamp/],
	["no spec", { ...service, spec: undefined }, /spec: the field spec is required/],
	["a spec that is a list", { ...service, spec: [] }, /spec: must be an object, not a list/],
	[
		"a field beside spec",
		{ apiVersion: "networking.istio.io/v1", kind: "Gateway", metadata: { name: "g" }, servers: [], spec: { servers: [] } },
		/servers: unknown field "servers"; .*spec/,
	],
	["the name __proto__", JSON.parse('{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"c"},"data":{"__proto__":"x"}}'), /__proto__.*not allowed/],
] as const) {
	test(`${title} is refused`, () => assert.match(validateObject(value).map(say).join("\n"), expected));
}

test("a finding carries the place that the location gives", () => {
	const location = { file: "f.yaml", position: (path: readonly (string | number)[]) => ({ line: path.length, column: 9 }) };
	const [first] = validateObject({ ...service, spec: { ports: [{ port: 0 }] } }, location);
	assert.deepEqual([first?.file, first?.line, first?.column, first?.kind, first?.name, first?.namespace], ["f.yaml", 4, 9, "Service", "web", "default"]);
});

test("any JSON value as any kind's content gives diagnostics, never an exception", () => {
	fc.assert(
		fc.property(fc.constantFrom(...kindNames), fc.jsonValue(), fc.jsonValue(), (kind, spec, metadata) => {
			const { object, diagnostics } = decodeObject({ apiVersion: "v1", kind, metadata, spec, ...(typeof spec === "object" ? spec : {}) });
			assert.equal(
				object === undefined,
				diagnostics.some((d) => d.severity === "error"),
			);
		}),
		{ numRuns: 300 },
	);
});

test("a mesh config keeps what is known and warns of the rest by name", () => {
	const { value, diagnostics } = decodeMeshConfigValue({ accessLogFile: "/dev/stdout", newField: 1, accessLogEncoding: "JSON" });
	assert.deepEqual(value, { accessLogFile: "/dev/stdout", accessLogEncoding: "JSON" });
	assert.match(diagnostics.map(say).join(), /^warning newField: unknown field "newField"/);
});

for (const [title, input, expected] of [
	["an unknown mode", { outboundTrafficPolicy: { mode: "ANY" } }, /error outboundTrafficPolicy\.mode/],
	["a connect timeout of 0", { connectTimeout: "0s" }, /error connectTimeout/],
	["a port out of range", { proxyListenPort: 70000 }, /error proxyListenPort/],
	[
		"two providers of one name",
		{
			extensionProviders: [
				{ name: "p", prometheus: {} },
				{ name: "p", prometheus: {} },
			],
		},
		/warning extensionProviders\[1\]\.name/,
	],
	["a provider of no kind", { extensionProviders: [{ name: "p" }] }, /warning extensionProviders\[0\]/],
	[
		"a provider without a service",
		{ extensionProviders: [{ name: "p", zipkin: { service: "", port: 1 } }] },
		/warning extensionProviders\[0\]\.zipkin\.service/,
	],
	[
		"a provider's port out of range",
		{ extensionProviders: [{ name: "p", zipkin: { service: "a", port: 0 } }] },
		/warning extensionProviders\[0\]\.zipkin\.port/,
	],
	[
		"a provider that Istio dropped",
		{ extensionProviders: [{ name: "p", lightstep: { service: "a", port: 1 } }] },
		/warning extensionProviders\[0\]\.lightstep: .*no effect/,
	],
	[
		"an authorizer's path without a slash",
		{ extensionProviders: [{ name: "p", envoyExtAuthzHttp: { service: "a", port: 1, pathPrefix: "check" } }] },
		/warning extensionProviders\[0\]\.envoyExtAuthzHttp\.pathPrefix/,
	],
	[
		"an authorizer that is sent every header",
		{ extensionProviders: [{ name: "p", envoyExtAuthzHttp: { service: "a", port: 1, includeRequestHeadersInCheck: ["*"] } }] },
		/warning extensionProviders\[0\]\.envoyExtAuthzHttp\.includeRequestHeadersInCheck\[0\]/,
	],
	[
		"an authorizer's status that is none",
		{ extensionProviders: [{ name: "p", envoyExtAuthzGrpc: { service: "a", port: 1, statusOnError: "99" } }] },
		/warning extensionProviders\[0\]\.envoyExtAuthzGrpc\.statusOnError/,
	],
	["a default provider that is not there", { defaultProviders: { tracing: ["gone"] } }, /warning defaultProviders\.tracing\[0\]/],
	["a field that nothing reads", { compliancePolicy: "fips-140-2" }, /^warning compliancePolicy: compliancePolicy has no effect/],
	[
		"a proxy's setting that nothing reads",
		{ defaultConfig: { holdApplicationUntilProxyStarts: true } },
		/^warning defaultConfig\.holdApplicationUntilProxyStarts: /,
	],
	["an address without a port", { defaultConfig: { discoveryAddress: "istiod" } }, /error defaultConfig\.discoveryAddress: "istiod" is no address/],
	["a collector without an address", { defaultConfig: { tracing: { zipkin: {} } } }, /error defaultConfig\.tracing\.zipkin\.address/],
	[
		"a service of Envoy's without a port",
		{ defaultConfig: { envoyMetricsService: { address: "[::1]" } } },
		/error defaultConfig\.envoyMetricsService\.address/,
	],
	["an address of statsd that is none", { defaultConfig: { statsdUdpAddress: "a b:1" } }, /error defaultConfig\.statsdUdpAddress/],
	["a path that is empty", { defaultConfig: { binaryPath: "" } }, /error defaultConfig\.binaryPath/],
	["draining in parts of seconds", { defaultConfig: { drainDuration: "1500ms" } }, /error defaultConfig\.drainDuration: .*whole seconds/],
	["a port of the agent out of range", { defaultConfig: { statusPort: 70_000 } }, /error defaultConfig\.statusPort/],
	["no port for what pods send", { proxyListenPort: 0 }, /error proxyListenPort/],
	["curves for the mesh's own TLS", { meshMTLS: { ecdhCurves: ["P-256"] } }, /error meshMTLS\.ecdhCurves/],
	[
		"curves that are none",
		{ tlsDefaults: { ecdhCurves: ["X", "P-256", "P-256"] } },
		/warning .*unrecognized ECDH curves: \[X\]\nwarning .*duplicate ECDH curves: \[P-256\]/,
	],
	["an alias that is no trust domain", { trustDomainAliases: ["a", "b c"] }, /error trustDomainAliases\[1\]: "b c"/],
	[
		"an unknown way of passing certificates on",
		{ defaultConfig: { proxyHeaders: { forwardedClientCert: "NEVER" } } },
		/error defaultConfig\.proxyHeaders\.forwardedClientCert/,
	],
	["a text for a flag", { enableAutoMtls: "yes" }, /error enableAutoMtls: must be true or false/],
] as const) {
	test(`mesh config: ${title} is reported`, () => assert.match(decodeMeshConfigValue(input).diagnostics.map(say).join("\n"), expected));
}

test("mesh config: of providers the bad ones are left out, but ill-typed ones are refused", () => {
	const good = { name: "good", prometheus: {} };
	const { value, diagnostics } = decodeMeshConfigValue({ extensionProviders: [{ name: "bad", zipkin: { port: 1 } }, good, { ...good, zipkin: undefined }] });
	assert.deepEqual(value.extensionProviders, [good]);
	assert.match(diagnostics.map(say).join("\n"), /^warning extensionProviders\[0\]\.zipkin\.service: .* is required; add it; the provider is left out/);
	assert.match(
		decodeMeshConfigValue({ extensionProviders: [{ name: "p", zipkin: { service: "a", port: "x" } }] })
			.diagnostics.map(say)
			.join(),
		/^error /,
	);
});

test("mesh config: what says the same as Istio's defaults, or is read, is valid", () => {
	const input = {
		enableTracing: true,
		ingressService: "istio-ingressgateway",
		defaultConfig: { proxyAdminPort: 15000, discoveryAddress: "[::1]:15012", tracing: { sampling: 1, zipkin: { address: "$(HOST_IP):9411" } } },
		defaultHttpRetryPolicy: { attempts: 1, retryOn: "5xx, reset" },
	};
	assert.deepEqual(decodeMeshConfigValue(input).diagnostics, []);
});

test("a mesh config on a shared one: fields replace whole, but for proxies' settings, providers by name, and aliases", () => {
	const under = {
		trustDomain: "shared",
		trustDomainAliases: ["b", "a"],
		localityLbSetting: { enabled: true, failover: [{ from: "x", to: "y" }] },
		defaultConfig: { concurrency: 3, proxyMetadata: { A: "1", B: "1" }, proxyHeaders: { server: { disabled: true }, requestId: { disabled: true } } },
		defaultProviders: { tracing: ["t"], metrics: ["m"] },
		extensionProviders: [
			{ name: "one", prometheus: {} },
			{ name: "two", prometheus: {} },
		],
	};
	const over = {
		trustDomainAliases: ["c", "b"],
		localityLbSetting: { enabled: false },
		defaultConfig: { statusPort: 1, proxyMetadata: { B: "2" }, proxyHeaders: { server: { value: "x" } } },
		defaultProviders: { tracing: ["u"] },
		extensionProviders: [
			{ name: "three", prometheus: {} },
			{ name: "one", zipkin: { service: "z", port: 1 } },
		],
	};
	assert.deepEqual(mergeMeshConfig(under, over), {
		trustDomain: "shared",
		trustDomainAliases: ["a", "b", "c"],
		localityLbSetting: { enabled: false },
		defaultConfig: {
			concurrency: 3,
			statusPort: 1,
			proxyMetadata: { A: "1", B: "2" },
			proxyHeaders: { server: { value: "x" }, requestId: { disabled: true } },
		},
		defaultProviders: { tracing: ["u"], metrics: ["m"] },
		extensionProviders: [
			{ name: "one", zipkin: { service: "z", port: 1 } },
			{ name: "two", prometheus: {} },
			{ name: "three", prometheus: {} },
		],
	});
	assert.deepEqual(mergeMeshConfig(under, {}), under);
	assert.deepEqual(mergeMeshConfig({}, over), over);
});
