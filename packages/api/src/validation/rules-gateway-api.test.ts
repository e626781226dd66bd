import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { objectKindOf, resolveKind } from "../kinds.ts";
import { testRules } from "./testing.ts";
import { decodeObject } from "./validate.ts";

const listener = (fields: string) => `{gatewayClassName: istio, listeners: [{${fields}}]}`;

describe("two groups have a kind of one name", () => {
	const gateway = (apiVersion: string, spec: object) => decodeObject({ apiVersion, kind: "Gateway", metadata: { name: "g", namespace: "n" }, spec });

	it("the apiVersion tells them apart", () => {
		assert.equal(resolveKind("networking.istio.io/v1", "Gateway"), "Gateway");
		assert.equal(resolveKind("gateway.networking.k8s.io/v1", "Gateway"), "KubernetesGateway");
		assert.equal(objectKindOf("KubernetesGateway"), "Gateway");
		assert.equal(resolveKind("gateway.networking.k8s.io/v1", "KubernetesGateway"), undefined);
	});

	it("each is read by its own schema", () => {
		const spec = { gatewayClassName: "istio", listeners: [{ name: "http", port: 80, protocol: "HTTP" }] };
		assert.equal(gateway("gateway.networking.k8s.io/v1", spec).object?.kind, "KubernetesGateway");
		assert.match(gateway("networking.istio.io/v1", spec).diagnostics[0]?.message ?? "", /unknown field "gatewayClassName"/);
	});

	it("a wrong version of the right group names the right ones", () => {
		assert.match(gateway("gateway.networking.k8s.io/v2", {}).diagnostics[0]?.message ?? "", /no apiVersion of Gateway; write gateway.networking.k8s.io\/v1/);
	});

	it("fields that a newer version may have are told, not refused", () => {
		const { object, diagnostics } = gateway("gateway.networking.k8s.io/v1", {
			gatewayClassName: "istio",
			listeners: [{ name: "a", port: 80, protocol: "HTTP", colour: 1 }],
		});
		assert.ok(object);
		assert.deepEqual(
			diagnostics.map(({ severity, path }) => [severity, path]),
			[["warning", "spec.listeners[0].colour"]],
		);
	});
});

testRules("KubernetesGateway", [
	["an HTTP listener is valid", listener('name: http, port: 80, protocol: HTTP, hostname: "*.example.com"')],
	["a Gateway has listeners", "{gatewayClassName: istio, listeners: []}", /listeners: .*at least one/],
	[
		"listeners have names of their own",
		"{gatewayClassName: i, listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}]}",
		/listeners\[1\]\.name/,
	],
	[
		"and places of their own",
		"{gatewayClassName: i, listeners: [{name: a, port: 80, protocol: HTTP}, {name: b, port: 80, protocol: HTTP}]}",
		/listeners\[1\]: another listener/,
	],
	["ports are ports", listener("name: a, port: 70000, protocol: HTTP"), /port: 70000/],
	["TCP has no hostname", listener("name: a, port: 9000, protocol: TCP, hostname: a.com"), /hostname: .*remove it/],
	["HTTP has no tls", listener("name: a, port: 80, protocol: HTTP, tls: {certificateRefs: [{name: c}]}"), /tls: .*remove it/],
	["HTTPS needs tls", listener("name: a, port: 443, protocol: HTTPS"), /tls: .*needs tls/],
	["Terminate needs a certificate", listener("name: a, port: 443, protocol: HTTPS, tls: {mode: Terminate}"), /certificateRefs/],
	["HTTPS is not passed through", listener("name: a, port: 443, protocol: HTTPS, tls: {mode: Passthrough}"), /tls\.mode/],
	["TLS is", listener("name: a, port: 443, protocol: TLS, tls: {mode: Passthrough}")],
	["an address is no hostname", listener("name: a, port: 80, protocol: HTTP, hostname: 10.0.0.1"), /hostname: .*IP address/],
]);

testRules("ListenerSet", [
	["a listener for a Gateway is valid", "{parentRef: {name: g}, listeners: [{name: a, port: 80, protocol: HTTP}]}"],
	["it needs a listener", "{parentRef: {name: g}, listeners: []}", /a ListenerSet must have at least one listener/],
	["only Gateways take listeners", "{parentRef: {kind: Service, group: '', name: g}, listeners: [{name: a, port: 80, protocol: HTTP}]}", /parentRef: .*not to/],
	["names are unique", "{parentRef: {name: g}, listeners: [{name: a, port: 80, protocol: HTTP}, {name: a, port: 81, protocol: HTTP}]}", /must be unique/],
]);

