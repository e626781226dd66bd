import assert from "node:assert/strict";
import { it } from "node:test";
import { createTestMesh } from "../translator/routes/test-mesh.ts";

const namespace = (name: string, labels: string) => `\napiVersion: v1\nkind: Namespace\nmetadata: {name: ${name}, labels: {${labels}}}\n---`;
const service = (namespaceName: string) =>
	`\napiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: ${namespaceName}}\nspec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}\n---`;
const yaml = namespace("a", "mesh: 'yes', tier: front") + namespace("b", "mesh: 'yes'") + namespace("c", "tier: back") + ["a", "b", "c"].map(service).join("");

it("the mesh looks at the namespaces that some discovery selector matches; without one at all", () => {
	const seen = (...discoverySelectors: readonly object[]) =>
		createTestMesh({ discoverySelectors })
			.apply(yaml)
			.services.map(({ namespace: of }) => of);
	assert.deepEqual(seen(), ["a", "b", "c"]);
	assert.deepEqual(seen({ matchLabels: { mesh: "yes" } }), ["a", "b"]);
	assert.deepEqual(seen({ matchLabels: { mesh: "yes" }, matchExpressions: [{ key: "tier", operator: "DoesNotExist" }] }), ["b"]);
	assert.deepEqual(seen({ matchLabels: { tier: "back" } }, { matchExpressions: [{ key: "tier", operator: "In", values: ["front"] }] }), ["a", "c"]);
	assert.deepEqual(seen({ matchLabels: { no: "where" } }), []);
});

it("a namespace that gets the label comes in", () => {
	const mesh = createTestMesh({ discoverySelectors: [{ matchLabels: { mesh: "yes" } }] });
	assert.equal(mesh.apply(yaml).services.length, 2);
	assert.equal(mesh.apply(namespace("c", "mesh: 'yes'")).services.length, 3);
});
