import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { suite, test } from "node:test";
import { parse } from "yaml";
import { isJsonObject, type Json, type JsonObject } from "./json.ts";
import { injectObject, uninjectObject } from "./offline.ts";
import { decodeInjectorSettings } from "./settings/settings.ts";

// What a real injection makes of a workload; the corpus's README says what must agree, all else is the product's own.

const corpus = path.resolve(import.meta.dirname, "../../../../shared/golden/inject");
const ownCases = path.resolve(import.meta.dirname, "../testdata/inject");
const present = existsSync(corpus);

const values = { global: { hub: "example.com/mesh", tag: "test", proxy: { image: "proxyv2" }, proxy_init: { image: "proxyv2" } } };
const { value: settings, diagnostics } = decodeInjectorSettings({ valuesJson: JSON.stringify(values), configYaml: "", meshConfig: {}, revision: "default" });

const casesIn = (folder: string) => readdirSync(folder).flatMap((name) => (existsSync(path.join(folder, name, "in.yaml")) ? [path.join(folder, name)] : []));
const read = (folder: string, file: string): string => readFileSync(path.join(folder, file), "utf8");
const inject = (object: JsonObject) => injectObject(object, settings, { namespace: "default", hasNativeSidecars: false });

suite("injection equals Istio's, in the recorded corpus", { skip: present ? false : "the golden corpus is not beside the repository" }, () => {
	for (const folder of present ? casesIn(corpus) : []) test(path.basename(folder), () => compare(folder));
});

suite("injection equals Istio's, in cases of our own", () => {
	for (const folder of casesIn(ownCases)) test(path.basename(folder), () => compare(folder));
});

function compare(folder: string): void {
	assert.deepEqual(diagnostics, []);
	const input = parse(read(folder, "in.yaml")) as JsonObject;
	const { object, notices } = inject(input);
	if (existsSync(path.join(folder, "error.txt"))) {
		const expected = read(folder, "error.txt").split("Error: ").at(-1)?.trim();
		assert.equal(notices.find(({ kind }) => kind === "error")?.message.trim(), expected);
		return;
	}
	assert.deepEqual(
		notices.filter(({ kind }) => kind === "error"),
		[],
	);
	const expected = parse(read(folder, "out.yaml").replace(/^---$/m, "")) as JsonObject;
	assert.deepEqual(comparable(templateOf(object)), comparable(templateOf(expected)));
	assert.deepEqual(inject(object).object, object, "a second injection changes nothing");
	if (object !== input) assert.deepEqual(templateOf(uninjectObject(object).object), templateOf(input), "uninject gives back what was there");
}

const templateOf = (object: JsonObject): JsonObject => ((object["spec"] as JsonObject)["template"] ?? object) as JsonObject;

/** The parts that must agree, empty fields left out; commands of the proxy's hooks are its own. */
function comparable(template: JsonObject): unknown {
	return withoutEmpty(template, "");
}

function withoutEmpty(value: Json | undefined, at: string): unknown {
	if (Array.isArray(value)) return value.map((item, i) => withoutEmpty(item, `${at}[${i}]`));
	if (!isJsonObject(value))
		return at.endsWith(".annotations.sidecar.istio.io/status") || at.endsWith("overrides") ? (JSON.parse(String(value)) as unknown) : value;
	const isProxy = value["name"] === "istio-proxy";
	const entries = Object.entries(value).map(([key, child]) => [key, isProxy && key === "lifecycle" ? "own" : withoutEmpty(child, `${at}.${key}`)] as const);
	return Object.fromEntries(entries.filter(([key, child]) => !(key === "resources" && isJsonObject(child) && Object.keys(child).length === 0)));
}