const rule = (fields: string) => `{rules: [{${fields}}]}`;

testRules("HTTPRoute", [
	["a rule with match and backend is valid", rule("matches: [{path: {type: PathPrefix, value: /a}}], backendRefs: [{name: s, port: 80}]")],
	["paths begin with a slash", rule("matches: [{path: {value: a}}]"), /path\.value: .*begin with/],
	["paths are normal", rule("matches: [{path: {value: /a//b}}]"), /path\.value: .*normalised/],
	["regular expressions are checked", rule('matches: [{path: {type: RegularExpression, value: "("}}]'), /path\.value/],
	["a Service needs a port", rule("backendRefs: [{name: s}]"), /backendRefs\[0\]\.port/],
	["another kind does not", rule("backendRefs: [{group: networking.istio.io, kind: Hostname, name: a.com}]")],
	["a filter has the field of its type", rule("filters: [{type: URLRewrite}]"), /filters\[0\]: .*needs urlRewrite/],
	["and no other", rule("filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [a]}, cors: {}}]"), /filters\[0\]\.cors/],
	["only mirrors stand twice", rule("filters: [{type: CORS, cors: {}}, {type: CORS, cors: {}}]"), /filters\[1\]: CORS may stand once/],
	[
		"redirect excludes rewrite",
		rule("filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}, {type: URLRewrite, urlRewrite: {hostname: a}}]"),
		/filters: .*both/,
	],
	[
		"redirect excludes backends",
		rule("filters: [{type: RequestRedirect, requestRedirect: {scheme: https}}], backendRefs: [{name: s, port: 1}]"),
		/backendRefs: /,
	],
	[
		"a prefix can be replaced where one was matched",
		rule("matches: [{path: {type: Exact, value: /a}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]"),
		/urlRewrite\.path: .*exactly one match/,
	],
	["the whole contains the part", rule("timeouts: {request: 1s, backendRequest: 2s}"), /backendRequest/],
	[
		"extensions are told to be missing",
		rule("filters: [{type: ExtensionRef, extensionRef: {group: g, kind: K, name: n}}]"),
		/^warning .*whole route is left out/,
	],
	["a session that ends when it is idle", rule("sessionPersistence: {idleTimeout: 5m}"), /^warning .*idleTimeout is not implemented/],
	["a time for a cookie that has none", rule("sessionPersistence: {absoluteTimeout: 5m}"), /^warning .*lifetimeType is Permanent only/],
	[
		"a session over several backends",
		rule("backendRefs: [{name: a, port: 1}, {name: b, port: 1}], sessionPersistence: {}"),
		/^warning .*among the endpoints of one backend/,
	],
	["a permanent session without an end", rule("sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}"), /^error .*must be set/],
	["a header with a cookie", rule("sessionPersistence: {type: Header, cookieConfig: {lifetimeType: Session}}"), /^error .*has no cookie/],
]);

testRules("GRPCRoute", [
	["service or method", rule("matches: [{method: {type: Exact}}]"), /matches\[0\]\.method/],
	["GRPC has no redirect", rule("filters: [{type: RequestRedirect}]"), /filters\[0\]\.type/, /filters\[0\]: .*requestHeaderModifier/],
]);

testRules("BackendTLSPolicy", [
	["the system's CAs are valid", "{targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: a.com, wellKnownCACertificates: System}}"],
	["some CA is needed", "{targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: a.com}}", /validation: .*must be set/],
	[
		"one of the two",
		"{targetRefs: [{group: '', kind: Service, name: s}], validation: {hostname: a.com, wellKnownCACertificates: System, caCertificateRefs: [{group: '', kind: ConfigMap, name: c}]}}",
		/validation: only one of/,
	],
]);

const path = (fields: string) => `{rules: [{http: {paths: [{${fields}}]}}]}`;
const backend = "backend: {service: {name: s, port: {number: 80}}}";

testRules("Ingress", [
	["a path with a backend is valid", path(`path: /, pathType: Prefix, ${backend}`)],
	["a path begins with a slash", path(`path: a, pathType: Exact, ${backend}`), /paths\[0\]\.path/],
	["a backend has a port", path("path: /, pathType: Prefix, backend: {service: {name: s}}"), /service\.port/],
	["by number or by name", path("path: /, pathType: Prefix, backend: {service: {name: s, port: {name: http, number: 80}}}"), /service\.port/],
	["the default backend is told to be left out", `{defaultBackend: {service: {name: s, port: {number: 80}}}}`, /^warning .*defaultBackend is not served/],
	["something must be there", "{}", /^error spec: an Ingress needs/],
]);
