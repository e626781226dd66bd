import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, suite, test } from "node:test";
import { parse, parseAllDocuments } from "yaml";

const directory = mkdtempSync(path.join(tmpdir(), "weft-inject-"));
after(() => rmSync(directory, { recursive: true }));
const main = path.resolve(import.meta.dirname, "../main.ts");

function file(name: string, text: string): string {
	const where = path.join(directory, name);
	writeFileSync(where, text);
	return where;
}

function weft(args: readonly string[], input = ""): { readonly status: number | null; readonly out: string; readonly err: string } {
	const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...args], { encoding: "utf8", input, timeout: 60_000 });
	return { status, out: stdout, err: stderr };
}

const service = "apiVersion: v1\nkind: Service\nmetadata: {name: web} # stays\nspec: {ports: [{port: 80}]}";
const deployment = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  selector:
    matchLabels:
      app: web
  template:
    metadata:
      labels:
        app: web
        on: "off"
    spec:
      containers:
      - name: app
        image: i
        readinessProbe:
          httpGet:
            port: 8080`;
const cronJob = `apiVersion: batch/v1
kind: CronJob
metadata:
  name: clean
spec:
  schedule: "@daily"
  jobTemplate:
    spec:
      template:
        spec:
          containers:
          - name: app`;

interface Template {
	readonly metadata: { readonly labels: Readonly<Record<string, string>> };
	readonly spec: {
		readonly containers: readonly { readonly name: string; readonly image?: string }[];
		readonly initContainers?: readonly { readonly name: string }[];
	};
}
interface Shown {
	readonly kind: string;
	readonly spec: {
		readonly template: Template;
		readonly jobTemplate: { readonly metadata: Template["metadata"]; readonly spec: { readonly template: Template } };
	};
}
const documentsOf = (text: string): readonly Shown[] => parseAllDocuments(text).flatMap((d) => (d.toJS() === null ? [] : [d.toJS() as Shown]));

suite("weft inject", () => {
	test("workloads get the proxy, other documents stay as they are written, in order", () => {
		const { status, out, err } = weft(["inject", "-f", file("all.yaml", `${service}\n---\n${deployment}\n---\n${cronJob}\n`)]);
		assert.equal(status, 0, err);
		assert.ok(out.startsWith(`${service}\n---\n`));
		const [, web, clean] = documentsOf(out);
		assert.deepEqual(
			web?.spec.template.spec.containers.map(({ name }) => name),
			["app", "istio-proxy"],
		);
		assert.equal(web?.spec.template.metadata.labels["on"], "off");
		assert.match(out, /"on": "off"/, "quoted for readers of YAML 1.1");
		const { metadata, spec } = clean?.spec.jobTemplate ?? assert.fail("no CronJob");
		assert.equal(metadata.labels["security.istio.io/tlsMode"], "istio");
		assert.deepEqual(spec.template.metadata, metadata);
	});

	test("Lists and JSON; a second injection and uninject", () => {
		const list = file("list.yaml", `apiVersion: v1\nkind: List\nitems:\n${deployment.replace(/^/gm, "  ").replace("  apiVersion", "- apiVersion")}\n`);
		const injected = weft(["inject", "-f", list, "-o", "json"]);
		assert.equal(injected.status, 0, injected.err);
		assert.equal(weft(["inject", "-f", "-", "-o", "json"], injected.out).out, injected.out);
		const back = weft(["uninject", "-f", "-"], injected.out);
		assert.deepEqual(parse(back.out.replace("---\n", "")), parse(readFileSync(list, "utf8")));
	});

	test("values, mesh config and revision as the cluster's ConfigMaps hold them", () => {
		const { status, out, err } = weft([
			...["inject", "-f", file("web.yaml", deployment), "--native-sidecars", "-r", "canary"],
			...["--valuesFile", file("values.json", '{"global":{"hub":"r.example/m","tag":"9"}}')],
			...["--meshConfigFile", file("mesh.yaml", "defaultConfig:\n  holdApplicationUntilProxyStarts: true\n  concurrency: 3\n")],
			...["--injectConfigFile", file("config.yaml", "policy: enabled\n")],
		]);
		assert.equal(status, 0, err);
		assert.equal(err, "");
		const [web] = documentsOf(out);
		assert.deepEqual(
			web?.spec.template.spec.initContainers?.map(({ name }) => name),
			["istio-init", "istio-proxy"],
		);
		assert.match(out, /image: r\.example\/m\/proxy:9/);
		assert.match(out, /\{"concurrency":3,"holdApplicationUntilProxyStarts":true\}/);
		assert.match(out, /value: istiod-canary\.istio-system\.svc:15012/);
	});

	test("an output file", () => {
		const target = path.join(directory, "out.yaml");
		assert.equal(weft(["inject", "-f", file("web.yaml", deployment), "-o", target]).status, 0);
		assert.match(readFileSync(target, "utf8"), /name: istio-proxy/);
	});

	test("what is skipped is told, and stays as it is", () => {
		const text = deployment.replace("    spec:\n      containers", "    spec:\n      hostNetwork: true\n      containers");
		const where = file("host.yaml", text);
		const { status, out, err } = weft(["inject", "-f", where]);
		assert.deepEqual([status, out], [0, `${text}\n---\n`]);
		assert.equal(err, `${where}:10:5: skipped Deployment "web": the pod has host networking enabled\n`);
	});

	for (const [name, text, message] of [
		[
			"an invalid annotation",
			deployment.replace("      labels:", "      annotations:\n        sidecar.istio.io/interceptionMode: X\n      labels:"),
			/:15:5: error Deployment "web": failed to run injection template: 1 error occurred:\n\t\* invalid value 'X'/,
		],
		[
			"a template without containers",
			"apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\nspec: {template: {spec: {}}}",
			/:9:18: error DaemonSet "d": spec.containers: expected a list/,
		],
		["malformed YAML", "a: [", /:\d+:\d+: error \[WEFT-V001\]: malformed YAML/],
	] as const) {
		test(`${name}: an error with its line, and nothing is written`, () => {
			const { status, out, err } = weft(["inject", "-f", file("bad.yaml", `${service}\n---\n${text}`)]);
			assert.deepEqual([status, out], [1, ""]);
			assert.match(err, message);
		});
	}

	test("settings that cannot be followed are refused with their file", () => {
		const values = file("values.yaml", "global: {nativeNftables: true}");
		const { status, err } = weft(["inject", "-f", file("web.yaml", deployment), "--valuesFile", values]);
		assert.equal(status, 1);
		assert.ok(err.includes(`${values}: error [WEFT-V003] global.nativeNftables: not implemented`), err);
	});
});
