import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, afterEach, beforeEach, suite, test } from "node:test";
import { type KubeObject, resourceOf, resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer } from "@weft/kube/testing";
import { parse } from "yaml";

const directory = mkdtempSync(path.join(tmpdir(), "weft-analyze-"));
after(() => rmSync(directory, { recursive: true }));
const main = path.resolve(import.meta.dirname, "../main.ts");

function file(name: string, text: string): string {
	const where = path.join(directory, name);
	mkdirSync(path.dirname(where), { recursive: true });
	writeFileSync(where, text);
	return where;
}

interface Finished {
	readonly status: unknown;
	readonly out: string;
	readonly err: string;
}

/** Neither a cluster nor a mesh of whoever runs the tests is seen. */
const nowhere = { PATH: process.env["PATH"], HOME: directory, WEFT_STATE_DIR: path.join(directory, "no-mesh") };

function run(args: readonly string[], input = ""): Promise<Finished> {
	return new Promise((done) => {
		const child = execFile(process.execPath, args, { env: nowhere, cwd: directory, timeout: 60_000 }, (error, out, err) =>
			done({ status: error ? error.code : 0, out, err }),
		);
		child.stdin?.end(input);
	});
}

const analyze = (...args: readonly string[]) => run([main, "analyze", ...args]);
const offline = (...args: readonly string[]) => analyze("--use-kube=false", ...args);

const virtualService = (name: string, spec: string, rest = "") =>
	`apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: ${name}${rest}}\nspec: ${spec}\n`;
const route = "http: [{route: [{destination: {host: web}}]}]";
const clean = virtualService("clean", `{hosts: [web], ${route}}`);
const ghost = virtualService("v", `{hosts: [a.com], gateways: [ghost], ${route}}`);
const seeMore = "See https://istio.io/v1.30/docs/reference/config/analysis for more information about causes and resolutions.\n";

