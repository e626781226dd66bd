import assert from "node:assert/strict";
import { test } from "node:test";
import { say, testRules } from "./testing.ts";
import { validateObject } from "./validate.ts";

const rule = (fields: string, rest = "") => `{rules: [{${fields}}]${rest}}`;
const source = (fields: string, rest = "") => rule(`from: [{source: {${fields}}}]`, rest);
const operation = (fields: string, rest = "") => rule(`to: [{operation: {${fields}}}]`, rest);
const when = (fields: string, rest = "") => rule(`when: [{${fields}}]`, rest);
const custom = ", action: CUSTOM, provider: {name: p}";

testRules("AuthorizationPolicy", [
	["an empty one denies everything, which is valid", "{}"],
	[
		"every source is valid",
		source('principals: ["*"], requestPrincipals: [i/s], namespaces: ["a*"], trustDomains: [t], ipBlocks: [10.0.0.0/8, "::1"], remoteIpBlocks: [1.2.3.4]'),
	],
	["an empty rule is valid with DENY", "{action: DENY, rules: [{}]}"],
	["DENY needs rules", "{action: DENY}", /rules: .*meaningless/],
	["CUSTOM needs rules", "{action: CUSTOM, provider: {name: p}}", /rules: .*meaningless/],
	["CUSTOM needs a provider", "{action: CUSTOM, rules: [{}]}", /provider\.name: .*must not be empty/],
	["a provider is for CUSTOM", "{rules: [{}], provider: {name: p}}", /provider: .*ALLOW/],
	["CUSTOM cannot judge identities", source("principals: [a], namespaces: [b]", custom), /principals: .*CUSTOM/, /namespaces: .*CUSTOM/],
	["CUSTOM cannot judge trust domains", source("trustDomains: [a]", custom), /trustDomains: .*CUSTOM/],
	["CUSTOM cannot judge claims", when('key: "request.auth.claims[a]", values: [b]', custom), /when\[0\]\.key: .*CUSTOM/],
	["CUSTOM judges addresses and operations", rule("from: [{source: {ipBlocks: [1.2.3.4]}}], to: [{operation: {paths: [/a]}}]", custom)],
	["no entries are as if the field were not there", rule("from: [], to: []")],
	["trust domains have no path", source("trustDomains: [a/b], notTrustDomains: [c/]"), /trustDomains\[0\]/, /notTrustDomains\[0\]/],
	["a selector that no workload fits is a warning", '{selector: {matchLabels: {a: "b c"}}}', /warning .*matchLabels\.a: .*no workload/],
	["a source is not empty", source(""), /from\[0\]\.source: .*must not be empty/],
	["an operation is not empty", operation(""), /to\[0\]\.operation: .*must not be empty/],
	["an operation of empty lists is empty", operation("paths: []"), /to\[0\]\.operation: .*must not be empty/],
	["values are not empty", source('principals: [""]'), /principals\[0\]: .*empty/],
	["addresses are addresses", source("ipBlocks: [10.0.0.0/33], notRemoteIpBlocks: [host]"), /ipBlocks\[0\]/, /notRemoteIpBlocks\[0\]/],
	["ports are ports", operation('ports: ["80", "http", "65536"]'), /ports\[1\]/, /ports\[2\]/],
	[
		"service accounts are names",
		source("serviceAccounts: [a, ns/a, a/b/c, '*', '/a']"),
		/serviceAccounts\[2\]/,
		/serviceAccounts\[3\]/,
		/serviceAccounts\[4\]/,
	],
	["service accounts do not go with namespaces", source("serviceAccounts: [a], notNamespaces: [b]"), /source: .*serviceAccounts/],
	["path templates are valid", operation('paths: ["/a/{*}/b", "/{**}", "/a*", "*"]')],
	["braces are for path templates alone", operation('paths: ["/{id}"]'), /paths\[0\]: .*template/],
	["named parts are no path template", operation('paths: ["/{*}/{id}"]'), /paths\[0\]: .*template/],
	["a star beside a template is refused", operation('notPaths: ["/{*}/*"]'), /notPaths\[0\]: .*template/],
	["one {**} is allowed", operation('paths: ["/{**}/a/{**}"]'), /paths\[0\]: .*once/],
	["nothing but text follows {**}", operation('paths: ["/{**}/{*}"]'), /paths\[0\]: .*follow/],
	[
		"every key is valid",
		when(
			'key: "request.headers[a]", values: [b]}, {key: "request.auth.claims[a][b]", notValues: [c]}, {key: connection.sni, values: [d]}, {key: "experimental.envoy.filters.a.b[c]", values: [d]}, {key: source.serviceAccount, values: [a]',
		),
	],
	["a condition has values", when("key: source.ip"), /when\[0\]: .*at least one/],
	["keys are known", when("key: source.port, values: [a]"), /key: unknown attribute/],
	["keys of old are named", when("key: destination.namespace, values: [a]"), /key: .*does not exist any more/],
	["a header needs its name", when("key: request.headers, values: [a]"), /key: .*brackets/],
	[
		"values of a key are checked",
		when('key: source.ip, values: [x]}, {key: destination.port, notValues: ["-1"]'),
		/when\[0\]\.values\[0\]/,
		/when\[1\]\.notValues\[0\]/,
	],
	["DENY of HTTP fields denies all of TCP", operation("methods: [GET]", ", action: DENY"), /warning .*TCP ports/],
	["DENY of a port says so", operation('methods: [GET], ports: ["80"]', ", action: DENY")],
	["DENY of request principals denies all of TCP", source("notRequestPrincipals: ['*']", ", action: DENY"), /warning .*TCP ports/],
	["DENY of a namespace does not", source("namespaces: [a]", ", action: DENY")],
	[
		"selector and targetRefs exclude each other",
		"{selector: {matchLabels: {a: b}}, targetRefs: [{kind: Service, name: s}]}",
		/only one of selector and targetRefs/,
	],
	["targets are known", "{targetRefs: [{kind: Deployment, group: apps, name: s}]}", /targetRefs\[0\]: .*apps\/Deployment/],
	[
		"a target has a name, in its own namespace",
		'{targetRef: {kind: Gateway, group: gateway.networking.k8s.io, name: "", namespace: b}}',
		/targetRef\.name/,
		/targetRef\.namespace/,
	],
	["selectors have no wildcards", '{selector: {matchLabels: {a: "*"}}}', /matchLabels\.a: .*wildcards/],
]);

