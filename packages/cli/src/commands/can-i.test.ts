import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { translateAll } from "@weft/pilot";
import { registerMessages } from "@weft/xds";
import { allMessages } from "@weft/xds/registry";
import { inboundChains } from "../authz/chains.ts";
import { decide } from "../authz/decide.ts";
import { resolveTarget } from "../authz/targets.ts";
import { pushOfFiles, proxyNodeOf } from "../offline/push.ts";
import { renderAuthzCheck } from "./authz-check.ts";
import { type CanIOptions, parseQuestion, renderAnswers } from "./can-i.ts";

const policy = (name: string, spec: string, annotations = "") => `---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: ${name}, namespace: foo${annotations}}
spec: ${spec}
`;

const yaml = `
apiVersion: v1
kind: Service
metadata: {name: httpbin, namespace: foo}
spec: {clusterIP: 10.96.1.1, selector: {app: httpbin}, ports: [{name: http, port: 8000, targetPort: 8080}, {name: tcp-raw, port: 9000}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: foo}
spec: {selector: {matchLabels: {app: httpbin}}, mtls: {mode: STRICT}, portLevelMtls: {9000: {mode: PERMISSIVE}}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: jwt, namespace: foo}
spec: {jwtRules: [{issuer: "https://issuer", audiences: [web], jwks: '{"keys":[]}'}]}
${policy("viewers", '{rules: [{from: [{source: {namespaces: [default]}}], to: [{operation: {methods: [GET], paths: ["/info*"], ports: ["8080"]}}]}, {to: [{operation: {paths: [/token]}}], when: [{key: "request.auth.claims[scope]", values: [read]}]}]}')}
${policy("no-admin", '{action: DENY, rules: [{to: [{operation: {paths: ["/info/admin*"], ports: ["8080"]}}]}, {from: [{source: {ipBlocks: [10.9.0.0/16]}}]}]}')}
${policy("tried", '{action: DENY, rules: [{to: [{operation: {paths: ["/info/x"], ports: ["8080"]}}]}]}', ', annotations: {"istio.io/dry-run": "true"}')}
${policy("asked", '{action: CUSTOM, provider: {name: nobody}, rules: [{to: [{operation: {paths: ["/info/ask"], ports: ["8080"]}}]}]}')}
`;

let folder: string;
let listeners: readonly unknown[];

before(() => {
	registerMessages(allMessages);
	folder = mkdtempSync(join(tmpdir(), "weft-can-i-"));
	writeFileSync(join(folder, "mesh.yaml"), yaml);
	const push = pushOfFiles([folder], undefined);
	const [pod] = resolveTarget(push, "httpbin", 8000, "foo").pods;
	assert.ok(pod);
	listeners = translateAll(push, proxyNodeOf(pod, push)).lds;
});
after(() => rmSync(folder, { recursive: true, force: true }));

const options: CanIOptions = { from: "default/sleep", trustDomain: "cluster.local", output: "table" };

function answer(request: string, more: Partial<CanIOptions>): string {
	const [method = "", url = ""] = request.split(" ");
	const { question, servicePort } = parseQuestion(method, url, { ...options, ...more });
	const port = servicePort === 8000 ? 8080 : servicePort;
	const decision = decide(inboundChains(listeners), { ...question, port, serverName: "", destination: `10.0.0.1:${port}` });
	return renderAnswers([{ workload: "httpbin.foo", ...decision }]).trim();
}

const noRule = "no: no rule of the ALLOW policies matches: foo/viewers (httpbin.foo)";
const claims = (extra: object) => JSON.stringify({ iss: "https://issuer", sub: "a", aud: "web", ...extra });

