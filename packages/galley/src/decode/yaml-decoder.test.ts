import assert from "node:assert/strict";
import { test } from "node:test";
import { formatDiagnostic } from "@weft/api";
import * as fc from "fast-check";
import { decodeMeshConfig, decodeYaml } from "./yaml-decoder.ts";
import { fileBytesMax } from "./yaml-documents.ts";

const lines = (text: string, file = "f.yaml") => decodeYaml(text, file).diagnostics.map(formatDiagnostic);
const names = (text: string) => decodeYaml(text, "f.yaml").objects.map(({ kind, metadata }) => `${kind} ${metadata.namespace}/${metadata.name}`);

const service = (name: string, indent = "") =>
	[`apiVersion: v1`, `kind: Service`, `metadata: {name: ${name}}`, `spec: {ports: [{name: http, port: 80}]}`].map((line) => indent + line).join("\n");

test("several documents, empty ones between them, and comments", () => {
	assert.deepEqual(names(`# start\n---\n${service("a")}\n---\n---\n# nothing\n---\n${service("b")}\n...\n`), ["Service default/a", "Service default/b"]);
});

test("a List as kubectl prints it, and Lists in it", () => {
	const inner = `- apiVersion: v1\n  kind: List\n  items:\n  - ${service("b", "    ").trimStart()}`;
	assert.deepEqual(names(`apiVersion: v1\nkind: List\nitems:\n- ${service("a", "  ").trimStart()}\n${inner}\nmetadata: {resourceVersion: ""}\n`), [
		"Service default/a",
		"Service default/b",
	]);
});

test("items of an API list need no kind", () => {
	assert.deepEqual(names("apiVersion: v1\nkind: ServiceList\nitems: [{metadata: {name: a}, spec: {}}]"), ["Service default/a"]);
});

test("JSON with tabs is YAML, too", () => {
	const text = JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name: "a" }, spec: {} }, undefined, "\t");
	assert.deepEqual(names(text), ["Service default/a"]);
	assert.deepEqual(names(`\uFEFF${text}`), ["Service default/a"]);
});

test("what kubectl get prints decodes: status, managed fields, nulls, numbers as keys", () => {
	const text = `
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: "2026-01-01T00:00:00Z"
  generateName: web-
  labels: {app: web}
  managedFields: [{manager: kubectl, fieldsV1: {"f:metadata": {".": {}}}}]
  name: web-1
  namespace: foo
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: web, uid: u, controller: true, blockOwnerDeletion: true}]
spec: {containers: [{name: c, image: i, resources: {limits: {cpu: 1}}}], nodeName: n}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: "True", lastProbeTime: null}]}
`;
	const { objects, diagnostics } = decodeYaml(text, "f.yaml");
	assert.deepEqual(diagnostics, []);
	assert.equal(objects[0]?.metadata.ownerReferences?.[0]?.name, "web");
	assert.deepEqual(objects[0]?.origin, { file: "f.yaml", line: 2, column: 1 });
	assert.equal((objects[0]?.status as { podIP?: string } | undefined)?.podIP, "10.0.0.1");
});

test("numbers as keys are strings", () => {
	const { objects } = decodeYaml(
		"apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: a}}, portLevelMtls: {8080: {mode: DISABLE}}}",
		"f",
	);
	assert.deepEqual(objects[0]?.kind === "PeerAuthentication" ? objects[0].spec.portLevelMtls : undefined, { "8080": { mode: "DISABLE" } });
});

const virtualService = `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: prod
spec:
  hosts: [reviews]
  http:
  - match:
    - uri: {prefix: /a}
    timeuot: 3s
    route:
    - destination:
        host: reviews
        port:
          number: 70000
      weight: "90"
    - destination:
        subset: v2
      weight: 10
`;

test("each problem has the line and column of its own node", () => {
	assert.deepEqual(
		lines(virtualService),
		[
			'f.yaml:11:5: error [IST0106] VirtualService prod/reviews spec.http[0].timeuot: unknown field "timeuot"; did you mean "timeout"?',
			'f.yaml:17:15: error [IST0106] VirtualService prod/reviews spec.http[0].route[0].weight: must be an integer, not the string "90"; write it without quotes',
			'f.yaml:19:9: error [IST0106] VirtualService prod/reviews spec.http[0].route[1].destination.host: the field "host" is required; add it',
			"f.yaml:16:19: error [IST0106] VirtualService prod/reviews spec.http[0].route[0].destination.port.number: 70000 is no valid port; write one from 1 to 65535",
			"f.yaml:12:5: warning [WEFT-V009] VirtualService prod/reviews spec.http[0].route: the weights sum to 10, not 100; each destination gets its share of 10",
		].map((line) => line.replace("f.yaml:12:5", "f.yaml:13:5")),
	);
});

