import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { resolveKind } from "@weft/api";
import { resourceOf } from "@weft/kube";
import { startFakeApiServer } from "@weft/kube/testing";
import { parseAllDocuments } from "yaml";
import { objectsOfCluster } from "./cluster-objects.ts";
import { findingsOf } from "./findings.ts";
import { messagesOf } from "./messages.ts";
import { objectsOfFiles } from "./objects.ts";

const golden = path.resolve(import.meta.dirname, "../../../../../shared/golden/analyze");
const skip = existsSync(golden) ? false : "the corpus of istioctl analyze's answers is not there (shared/golden/analyze beside the checkout)";
const ownCases = path.resolve(import.meta.dirname, "../../../galley/testdata/analysis");
const main = path.resolve(import.meta.dirname, "../main.ts");

interface Told {
	readonly code: string;
	readonly level: string;
	readonly origin: string;
}
interface Expected {
	readonly offline: readonly Told[];
	readonly live: readonly Told[];
}

/** What does not fit the schema is refused, so nothing more is said of it: IST0127 of an object that has IST0106. */
const notSaid: Readonly<Record<string, string>> = { "schema-ap-provider": "IST0127" };

const briefly = (told: readonly Told[]) => told.map(({ code, level, origin }) => `${level} [${code}] ${origin.trim()}`).sort();
const casesIn = (folder: string) => readdirSync(folder).filter((name) => !name.includes("."));
const expectedOf = (folder: string, name: string) => JSON.parse(readFileSync(path.join(folder, name, "expected.json"), "utf8")) as Expected;
const cases = skip === false ? casesIn(golden) : [];

test("the corpus is there as a whole", { skip }, () => {
	assert.ok(cases.length >= 27, `${cases.length} cases`);
	assert.deepEqual(
		Object.keys(notSaid).filter((name) => !cases.includes(name)),
		[],
	);
});

function weftAnalyze(...args: readonly string[]): Promise<string> {
	return new Promise((done, reject) => {
		execFile(process.execPath, [main, "analyze", ...args], { timeout: 60_000 }, (error, stdout, stderr) => {
			if (error && error.code !== 79) reject(new Error(stderr, { cause: error }));
			else done(stdout);
		});
	});
}

for (const name of cases) {
	test(`istioctl analyze --use-kube=false, ${name}: same codes, levels and objects`, async () => {
		const said = JSON.parse(await weftAnalyze("--use-kube=false", "-A", "-o", "json", path.join(golden, name, "config.yaml"))) as readonly Told[];
		assert.deepEqual(briefly(said), briefly(expectedOf(golden, name).offline));
	});
}

interface Written {
	readonly apiVersion: string;
	readonly kind: string;
	readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** The objects of a case, and the namespaces of the cluster in which the answers were recorded. */
function objectsOf(text: string): readonly Written[] {
	const written = parseAllDocuments(text).map((document) => document.toJS() as Written | null);
	const objects = written.filter((object) => object !== null);
	const isThere = (name: string) => objects.some(({ kind, metadata }) => kind === "Namespace" && metadata.name === name);
	const namespaces = ["default", "foo", "istio-system"].filter((name) => !isThere(name));
	const labelsOf = (name: string) => (name === "istio-system" ? {} : { labels: { "istio-injection": "enabled" } });
	return [...objects, ...namespaces.map((name) => ({ apiVersion: "v1", kind: "Namespace", metadata: { name, ...labelsOf(name) } }))];
}

async function liveMessages(text: string): Promise<readonly Told[]> {
	const api = await startFakeApiServer();
	try {
		for (const object of objectsOf(text)) {
			const kind = resolveKind(object.apiVersion, object.kind);
			assert.ok(kind, object.kind);
			const type = resourceOf(kind);
			// A real one gives each object in every version.
			api.put(type, { ...object, metadata: type.namespaced ? { namespace: "default", ...object.metadata } : object.metadata });
		}
		const mesh = await objectsOfCluster(api.client, { revision: "default", istioNamespace: "istio-system", signal: AbortSignal.timeout(60_000) });
		const { meshConfig } = mesh;
		return messagesOf(findingsOf({ files: objectsOfFiles([], "default"), mesh, meshConfig }), { suppressions: [] });
	} finally {
		api.close();
	}
}

for (const [folder, names] of [
	[golden, cases],
	[ownCases, casesIn(ownCases)],
] as const) {
	for (const name of names) {
		test(`istioctl analyze of a cluster, ${name}: same codes, levels and objects`, async () => {
			const said = await liveMessages(readFileSync(path.join(folder, name, "config.yaml"), "utf8"));
			const expected = expectedOf(folder, name).live.filter(({ code }) => code !== notSaid[name]);
			assert.deepEqual(briefly(said), briefly(expected));
		});
	}
}
