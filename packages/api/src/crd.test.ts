import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { parse } from "yaml";
import { crdFileName, crdKinds, crdYaml, jsonSchemaOf } from "./crd.ts";
import { resolveMeshConfig } from "./schema/mesh-config.ts";

const charts = resolve(import.meta.dirname, "../../../charts/base");

test("charts/base holds the CRDs of the schemas as they are now (packages/api/scripts/generate-crds.ts writes them)", () => {
	const files = readdirSync(charts).filter((name) => name.startsWith("crds-"));
	assert.deepEqual(files.sort(), crdKinds.map(crdFileName).sort());
	for (const kind of crdKinds) assert.equal(readFileSync(join(charts, crdFileName(kind)), "utf8"), crdYaml(kind), kind);
});

/** https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema */
function structuralProblems(schema: Readonly<Record<string, unknown>>, path: string, isLogical = false): readonly string[] {
	const problems: string[] = [];
	const isOpen = schema["x-kubernetes-preserve-unknown-fields"] === true || schema["x-kubernetes-int-or-string"] === true;
	if (!isLogical && !schema["type"] && !isOpen) problems.push(`${path}: no type`);
	if (schema["properties"] && schema["additionalProperties"] !== undefined) problems.push(`${path}: properties beside additionalProperties`);
	if (typeof schema["additionalProperties"] === "boolean") problems.push(`${path}: additionalProperties is a flag`);
	for (const key of Object.keys(schema)) if (/^x-(?!kubernetes-)|^\$/.test(key)) problems.push(`${path}: ${key}`);
	for (const [name, inner] of Object.entries((schema["properties"] ?? {}) as Record<string, Record<string, unknown>>))
		problems.push(...structuralProblems(inner, `${path}.${name}`));
	for (const key of ["items", "additionalProperties"] as const) {
		if (typeof schema[key] === "object" && schema[key] !== null) problems.push(...structuralProblems(schema[key] as Record<string, unknown>, `${path}[]`));
	}
	for (const inner of (schema["oneOf"] ?? []) as readonly Record<string, unknown>[]) {
		if (inner["type"]) problems.push(`${path}: a type under oneOf`);
	}
	return problems;
}

interface Crd {
	readonly metadata: { readonly name: string; readonly annotations: Readonly<Record<string, string>> };
	readonly spec: {
		readonly group: string;
		readonly names: { readonly plural: string };
		readonly versions: readonly {
			readonly name: string;
			readonly served: boolean;
			readonly storage: boolean;
			readonly schema: { readonly openAPIV3Schema: Readonly<Record<string, unknown>> };
		}[];
	};
}

/** As Istio serves them; the first is stored. */
const served: Readonly<Record<string, readonly string[]>> = {
	AuthorizationPolicy: ["v1", "v1beta1"],
	EnvoyFilter: ["v1alpha3"],
	PeerAuthentication: ["v1", "v1beta1"],
	ProxyConfig: ["v1beta1"],
	RateLimit: ["v1alpha1"],
	RequestAuthentication: ["v1", "v1beta1"],
	Telemetry: ["v1", "v1alpha1"],
	TrafficExtension: ["v1alpha1"],
	WasmPlugin: ["v1alpha1"],
};

test("every kind of Istio has a CRD, and Weft's own", () => assert.equal(crdKinds.length, 16));

for (const kind of crdKinds) {
	test(`the CRD of ${kind} is structural, serves all versions and stores the newest`, () => {
		const crd = parse(crdYaml(kind)) as Crd;
		assert.equal(crd.metadata.name, `${crd.spec.names.plural}.${crd.spec.group}`);
		assert.equal(crd.metadata.annotations["helm.sh/resource-policy"], "keep");
		const names = crd.spec.versions.map((version) => version.name);
		assert.deepEqual(names, served[kind] ?? ["v1", "v1beta1", "v1alpha3"]);
		for (const version of crd.spec.versions) {
			assert.equal(version.served, true);
			assert.equal(version.storage, version.name === names[0]);
			assert.deepEqual(structuralProblems(version.schema.openAPIV3Schema, kind), []);
		}
	});
}

test("kinds of Kubernetes have no CRD", () => assert.throws(() => crdYaml("Pod"), RangeError));

test("the JSON Schema of a kind is closed and has standard keywords only", () => {
	const schema = jsonSchemaOf("VirtualService");
	assert.equal(schema["additionalProperties"], false);
	assert.doesNotMatch(JSON.stringify(schema), /"x-/);
});

test("mesh config defaults give way to what the user says, field by field in defaultConfig", () => {
	const resolved = resolveMeshConfig({ trustDomain: "td", defaultConfig: { concurrency: 2 } });
	assert.equal(resolved.trustDomain, "td");
	assert.equal(resolved.rootNamespace, "istio-system");
	assert.deepEqual([resolved.defaultConfig.concurrency, resolved.defaultConfig.statusPort], [2, 15020]);
});