void describe("can-i", () => {
	const cases: readonly (readonly [string, string, Partial<CanIOptions>, string])[] = [
		["an ALLOW rule", "GET http://httpbin.foo:8000/info", {}, "yes: rule 0 of AuthorizationPolicy foo/viewers (ALLOW) matches (httpbin.foo)"],
		["another method", "POST http://httpbin.foo:8000/info", {}, noRule],
		["another namespace", "GET http://httpbin.foo:8000/info", { from: "bar/sleep" }, noRule],
		[
			"a path that is not what it looks like",
			"GET http://httpbin.foo:8000/info/../info/%61dmin?q",
			{},
			"no: rule 0 of AuthorizationPolicy foo/no-admin (DENY) matches (httpbin.foo)\n  the path is judged, and forwarded, as /info/admin?q",
		],
		["an address", "GET http://httpbin.foo:8000/info", { ip: "10.9.1.1" }, "no: rule 1 of AuthorizationPolicy foo/no-admin (DENY) matches (httpbin.foo)"],
		[
			"no sidecar under STRICT",
			"GET http://httpbin.foo:8000/info",
			{ plaintext: true },
			"no: mutual TLS is STRICT here, and the caller has no identity to show (httpbin.foo)",
		],
		[
			"a claim that is a list with blanks between",
			"GET http://httpbin.foo:8000/token",
			{ from: "bar/x", jwtClaims: claims({ scope: "write read" }) },
			"yes: rule 1 of AuthorizationPolicy foo/viewers (ALLOW) matches (httpbin.foo)",
		],
		["another claim", "GET http://httpbin.foo:8000/token", { from: "bar/x", jwtClaims: claims({ scope: "reading" }) }, noRule],
		[
			"a token of somebody else",
			"GET http://httpbin.foo:8000/info",
			{ jwtClaims: claims({ iss: "else" }) },
			"no: the token is refused (401): Jwt issuer is not configured; known are https://issuer (httpbin.foo)",
		],
		[
			"a token for somebody else",
			"GET http://httpbin.foo:8000/info",
			{ jwtClaims: claims({ aud: "app" }) },
			"no: the token is refused (403): Audiences in Jwt are not allowed; wanted is one of web (httpbin.foo)",
		],
		[
			"a dry run decides nothing, and tells",
			"GET http://httpbin.foo:8000/info/x",
			{},
			"yes: rule 0 of AuthorizationPolicy foo/viewers (ALLOW) matches (httpbin.foo)\n  dry run: denied by rule 0 of AuthorizationPolicy foo/tried",
		],
		[
			"CUSTOM without its provider",
			"GET http://httpbin.foo:8000/info/ask",
			{},
			"no: rule 0 of AuthorizationPolicy foo/asked asks a provider that this mesh does not have (httpbin.foo)",
		],
		[
			"TCP: what asks for HTTP allows nothing",
			"CONNECT tcp://httpbin.foo:9000",
			{ plaintext: true },
			"no: there are ALLOW policies, and nothing in them can match (httpbin.foo)",
		],
	];
	for (const [name, request, more, expected] of cases) void test(name, () => assert.equal(answer(request, more), expected));

	void test("arguments that make no sense are refused with what to write", () => {
		const refused = (url: string, more: Partial<CanIOptions>, message: RegExp) =>
			assert.throws(() => parseQuestion("GET", url, { ...options, ...more }), message);
		refused("httpbin/x", {}, /write http:\/\/HOST/);
		refused("http://a", { from: "sleep" }, /write NAMESPACE\/SERVICEACCOUNT/);
		refused("http://a", { header: ["x"] }, /write NAME: VALUE/);
		refused("http://a", { jwtClaims: "[]" }, /write a JSON object/);
		refused("http://a", { ip: "x" }, /no IP address/);
	});

	void test("a host or port that is not there is told with what is", () => {
		const push = pushOfFiles([folder], undefined);
		assert.throws(() => resolveTarget(push, "nobody", 80, "foo"), /no service nobody .* services: httpbin\.foo\.svc\.cluster\.local/);
		assert.throws(() => resolveTarget(push, "httpbin", 80, "foo"), /has no port 80; it has 8000, 9000/);
		assert.throws(() => resolveTarget(push, "httpbin", 8000, "default"), /no service httpbin is known to a client in namespace default/);
	});
});

void test("authz check lists what the proxy runs, once each, as istioctl does", () => {
	assert.equal(
		renderAuthzCheck(listeners, "table"),
		[
			"ACTION           AuthorizationPolicy         RULES",
			"CUSTOM           asked.foo                   1",
			"DENY             no-admin.foo                2",
			"DENY (dry run)   tried.foo                   1",
			// Of the chains for TCP, where nothing of what the policy asks can be judged.
			"ALLOW            _anonymous_match_nothing_   1",
			"ALLOW            viewers.foo                 2",
			"",
		].join("\n"),
	);
	assert.equal(renderAuthzCheck([], "table"), "ACTION   AuthorizationPolicy   RULES\n");
});
