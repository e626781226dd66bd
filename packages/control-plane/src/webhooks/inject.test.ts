import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, test } from "node:test";
import type { MeshConfig } from "@weft/api";
import { createStore, decodeYaml, type Store } from "@weft/galley";
import { resources } from "@weft/kube";
import { type FakeApiServer, startFakeApiServer, until } from "@weft/kube/testing";
import { createLogger, systemClock } from "@weft/runtime";
import { Registry } from "prom-client";
import { createInjectHandler, everyKubeletCan, type InjectHandler, type InjectionFacts, type Injector } from "./inject.ts";

interface Settings {
	readonly values: string;
	readonly mesh: MeshConfig;
}

const problem = { severity: "error", code: "X", message: "no", path: "" } as const;

/** Tells what it was given. */
const injector: Injector<Settings> = {
	decodeInjectorSettings: ({ valuesJson, meshConfig }) => ({
		value: { values: valuesJson, mesh: meshConfig },
		diagnostics: valuesJson === "broken" ? [problem] : [],
	}),
	reviewInjection({ body, path }, { values, mesh }, facts) {
		const outcome = body === "bad" ? { kind: "refused", message: "bad" } : { kind: body === "skip" ? "skipped" : "injected", reason: "asked" };
		return {
			status: body === "bad" ? 400 : 200,
			body: JSON.stringify({ path, values, trustDomain: mesh.trustDomain, ...facts.factsOf("default") }),
			outcome,
			subject: "default/web",
		};
	},
};

let api: FakeApiServer;
let stop: AbortController;
let store: Store;
let mesh: MeshConfig;
let registry: Registry;
let handler: InjectHandler<Settings>;
const lines: string[] = [];

const nodes = (...versions: readonly string[]) =>
	decodeYaml(
		versions.map((version, i) => `apiVersion: v1\nkind: Node\nmetadata: {name: n${i}}\nstatus: {nodeInfo: {kubeletVersion: "${version}"}}\n`).join("---\n"),
		"nodes",
	).objects;

beforeEach(async () => {
	api = await startFakeApiServer();
	stop = new AbortController();
	store = createStore();
	const namespace = decodeYaml("apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n", "ns").objects;
	store.replaceSource("test", [...namespace, ...nodes("v1.34.4")]);
	mesh = { trustDomain: "one" };
	registry = new Registry();
	handler = createInjectHandler({
		injector,
		client: api.client,
		namespace: "istio-system",
		configMapName: "istio-sidecar-injector",
		revision: "default",
		meshConfig: () => mesh,
		snapshot: () => store.snapshot(),
		nativeSidecars: undefined,
		registry,
		clock: systemClock,
		logger: createLogger({ write: (line) => lines.push(line) }),
		signal: stop.signal,
	});
	await until("the settings are read", () => handler.isSettled());
});

afterEach(() => {
	stop.abort();
	api.close();
});

interface Told extends InjectionFacts {
	readonly path: string;
	readonly values: string;
	readonly trustDomain: string;
}

async function ask(body = "pod"): Promise<Told> {
	const answer = await handler.handle({ body, url: new URL("https://localhost/inject/cluster/c1") });
	return JSON.parse(answer.body) as Told;
}

const configure = (values: string) =>
	api.put(resources.configMaps, { metadata: { name: "istio-sidecar-injector", namespace: "istio-system" }, data: { values } });

test("the injector is given path, namespace labels and whether nodes can run native sidecars", async () => {
	assert.deepEqual(await ask(), {
		path: "/inject/cluster/c1",
		values: "",
		trustDomain: "one",
		namespace: { name: "default", labels: { "istio-injection": "enabled" } },
		hasNativeSidecars: true,
		proxyConfigs: [],
	});
});

test("settings follow the ConfigMap and the mesh config; with errors the last good ones stay", async () => {
	configure("v1");
	await until("v1 is in force", async () => (await ask()).values === "v1");
	configure("broken");
	await until("it is told", () => lines.some((line) => line.includes("settings have errors")));
	assert.equal((await ask()).values, "v1");
	configure("v2");
	await until("v2 is in force", async () => (await ask()).values === "v2");
	mesh = { trustDomain: "two" };
	assert.equal((await ask()).trustDomain, "two");
	api.remove(resources.configMaps, "istio-sidecar-injector", "istio-sidecar-injector");
});

test("outcomes are counted under Istio's names", async () => {
	await ask();
	await ask("skip");
	await ask("bad");
	const text = await registry.metrics();
	for (const [what, count] of Object.entries({ requests: 3, success: 1, skip: 1, failure: 1 }))
		assert.match(text, new RegExp(`^sidecar_injection_${what}_total ${count}$`, "m"));
});

describe("native sidecars need every kubelet from 1.33", () => {
	const cases: readonly (readonly [readonly string[], boolean])[] = [
		[["v1.33.0"], true],
		[["v1.34.4", "v1.33.1+k3s1"], true],
		[["v1.34.4", "v1.32.9"], false],
		[["v2.0.0"], true],
		[["v1.34.4", ""], false],
		[[], false],
	];
	for (const [versions, expected] of cases) {
		test(`${versions.join(" and ") || "no node"}: ${expected}`, () => {
			store.replaceSource("test", nodes(...versions));
			assert.equal(everyKubeletCan(store.snapshot().all("Node")), expected);
		});
	}
});