suite("weft analyze of files alone", () => {
	test("findings one a line, from the gravest on; status 79 and where to read on", async () => {
		const { status, out, err } = await offline(file("ghost.yaml", ghost));
		assert.equal(status, 79);
		const at = `VirtualService default/v ${path.join(directory, "ghost.yaml")}:4`;
		assert.match(
			out,
			new RegExp(
				String.raw`^Error \[IST0101\] \(${at}\) Referenced gateway not found: "ghost".*\nWarning \[IST0132\] \(${at}\) one or more host \[a\.com\].*\n$`,
			),
		);
		assert.equal(err, `Error: Analyzers found issues when analyzing namespace: default.\n${seeMore}`);
	});

	test("the same as JSON and YAML, with the same status", async () => {
		const json = await offline("-o", "json", "-A", file("ghost.yaml", ghost));
		const yaml = await offline("-o", "YAML", "-A", file("ghost.yaml", ghost));
		assert.deepEqual([json.status, yaml.status], [79, 79]);
		assert.ok(json.out.startsWith('[\n\t{\n\t\t"code": "IST0101",\n\t\t"documentationUrl": '));
		const messages = JSON.parse(json.out) as readonly object[];
		assert.deepEqual(parse(yaml.out), messages);
		assert.deepEqual(
			messages.map((message) => Object.keys(message)),
			Array.from({ length: 2 }, () => ["code", "documentationUrl", "level", "message", "origin", "reference"]),
		);
		assert.equal(json.err, `Error: Analyzers found issues when analyzing all namespaces.\n${seeMore}`);
	});

	test("nothing found is said with what was looked at", async () => {
		const one = file("clean.yaml", clean);
		const other = file("other.yml", "");
		assert.deepEqual(await offline(one), { status: 0, out: "\n", err: `\u2714 No validation issues found when analyzing ${one}.\n` });
		assert.deepEqual(await offline(one, other, "-o", "json"), {
			status: 0,
			out: "[]\n",
			err: `\u2714 No validation issues found when analyzing:\n  - ${one}\n  - ${other}\n`,
		});
		assert.equal((await offline("-A")).err, "\u2714 No validation issues found when analyzing all namespaces.\n");
		const piped = await run([main, "analyze", "-k=false", "-"], clean);
		assert.deepEqual([piped.status, piped.err], [0, "\u2714 No validation issues found when analyzing -.\n"]);
	});

	test("thresholds: what is shown and what fails are two things", async () => {
		const late = file(
			"late.yaml",
			virtualService("v", `{hosts: [a.com], http: [{route: [{destination: {host: web}}]}, {name: late, route: [{destination: {host: web}}]}]}`),
		);
		const shown = await offline(late);
		assert.deepEqual([shown.status, shown.err], [0, ""]);
		assert.match(shown.out, /^Warning \[IST0130\]/);
		const hidden = await offline("--output-threshold", "error", "--failure-threshold", "WARNING", late);
		assert.deepEqual([hidden.status, hidden.out], [79, "\n"]);
		assert.match(hidden.err, /^\u2714 No validation issues found[^]*^Error: Analyzers found issues/m);
		assert.equal((await offline("--failure-threshold", "Info", late)).status, 79);
	});

	test("-S leaves findings out, in both ways to write an object", async () => {
		const where = file("ghost.yaml", ghost);
		const dotted = await offline(where, "-S", "IST0101=VirtualService *.default");
		assert.deepEqual([dotted.status, dotted.out.includes("IST0101"), dotted.out.includes("IST0132")], [0, false, true]);
		assert.equal((await offline(where, "-S", "IST0101=VirtualService default/v", "--suppress", "IST0132=*")).out, "\n");
		assert.match((await offline(where, "-S", "IST9999=*")).err, /^Warning: Supplied message code 'IST9999' is an unknown/);
		const broken = await offline(where, "-S", "IST0101");
		assert.deepEqual([broken.status, broken.out], [1, ""]);
		assert.match(broken.err, /IST0101 is not a valid suppression value/);
	});

	test("one namespace: objects that name none are in it, those of others are looked at and not told of", async () => {
		const both = file("both.yaml", `${ghost}---\n${virtualService("w", `{hosts: [a.com], gateways: [ghost], ${route}}`, ", namespace: other")}`);
		const origins = async (...args: readonly string[]) => {
			const messages = JSON.parse((await offline("-o", "json", ...args, both)).out) as readonly { readonly origin: string }[];
			return [...new Set(messages.map(({ origin }) => origin))];
		};
		assert.deepEqual(await origins(), ["VirtualService default/v"]);
		assert.deepEqual(await origins("-n", "other"), ["VirtualService other/v", "VirtualService other/w"]);
		assert.deepEqual(await origins("-A"), ["VirtualService default/v", "VirtualService other/w"]);
		assert.deepEqual(await origins("-n", "shop"), ["VirtualService shop/v"]);
	});

	test("a file that cannot be parsed: status 65, unless that is to be ignored", async () => {
		const broken = file("broken.yaml", "x: [\n---\n");
		const { status, err } = await offline(broken);
		assert.equal(status, 65);
		assert.match(
			err,
			/^Error\(s\) adding files:\n\t\* .*broken\.yaml:\d[^]*^No validation issues found when analyzing namespace: default \(but 1 file could not be parsed\)\.\nError: Some files couldn't be parsed\.\n$/m,
		);
		assert.equal((await offline("--ignore-unknown", broken)).status, 0);
		assert.equal((await offline(broken, file("ghost.yaml", ghost))).status, 79);
		assert.equal((await offline(file("answers.json", '{"a": []}'))).status, 65);
	});

	test("kinds that nobody knows are told of, those of others with -v", async () => {
		const where = file(
			"kinds.yaml",
			"apiVersion: networking.istio.io/v1\nkind: VirtualServce\nmetadata: {name: v}\n---\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: c}\n",
		);
		const plain = await offline(where);
		assert.equal(plain.status, 0);
		assert.match(plain.err, /^Not analyzed: .*kinds\.yaml:2:7: .*did you mean VirtualService\?$/m);
		assert.doesNotMatch(plain.err, /CronJob/);
		assert.match((await offline("-v", where)).err, /^Not analyzed: .*CronJob/m);
		assert.doesNotMatch((await offline("--ignore-unknown", where)).err, /Not analyzed/);
	});

	test("what is wrong with an object is an error under its code, and Kubernetes' own objects are a cluster's business", async () => {
		const text = `${virtualService("v", "{hosts: [a.com], timeuot: 1s}")}---\napiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: 3}\n---\n${virtualService("own", "{}", ", namespace: kube-system")}`;
		const { status, out } = await offline("-A", file("schema.yaml", text));
		assert.equal(status, 79);
		assert.match(out, /^Error \[IST0106\] \(VirtualService default\/v .*schema\.yaml:4\) Schema validation error: spec\.timeuot: unknown field/m);
		assert.doesNotMatch(out, /Service default\/s|kube-system/);
	});

	test("folders are read with what is below them, files of other kinds are skipped", async () => {
		file("folder/below/ghost.yml", ghost);
		file("folder/notes.md", "notes");
		assert.equal((await offline(path.join(directory, "folder"))).status, 79);
		const notes = file("notes.md", "notes");
		const { status, err } = await offline(notes, "-R");
		assert.equal(status, 0);
		assert.match(err, /^-R says nothing/m);
		assert.match(err, /^Skipping file .*notes\.md, recognized file extensions are: \[\.json \.yaml \.yml\]$/m);
	});

	test("statuses of a wrong command line", async () => {
		for (const args of [["--bogus"], ["-o", "table"], ["--failure-threshold", "grave"], ["--color=maybe"], ["--analyzer", "x"], ["--remote-contexts", "x"]]) {
			assert.equal((await offline(...args)).status, 64, args.join(" "));
		}
		const missing = await offline("missing.yaml");
		assert.deepEqual([missing.status, missing.err], [1, "error: missing.yaml: no such file or directory\n"]);
		assert.equal((await analyze("--help")).status, 0);
	});

	test("colors where they are asked for", async () => {
		const where = file("ghost.yaml", ghost);
		const { out } = await offline("--color", where);
		assert.ok(out.startsWith("\u001b[1;31mError\u001b[0m [IST0101]"));
		assert.ok(out.includes("\n\u001b[33mWarning\u001b[0m [IST0132]"));
		assert.ok(!(await offline("--color=false", where)).out.includes("\u001b"));
	});

	test("-L lists what is looked for, -v what was and was not", async () => {
		const { out } = await analyze("-L");
		const names = [...out.matchAll(/^\* (.*):\n {4}\S/gm)].map(([, name = ""]) => name);
		assert.deepEqual(names, names.toSorted());
		for (const name of ["virtualservice.GatewayAnalyzer", "schema.ValidationAnalyzer.Gateway", "injection.Analyzer"]) assert.ok(names.includes(name), name);
		const { err } = await offline("-v");
		const [skipped = "", executed = ""] = err.slice(err.indexOf("Skipped analyzers:")).split("Executed analyzers:");
		assert.ok(skipped.includes("\tinjection.Analyzer\n") && !executed.includes("\tinjection.Analyzer\n"));
		assert.ok(executed.includes("\tvirtualservice.GatewayAnalyzer\n") && !skipped.includes("\tvirtualservice.GatewayAnalyzer\n"));
	});

	test("the mesh configuration says whether access logging has a provider", async () => {
		const telemetry = file("telemetry.yaml", "apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: {name: t}\nspec: {accessLogging: [{}]}\n");
		assert.match((await offline(telemetry)).out, /^Warning \[IST0157\] \(Telemetry default\/t .*telemetry\.yaml:4\)/);
		const mesh = file("mesh-config.yaml", "defaultProviders: {accessLogging: [envoy]}\n");
		assert.equal((await offline("--meshConfigFile", mesh, telemetry)).out, "\n");
		assert.equal((await offline("--meshConfigFile", file("bad-mesh.yaml", "defaultProviders: 3\n"), telemetry)).status, 1);
	});

	test("no Kubernetes client is loaded", async () => {
		const refuse = `import { registerHooks } from "node:module"; registerHooks({ resolve(name, context, next) { if (/^@weft\\/kube$|^@kubernetes\\//.test(name)) throw new Error("loaded " + name); return next(name, context); } });`;
		const withRefusal = (...args: readonly string[]) => run(["--import", `data:text/javascript,${encodeURIComponent(refuse)}`, main, "analyze", ...args]);
		assert.equal((await withRefusal("--use-kube=false", file("clean.yaml", clean))).status, 0);
		assert.match((await withRefusal()).err, /loaded @weft\/kube/);
	});
});

