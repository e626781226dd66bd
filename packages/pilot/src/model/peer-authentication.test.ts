import assert from "node:assert/strict";
import { test } from "node:test";
import { contextOf, createTestMesh } from "../translator/routes/test-mesh.ts";
import { mtlsMode } from "./lookup.ts";

function policy(name: string, namespace: string, spec: string, created = "2026-01-01T00:00:00Z"): string {
	return `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: ${name}, namespace: ${namespace}, creationTimestamp: "${created}"}
spec: ${spec}
---
`;
}

const strict = "{mtls: {mode: STRICT}}";
const onApp = "selector: {matchLabels: {app: client}}";
const cases: readonly (readonly [title: string, yaml: string, port: number | undefined, expected: string])[] = [
	["without policies: PERMISSIVE", "", 80, "PERMISSIVE"],
	["the root namespace's policy holds for the mesh", policy("default", "istio-system", strict), 80, "STRICT"],
	["the namespace's policy beats the mesh's", policy("default", "istio-system", strict) + policy("ns", "default", "{mtls: {mode: DISABLE}}"), 80, "DISABLE"],
	["UNSET inherits", policy("default", "istio-system", strict) + policy("ns", "default", "{mtls: {mode: UNSET}}"), 80, "STRICT"],
	[
		"the workload's policy beats the namespace's",
		policy("ns", "default", strict) + policy("wl", "default", `{${onApp}, mtls: {mode: PERMISSIVE}}`),
		80,
		"PERMISSIVE",
	],
	[
		"a workload's policy without mode inherits",
		policy("ns", "default", strict) + policy("wl", "default", `{${onApp}, portLevelMtls: {90: {mode: DISABLE}}}`),
		80,
		"STRICT",
	],
	["a port's mode beats its workload's", policy("wl", "default", `{${onApp}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}}`), 80, "DISABLE"],
	["another port has the workload's", policy("wl", "default", `{${onApp}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}}`), 81, "STRICT"],
	[
		"the workload as a whole has its own mode",
		policy("wl", "default", `{${onApp}, mtls: {mode: STRICT}, portLevelMtls: {80: {mode: DISABLE}}}`),
		undefined,
		"STRICT",
	],
	["a policy for other labels has no say", policy("wl", "default", "{selector: {matchLabels: {app: other}}, mtls: {mode: STRICT}}"), 80, "PERMISSIVE"],
	["a policy of another namespace has no say", policy("ns", "foo", strict), 80, "PERMISSIVE"],
	[
		"of two in one scope the older holds",
		policy("a", "default", strict, "2026-02-01T00:00:00Z") + policy("b", "default", "{mtls: {mode: DISABLE}}", "2026-01-15T00:00:00Z"),
		80,
		"DISABLE",
	],
	["of two of one age the first by name holds", policy("b", "default", "{mtls: {mode: DISABLE}}") + policy("a", "default", strict), 80, "STRICT"],
];

for (const [title, yaml, port, expected] of cases) {
	test(title, () => {
		const { push, node } = contextOf(createTestMesh().apply(yaml), { LABELS: { app: "client" } });
		assert.equal(mtlsMode(push, node, port), expected);
	});
}
