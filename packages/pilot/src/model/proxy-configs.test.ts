import assert from "node:assert/strict";
import { test } from "node:test";
import type { ConfigObject, ProxyConfig } from "@weft/api";
import { decodeYaml } from "@weft/galley";
import { proxyConfigFor } from "./proxy-configs.ts";

const resource = (name: string, spec: string, namespace = "default") =>
	`---\napiVersion: networking.istio.io/v1beta1\nkind: ProxyConfig\nmetadata: {name: ${name}, namespace: ${namespace}}\nspec: {${spec}}\n`;

const root = resource("root", "concurrency: 1, environmentVariables: {A: root, R: root}", "istio-system");
const whole = resource("whole", "concurrency: 0, environmentVariables: {A: whole}, image: {imageType: debug}");
const later = resource("whole-2", "concurrency: 9");
const own = resource("own", "selector: {matchLabels: {app: a}}, environmentVariables: {A: own}");
const selected = resource("selected", "selector: {matchLabels: {app: a}}, concurrency: 9", "istio-system");

const nothing = { general: {}, own: {} };
const ofRoot: ProxyConfig = { concurrency: 1, proxyMetadata: { A: "root", R: "root" } };
const ofBoth: ProxyConfig = { concurrency: 0, proxyMetadata: { A: "whole", R: "root" }, image: { imageType: "debug" } };

const cases: readonly (readonly [title: string, yaml: string, app: string, expected: { readonly general: ProxyConfig; readonly own: ProxyConfig }])[] = [
	["nothing is said", "", "a", nothing],
	["the mesh's holds everywhere", root, "a", { ...nothing, general: ofRoot }],
	["the namespace's is laid over the mesh's; of two the first counts", root + whole + later, "b", { ...nothing, general: ofBoth }],
	["the workload's stands apart", root + whole + own, "a", { general: ofBoth, own: { proxyMetadata: { A: "own" } } }],
	["another workload's is not read", root + own, "b", { ...nothing, general: ofRoot }],
	["a selector in the root namespace selects there alone", selected, "a", nothing],
];

for (const [title, yaml, app, expected] of cases) {
	test(title, () => {
		const objects = decodeYaml(yaml, "p.yaml").objects as readonly ConfigObject<"ProxyConfig">[];
		assert.deepEqual(proxyConfigFor(objects, { namespace: "default", labels: { app } }, "istio-system"), expected);
	});
}

test("in the root namespace the mesh's is the namespace's, once", () => {
	const objects = decodeYaml(root + selected, "p.yaml").objects as readonly ConfigObject<"ProxyConfig">[];
	assert.deepEqual(proxyConfigFor(objects, { namespace: "istio-system", labels: { app: "a" } }, "istio-system"), { general: ofRoot, own: { concurrency: 9 } });
});