suite("weft analyze of a cluster", () => {
	let api: FakeApiServer;
	let kubeconfig: string;

	beforeEach(async () => {
		api = await startFakeApiServer();
		const cluster = { server: api.connection.server.href, "insecure-skip-tls-verify": true };
		const text = JSON.stringify({
			apiVersion: "v1",
			kind: "Config",
			clusters: [{ name: "c", cluster }],
			users: [{ name: "u", user: { token: "test" } }],
			contexts: [{ name: "here", context: { cluster: "c", user: "u", namespace: "shop" } }],
			"current-context": "here",
		});
		kubeconfig = file("kubeconfig.json", text);
		for (const name of ["shop", "other", "istio-system"]) {
			api.put(resourceOf("Namespace"), { metadata: { name, labels: { "istio-injection": "enabled" } } });
		}
	});
	afterEach(() => api.close());

	const live = (...args: readonly string[]) => analyze("--kubeconfig", kubeconfig, ...args);
	const spec = (host: string) => ({ hosts: [host], http: [{ route: [{ destination: { host } }] }] });
	const put = (name: string, namespace: string, content: object, labels: Readonly<Record<string, string>> = {}): KubeObject =>
		api.put(resourceOf("VirtualService"), { metadata: { name, namespace, labels }, spec: content });
	const service = { spec: { selector: { app: "web" }, ports: [{ name: "http", port: 80 }] } };

	test("its objects are judged by each other, in the namespace of the context", async () => {
		put("gone", "shop", spec("gone"));
		put("gone", "other", spec("gone"));
		api.put(resourceOf("Service"), { metadata: { name: "web", namespace: "shop" }, ...service });
		put("web", "shop", spec("web"));
		const { status, out, err } = await live();
		assert.equal(status, 79);
		assert.match(out, /^Error \[IST0101\] \(VirtualService shop\/gone\) Referenced host not found: "gone".*\n$/);
		assert.match(err, /^Error: Analyzers found issues when analyzing namespace: shop\.$/m);
		assert.deepEqual((await live("-A", "-o", "json")).out.match(/VirtualService \w+\/gone/g), ["VirtualService other/gone", "VirtualService shop/gone"]);
	});

	test("files stand over what it holds", async () => {
		put("gone", "shop", spec("gone"));
		const added = file("service.yaml", `apiVersion: v1\nkind: Service\nmetadata: {name: gone}\nspec: {ports: [{name: http, port: 80}]}\n`);
		assert.deepEqual(await live(added), { status: 0, out: "\n", err: `\u2714 No validation issues found when analyzing ${added}.\n` });
		const changed = file("changed.yaml", virtualService("gone", `{hosts: [a.com], gateways: [ghost], ${route}}`));
		const { out } = await live(changed);
		assert.match(out, /IST0101\] \(VirtualService shop\/gone .*changed\.yaml:4\) Referenced gateway/);
		assert.doesNotMatch(out, /"gone"/);
	});

	test("configuration for another revision is left out", async () => {
		put("gone", "shop", spec("gone"), { "istio.io/rev": "canary" });
		assert.equal((await live()).status, 0);
		assert.equal((await live("-r", "canary")).status, 79);
	});

	test("an object that got past validation is told of, what the mesh does not read of a pod is not", async () => {
		put("bad", "shop", { ...spec("a"), timeuot: "1s" });
		const containers = [{ name: "web", image: "i", terminationMessagePath: "/t" }];
		api.put(resourceOf("Pod"), {
			metadata: { name: "web", namespace: "shop" },
			spec: { containers, volumes: [{ name: "v" }] },
			status: { phase: "Running", qosClass: "q" },
		});
		const { out } = await live();
		assert.match(
			out,
			/^Error \[IST0106\] \(VirtualService shop\/bad\) Schema validation error: spec\.timeuot: .*\nWarning \[IST0103\] \(Pod shop\/web\) .*\n$/,
		);
	});

	test("its mesh configuration counts", async () => {
		api.put(resourceOf("Telemetry"), { metadata: { name: "t", namespace: "shop" }, spec: { accessLogging: [{}] } });
		assert.match((await live()).out, /^Warning \[IST0157\] \(Telemetry shop\/t\)/);
		const mesh = (text: string) => api.put(resources.configMaps, { metadata: { name: "istio", namespace: "istio-system" }, data: { mesh: text } });
		mesh("defaultProviders: {accessLogging: [envoy]}");
		assert.equal((await live()).out, "\n");
		mesh("defaultProviders: 3");
		assert.match((await live()).err, /ConfigMap istio-system\/istio.*defaultProviders/);
	});

	test("what it does not tell is an error, not a finding", async () => {
		const unknown = await live("-n", "gone");
		assert.deepEqual([unknown.status, unknown.out], [1, ""]);
		assert.match(unknown.err, /^error: namespace "gone" not found/);
		api.forbidden.add("secrets");
		const forbidden = await live();
		assert.deepEqual([forbidden.status, forbidden.out], [1, ""]);
		assert.match(forbidden.err, /^error: the cluster cannot be analyzed: .*secrets is forbidden; files alone can: --use-kube=false$/m);
		api.away = true;
		assert.match((await live()).err, /^error: the cluster cannot be analyzed: /);
		assert.match((await analyze()).err, /^error: kubeconfig: no cluster is configured/);
		assert.match((await live("--context", "there")).err, /^error: kubeconfig: .*there is no context "there"/);
		assert.equal((await live("--timeout", "soon")).status, 64);
	});
});

test("weft analyze of a mesh on this machine: what was applied, with files over it", async () => {
	const state = path.join(directory, "mesh");
	file("mesh/mesh.json", JSON.stringify({ pid: process.pid, status: "running" }));
	file("mesh/config/runtime/pods.yaml", "");
	file("mesh/config/applied/namespace.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n");
	const applied = file("mesh/config/applied/v.yaml", virtualService("v", "{hosts: [web], http: [{route: [{destination: {host: web}}]}]}"));
	const { status, out } = await analyze("--state-dir", state);
	assert.equal(status, 79);
	assert.match(out, new RegExp(String.raw`^Error \[IST0101\] \(VirtualService default/v ${applied}:4\) Referenced host not found: "web".*\n$`));
	const service = file("web.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {ports: [{name: http, port: 80}]}\n");
	assert.deepEqual(await analyze("--state-dir", state, service), {
		status: 0,
		out: "\n",
		err: `\u2714 No validation issues found when analyzing ${service}.\n`,
	});
});
