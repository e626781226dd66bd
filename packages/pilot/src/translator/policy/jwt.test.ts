import assert from "node:assert/strict";
import { suite, test } from "node:test";
import type { Json } from "@weft/xds";
import { buildPush } from "../../model/build-push.ts";
import { unknownJwks } from "../../model/jwks.ts";
import { createTestMesh } from "../routes/test-mesh.ts";
import { serverContext, shown } from "./testing.ts";
import { directionPolicies } from "./workload-policies.ts";

const policy = (name: string, rules: string, rest = "") =>
	`---\napiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {name: ${name}, namespace: default}\nspec: {jwtRules: [${rules}]${rest}}\n`;
const keys = '{"keys":[{"kty":"RSA","kid":"1"}]}';

interface Config {
	readonly providers: Readonly<Record<string, { readonly [key: string]: Json }>>;
	readonly rules: Json;
}

function configOf(yaml: string, fetched: Readonly<Record<string, string>> = {}, direction: "inbound" | "gateway" = "inbound"): Config {
	const mesh = createTestMesh();
	mesh.apply(yaml);
	const push = buildPush({ snapshot: mesh.store.snapshot(), meshConfig: {}, clusterId: "Kubernetes", jwks: new Map(Object.entries(fetched)) });
	const { node } = serverContext(push);
	return shown(directionPolicies(push, node, direction).jwt) as unknown as Config;
}

const providerOf = (...args: Parameters<typeof configOf>) => configOf(...args).providers["origins-0"];
const inline = (text: string) => ({ localJwks: { inlineString: text } });

suite("RequestAuthentication becomes jwt_authn", () => {
	test("with every field of a rule", () => {
		const rule = `{issuer: i, audiences: [a], jwks: '${keys}', fromHeaders: [{name: x, prefix: "T "}], fromParams: [p], fromCookies: [c], outputPayloadToHeader: o, forwardOriginalToken: true, outputClaimToHeaders: [{header: h, claim: a.b}], spaceDelimitedClaims: [roles, scope]}`;
		assert.deepEqual(providerOf(policy("p", rule)), {
			issuer: "i",
			audiences: ["a"],
			...inline(keys),
			forward: true,
			fromHeaders: [{ name: "x", valuePrefix: "T " }],
			fromParams: ["p"],
			fromCookies: ["c"],
			forwardPayloadHeader: "o",
			payloadInMetadata: "payload",
			normalizePayloadInMetadata: { spaceDelimitedClaims: ["permission", "roles", "scope"] },
			claimToHeaders: [{ headerName: "h", claimName: "a.b" }],
		});
	});

	test("with the rules of all policies, by their issuers", () => {
		const { providers } = configOf(policy("p", `{issuer: b, jwks: '${keys}'}`) + policy("q", `{issuer: a, jwks: '${keys}'}`));
		assert.deepEqual(
			Object.entries(providers).map(([name, { issuer }]) => [name, issuer]),
			[
				["origins-0", "a"],
				["origins-1", "b"],
			],
		);
	});

	test("with the keys that were fetched", () => {
		assert.deepEqual(providerOf(policy("p", "{issuer: i, jwksUri: 'https://a/k'}"), { "https://a/k": keys })?.["localJwks"], { inlineString: keys });
		const discovered = { "https://a.com/.well-known/openid-configuration": keys };
		assert.deepEqual(providerOf(policy("p", "{issuer: 'https://a.com/'}"), discovered)?.["localJwks"], { inlineString: keys });
	});

	test("that refuses every token while the keys are not known", () => {
		assert.deepEqual(providerOf(policy("p", "{issuer: i, jwksUri: 'https://a/k'}"))?.["localJwks"], { inlineString: unknownJwks });
	});

	test("which has the route chosen again at gateways alone", () => {
		const text = policy("p", `{issuer: i, jwks: '${keys}'}`);
		assert.equal(providerOf(text, {}, "gateway")?.["clearRouteCache"], true);
		assert.equal(providerOf(text)?.["clearRouteCache"], undefined);
	});

	test("only for the workloads that it selects, and only with rules", () => {
		const filterOf = (yaml: string) => {
			const { push, node } = serverContext(createTestMesh().apply(yaml));
			return directionPolicies(push, node, "inbound").jwt;
		};
		assert.equal(filterOf(policy("p", `{issuer: i, jwks: '${keys}'}`, ", selector: {matchLabels: {app: other}}")), undefined);
		assert.equal(filterOf(policy("p", "")), undefined);
	});
});