test("the second document and items of a List have their own lines", () => {
	const bad = "apiVersion: v1\nkind: Service\nmetadata: {name: b}\nspec:\n  ports:\n  - port: 0";
	assert.match(lines(`${service("a")}\n---\n${bad}`)[0] ?? "", /^f\.yaml:11:11: error .*Service default\/b spec\.ports\[0\]\.port/);
	const list = `apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: b}\n  spec:\n    ports:\n    - port: 0`;
	assert.match(lines(list)[0] ?? "", /^f\.yaml:9:13: error .*spec\.ports\[0\]\.port/);
});

test("an empty value is shown at its key, an alias at its place of use", () => {
	assert.match(lines("apiVersion: v1\nkind: Service\nmetadata:\n  name: a\nspec:\n")[0] ?? "", /^f\.yaml:5:1: .*spec is required/);
	const text = "apiVersion: v1\nkind: Service\nmetadata: {name: a, annotations: {x: &p '0'}}\nspec:\n  ports:\n  - port: *p\n";
	assert.match(lines(text)[0] ?? "", /^f\.yaml:6:11: .*must be an integer/);
});

test("malformed YAML is one error with its place", () => {
	const said = lines("a: [1, 2\nb: }\n  c: - x: :\n");
	assert.equal(said.length, 1);
	assert.match(said[0] ?? "", /^f\.yaml:\d+:\d+: error \[WEFT-V001\]: malformed YAML/);
});

test("a broken document does not hide the others", () => {
	const decoded = decodeYaml(`a: [\n---\n${service("b")}`, "f.yaml");
	assert.deepEqual(
		decoded.objects.map(({ metadata }) => metadata.name),
		["b"],
	);
	assert.equal(decoded.diagnostics.length, 1);
});

test("each duplicate key is an error", () => {
	assert.deepEqual(lines("kind: Service\nkind: Pod\nmetadata: {}\nmetadata: {}\n"), [
		"f.yaml:2:1: error [WEFT-V001]: malformed YAML: the key stands twice in this map; remove one",
		"f.yaml:4:1: error [WEFT-V001]: malformed YAML: the key stands twice in this map; remove one",
	]);
});

for (const [title, text, expected] of [
	[
		"an unknown kind",
		"apiVersion: networking.istio.io/v1\nkind: VirtualSerivce\nmetadata: {name: a}\n",
		/f\.yaml:2:7: error \[WEFT-V002\] VirtualSerivce a kind: unknown kind .*did you mean VirtualService/,
	],
	["a kind of somebody else", "apiVersion: example.com/v1\nkind: Banana\nmetadata: {name: a}\n", /error \[WEFT-V002\].*known kinds are/],
	[
		"a known kind of another group",
		"apiVersion: serving.knative.dev/v1\nkind: Service\nmetadata: {name: a}\nspec: {}\n",
		/error \[WEFT-V002\].*is no apiVersion of Service; write v1/,
	],
	[
		"a version that does not exist",
		"apiVersion: networking.istio.io/v2\nkind: Gateway\nmetadata: {name: a}\nspec: {servers: []}\n",
		/write networking\.istio\.io\/v1 or networking\.istio\.io\/v1beta1/,
	],
	[
		"a kind that is not implemented",
		"apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: a}\nspec: {}\n",
		/error \[WEFT-V003\].*not implemented by Weft yet/,
	],
	["a UDPRoute of the Gateway API", "apiVersion: gateway.networking.k8s.io/v1\nkind: UDPRoute\nmetadata: {name: a}\nspec: {}\n", /error \[WEFT-V003\]/],
	["no kind", "apiVersion: v1\nmetadata: {name: a}\n", /error .*kind: the field kind is required/],
	["a text", "hello\n", /error .*must be an object/],
	["a name made by an API server", "apiVersion: v1\nkind: Pod\nmetadata: {generateName: a-}\nspec: {containers: []}\n", /error .*give metadata\.name/],
	["an unknown tag", "apiVersion: v1\nkind: Service\nmetadata: !thing {name: a}\nspec: {}\n", /error .*Unresolved tag/],
] as const) {
	test(`${title} is refused`, () => {
		const decoded = decodeYaml(text, "f.yaml");
		assert.deepEqual(decoded.objects, []);
		assert.match(decoded.diagnostics.map(formatDiagnostic).join("\n"), expected);
	});
}