const jwt = (fields: string) => `{jwtRules: [{issuer: i, ${fields}}]}`;

testRules("RequestAuthentication", [
	["keys in line are valid", jwt(`jwks: '{"keys": [{"kty": "RSA"}]}'`)],
	["an address is valid", jwt("jwksUri: 'https://a.com/keys', audiences: [a], fromCookies: [c], timeout: 3s, spaceDelimitedClaims: [scope]")],
	["the old spelling is valid", jwt("jwks_uri: 'https://a.com/keys'"), /warning .*jwks_uri/],
	["keys come from one place", jwt("jwks: '{\"keys\": []}', jwksUri: 'https://a.com'"), /only one of/],
	["an issuer is required", "{jwtRules: [{}]}", /issuer.* is required/],
	["only web addresses are fetched", jwt("jwksUri: 'file:///etc/passwd'"), /jwksUri: .*https/],
	["addresses have no password", jwt("jwksUri: 'https://u:p@a.com'"), /jwksUri: .*password/],
	["keys are a key set", jwt("jwks: '[]'"), /jwks: .*keys/],
	["keys are JSON", jwt("jwks: '{'"), /jwks: .*JSON/],
	["secret keys are refused", jwt(`jwks: '{"keys": [{"kty": "oct", "k": "AA"}]}'`), /jwks: .*secret/],
	["header names are valid", jwt("fromHeaders: [{name: 'a b'}], outputPayloadToHeader: 'a:b'"), /fromHeaders\[0\]\.name/, /outputPayloadToHeader/],
	[
		"headers for claims have no other characters",
		jwt("outputClaimToHeaders: [{header: a.b, claim: c}, {header: a_B-1, claim: c}]"),
		/outputClaimToHeaders\[0\]\.header/,
	],
	["claims have names", jwt("outputClaimToHeaders: [{header: a, claim: ''}]"), /claim: .*empty/],
	["audiences are not empty", jwt("audiences: ['']"), /audiences\[0\]/],
	["timeouts are positive", jwt("timeout: 0s"), /timeout/],
]);

test("AuthorizationPolicy: the annotation that tries it without effect", () => {
	const policy = (value: string, action: string) =>
		validateObject({
			apiVersion: "security.istio.io/v1",
			kind: "AuthorizationPolicy",
			metadata: { name: "x", namespace: "a", annotations: { "istio.io/dry-run": value } },
			spec: { action, rules: [{}] },
		}).map(say);
	assert.deepEqual(policy("true", "DENY"), []);
	assert.match(policy("maybe", "ALLOW").join(), /annotations.*dry-run.*: "maybe" is neither/);
	assert.match(policy("true", "AUDIT").join(), /only ALLOW and DENY can be tried/);
});
