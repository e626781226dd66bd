import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import type { AnyConfig } from "@weft/api";
import { createStore, decodeMeshConfig, decodeMeshNetworks, decodeYaml } from "@weft/galley";
import { buildPush } from "../src/model/build-push.ts";
import { decodeNode, type XdsNode } from "../src/model/node.ts";
import type { ProxyNode } from "../src/model/proxy-node.ts";
import type { PushSnapshot } from "../src/model/push.ts";
import { translateAll } from "../src/translator/offline.ts";

/** The corpus lies beside the repository; it is no part of it. */
export const corpus = path.resolve(import.meta.dirname, "../../../../shared/golden/istiod");

/** Our own cases in the same form, over the same mesh, recorded by scripts/istiod/record.py. */
const ownCorpus = path.resolve(import.meta.dirname, "../testdata/istiod");

const folders = (parent: string): readonly string[] =>
	readdirSync(parent, { withFileTypes: true })
		.filter((entry) => entry.isDirectory())
		.map(({ name }) => name)
		.sort();

export const listFamilies = (): readonly string[] => [...new Set([corpus, ownCorpus].flatMap(folders))];

/** Of all cases, of families, or of cases by name: `family/case`. */
export function listCases(names?: readonly string[]): readonly string[] {
	const all = [corpus, ownCorpus].flatMap((root) => folders(root).flatMap((family) => folders(path.join(root, family)).map((name) => `${family}/${name}`)));
	return names === undefined ? all : names.flatMap((name) => all.filter((found) => found === name || found.startsWith(`${name}/`)));
}

function folderOf(name: string): string {
	const own = path.join(ownCorpus, name);
	return existsSync(own) ? own : path.join(corpus, name);
}

export interface Difference {
	readonly case: string;
	readonly kind: string;
	readonly resource: string;
	readonly path: string;
	readonly expected: unknown;
	readonly got: unknown;
}

const read = (file: string): string => readFileSync(file, "utf8");

function firstExisting(...files: readonly string[]): string {
	return files.find((file) => existsSync(file)) ?? (files[0] as string);
}

let baseObjects: readonly AnyConfig[] | undefined;

/** The mesh that every case starts from; read once. */
function decodeBase(): readonly AnyConfig[] {
	baseObjects ??= decodeYaml(read(path.join(corpus, "base.yaml")), "base.yaml").objects.map(dated);
	return baseObjects;
}

/** In the corpus objects without a date are all of this one. */
function dated<T extends AnyConfig>(object: T): T {
	return { ...object, metadata: { creationTimestamp: "2026-01-01T00:00:00Z", ...object.metadata } };
}

/** The mesh of a case and the node it is about. `metadata` replaces single entries of the node's. */
export function loadCase(name: string, metadata: Readonly<Record<string, unknown>> = {}): { readonly push: PushSnapshot; readonly node: ProxyNode } {
	const folder = folderOf(name);
	const { value: meshConfig } = decodeMeshConfig(read(firstExisting(path.join(folder, "mesh.yaml"), path.join(corpus, "mesh.yaml"))), "mesh.yaml");
	const config = path.join(folder, "config.yaml");
	const own = existsSync(config) ? decodeYaml(read(config), `${name}/config.yaml`) : { objects: [], diagnostics: [] };
	const store = createStore({ sources: ["case", "base"] });
	store.replaceSource("base", decodeBase());
	store.replaceSource("case", own.objects.map(dated));
	const networks = path.join(folder, "meshNetworks.yaml");
	const { value: meshNetworks } = decodeMeshNetworks(existsSync(networks) ? read(networks) : "", "meshNetworks.yaml");
	const push = buildPush({ snapshot: store.snapshot(), meshConfig, meshNetworks, clusterId: "Kubernetes" });
	const { node } = JSON.parse(read(path.join(folder, "proxy.json"))) as { node: XdsNode };
	return { push, node: decodeNode({ ...node, metadata: { ...node.metadata, ...metadata } }, push) };
}

/** Translates one case offline and writes `{cds,eds,lds,rds,ecds}.json` into `out`. */
export function translateCase(name: string, out: string): void {
	const { push, node } = loadCase(name);
	mkdirSync(out, { recursive: true });
	for (const [kind, list] of Object.entries(translateAll(push, node))) writeFileSync(path.join(out, `${kind}.json`), JSON.stringify(list));
}

const comparison = `
import json, os, sys
sys.path.insert(0, sys.argv[1])
from compare import compare, MISSING
plain = lambda v: None if v is MISSING else v
request = json.load(sys.stdin)
found = []
for case in request["cases"]:
    for kind, name, where, expected, got in compare(case["folder"], os.path.join(request["out"], case["name"]), kinds=request["kinds"]):
        found.append({"case": case["name"], "kind": kind, "resource": name, "path": where, "expected": plain(expected), "got": plain(got)})
json.dump(found, sys.stdout)
`;

/** Differences of all cases, in one run of the corpus's own comparison. */
export function compareCases(cases: readonly string[], out: string, kinds: readonly string[]): readonly Difference[] {
	const result = spawnSync("python3", ["-B", "-c", comparison, corpus], {
		input: JSON.stringify({ cases: cases.map((name) => ({ name, folder: folderOf(name) })), out, kinds }),
		encoding: "utf8",
		maxBuffer: 1 << 30,
		timeout: 600_000,
	});
	if (result.status !== 0) throw new Error(`comparison failed: ${result.stderr || String(result.error)}`);
	return JSON.parse(result.stdout) as readonly Difference[];
}