test("a kind that the mesh does not read is accepted with a remark", () => {
	const decoded = decodeYaml("apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: a}\n", "f.yaml");
	assert.deepEqual(decoded.objects, []);
	assert.deepEqual(decoded.diagnostics.map(formatDiagnostic), [
		"f.yaml:2:7: info [WEFT-V004] Role a kind: the mesh does not read Role; it is accepted and ignored",
	]);
});

test("aliases cannot multiply a document without bound", () => {
	const levels = Array.from(
		{ length: 12 },
		(_, i) =>
			`l${i}: &a${i} [${
				i === 0
					? "x"
					: Array(10)
							.fill(`*a${i - 1}`)
							.join(", ")
			}]`,
	).join("\n");
	assert.match(lines(levels).join(), /WEFT-V005.*alias/i);
});

test("an alias to itself is refused", () => assert.match(lines("a: &a [*a]\n").join(), /error/));

test("nesting has a limit, however it is written", () => {
	assert.match(lines(`a: ${"[".repeat(70)}${"]".repeat(70)}`).join(), /^f\.yaml:1:\d+: error \[WEFT-V005\]: nested deeper than 64/);
	const deep = [
		"[".repeat(200_000),
		"{a: ".repeat(100_000),
		"- ".repeat(100_000),
		"? ".repeat(100_000),
		Array.from({ length: 3_000 }, (_, i) => `${" ".repeat(i)}a:\n`).join(""),
	];
	for (const text of deep) assert.match(lines(text).join(), /error \[WEFT-V005\]: nested deeper than 64/, text.slice(0, 10));
});

test("anchors and aliases have a limit; text that looks like them does not count", () => {
	assert.match(lines(Array.from({ length: 1_001 }, (_, i) => `k${i}: &a${i} x\n`).join("")).join(), /f\.yaml:1001:.*more than 1000 anchors/);
	assert.match(lines(`k: &a x\n${Array.from({ length: 101 }, (_, i) => `k${i}: *a\n`).join("")}`).join(), /f\.yaml:102:.*more than 100 uses/);
	const data = Array.from({ length: 2_000 }, (_, i) => `  k${i}: "*a &b [ {"\n`).join("");
	assert.deepEqual(lines(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${data}  block: |\n    &a\n    *b [[[\n`), []);
});

test("a map of many keys, and as many problems, is told in bounded time and number", { timeout: 8_000 }, () => {
	const many = Array.from({ length: 30_000 }, (_, i) => `  k${i}: 1\n`).join("");
	const said = lines(`apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata:\n${many}`);
	assert.equal(said.length, 101);
	assert.match(said.at(-1) ?? "", /error .*29900 more problems/);
});

test("a file has a size limit", () => assert.match(lines("#".repeat(fileBytesMax + 1)).join(), /WEFT-V005.*bytes/));

test("__proto__ is no key", () => {
	const text = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {"__proto__": x, constructor: y}\n';
	assert.match(lines(text).join(), /f\.yaml:4:8: error \[WEFT-V005\].*__proto__/);
	assert.equal(({} as Record<string, unknown>)["x"], undefined);
	const inherited = decodeYaml("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, labels: {constructor: c}}\ndata: {toString: y}\n", "f");
	assert.deepEqual(inherited.diagnostics, []);
});

test("any text gives diagnostics, never an exception", () => {
	const fragment = fc.oneof(
		fc.string(),
		fc.constantFrom(
			"apiVersion: v1\n",
			"kind: Service\n",
			"- ",
			"? ",
			": ",
			"&a ",
			"*a ",
			"!!binary ",
			"|\n ",
			"<<: *a\n",
			"---\n",
			"{",
			"}",
			"[",
			"]",
			"%YAML 9\n",
			"\t",
			"kind: List\nitems: ",
		),
	);
	fc.assert(
		fc.property(fc.array(fragment, { maxLength: 30 }), (parts) => {
			const decoded = decodeYaml(parts.join(""), "f.yaml");
			for (const d of decoded.diagnostics) assert.ok(d.file === "f.yaml" && (d.line ?? 1) >= 1 && (d.column ?? 1) >= 1);
			decodeMeshConfig(parts.join(""), "m.yaml");
		}),
		{ numRuns: 400 },
	);
});

test("a mesh config says what it does not know, with its line", () => {
	const { value, diagnostics } = decodeMeshConfig("trustDomain: a.b\naccessLog: /dev/stdout\n", "mesh.yaml");
	assert.equal(value.trustDomain, "a.b");
	assert.match(diagnostics.map(formatDiagnostic).join(), /^mesh\.yaml:2:1: warning .*accessLog: unknown field "accessLog"/);
	assert.deepEqual(decodeMeshConfig("", "mesh.yaml"), { value: {}, diagnostics: [] });
});
