import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { createStore } from "@weft/galley";
import { resources } from "@weft/kube";
import { type FakeApiServer, until } from "@weft/kube/testing";
import { createLogger, systemClock } from "@weft/runtime";
import { type MeshConfigWatch, watchMeshConfig } from "./mesh-config.ts";
import { startTestApi, systemNamespace } from "./test-control-plane.ts";

let api: FakeApiServer;
let stopping: AbortController;
let directory: string;
let log: string[];
let changes: number;

beforeEach(async () => {
	api = await startTestApi();
	stopping = new AbortController();
	directory = mkdtempSync(join(tmpdir(), "weft-mesh-"));
	log = [];
	changes = 0;
});

afterEach(() => {
	stopping.abort();
	api.close();
	rmSync(directory, { recursive: true });
});

const put = (name: string, mesh: string) => api.put(resources.configMaps, { metadata: { name, namespace: systemNamespace }, data: { mesh } });

async function watch(sharedName?: string, file = "/nonexistent/mesh", networksFile = "/nonexistent/meshNetworks"): Promise<MeshConfigWatch> {
	const store = createStore();
	store.subscribe(() => void changes++);
	const logger = createLogger({ write: (line) => log.push(line) });
	const common = { client: api.client, clock: systemClock, signal: stopping.signal, logger };
	const mesh = await watchMeshConfig({ ...common, store, namespace: systemNamespace, name: "istio-canary", sharedName, file, networksFile });
	await until("it is read", () => mesh.isSettled());
	return mesh;
}

describe("mesh networks", () => {
	const networksOf = (mesh: MeshConfigWatch) => Object.keys(mesh.networks().networks ?? {});
	const putBoth = (meshNetworks: string) =>
		api.put(resources.configMaps, { metadata: { name: "istio-canary", namespace: systemNamespace }, data: { mesh: "connectTimeout: 4s\n", meshNetworks } });

	test("are followed in the same ConfigMap, and with errors the last good ones stay", async () => {
		putBoth("networks:\n  one:\n    endpoints: [{fromRegistry: Kubernetes}]\n    gateways: [{address: 203.0.113.1, port: 443}]\n");
		const mesh = await watch();
		assert.deepEqual(networksOf(mesh), ["one"]);
		const before = changes;
		putBoth("networks: {two: {gateways: [{address: 203.0.113.2, port: 443}]}}\n");
		await until("another one is in force", () => networksOf(mesh)[0] === "two");
		assert.ok(changes > before, "Pilot hears of it");
		putBoth("networks: {three: {gateways: [{address: 203.0.113.3, port: 0}]}}\n");
		await until("the problem is told with its place", () => log.some((line) => line.includes("has errors") && line.includes("key meshNetworks")));
		assert.deepEqual(networksOf(mesh), ["two"]);
		assert.equal(mesh.current().connectTimeout, "4s");
	});

	test("are read from the mounted file where there is no ConfigMap", async () => {
		const file = join(directory, "meshNetworks");
		writeFileSync(file, "networks: {filed: {}}\n");
		assert.deepEqual(networksOf(await watch(undefined, "/nonexistent/mesh", file)), ["filed"]);
	});
});

describe("a shared mesh config", () => {
	test("lies under the revision's own, and each is followed", async () => {
		put("common", "trustDomain: shared.test\nconnectTimeout: 3s\naccessLogFile: /dev/stdout\n");
		put("istio-canary", "connectTimeout: 4s\n");
		const mesh = await watch("common");
		const shown = () => [mesh.current().trustDomain, mesh.current().connectTimeout, mesh.current().accessLogFile];
		assert.deepEqual(shown(), ["shared.test", "4s", "/dev/stdout"]);
		assert.equal(
			log.some((line) => line.includes("needs a restart")),
			false,
		);
		const before = changes;
		put("common", "trustDomain: shared.test\nconnectTimeout: 3s\naccessLogFile: /dev/stderr\n");
		await until("the shared one is followed", () => mesh.current().accessLogFile === "/dev/stderr");
		assert.ok(changes > before, "Pilot hears of it");
		put("istio-canary", "accessLogFile: /own\n");
		await until("the own one is followed", () => mesh.current().accessLogFile === "/own");
		assert.equal(mesh.current().connectTimeout, "3s");
		put("common", "trustDomain: other.test\n");
		await until("a change that takes a restart is told", () => log.some((line) => line.includes("needs a restart") && line.includes("other.test")));
	});

	test("counts for nothing while it is not there, and with errors its last good content stays", async () => {
		put("istio-canary", "connectTimeout: 4s\n");
		const mesh = await watch("common");
		assert.deepEqual(mesh.current(), { connectTimeout: "4s" });
		put("common", "accessLogFile: /a\n");
		await until("it is there", () => mesh.current().accessLogFile === "/a");
		put("common", "accessLogFile: [\n");
		await until("the problem is told with its place", () => log.some((line) => line.includes("has errors") && line.includes("istio-system/common")));
		assert.deepEqual(mesh.current(), { connectTimeout: "4s", accessLogFile: "/a" });
		put("istio-canary", "connectTimeout: 5s\n");
		await until("the other is followed", () => mesh.current().connectTimeout === "5s");
		api.remove(resources.configMaps, systemNamespace, "common");
		await until("it is gone", () => mesh.current().accessLogFile === undefined);
	});

	test("lies under the mounted file, too, where the revision has no ConfigMap", async () => {
		const file = join(directory, "mesh");
		writeFileSync(file, "connectTimeout: 9s\n");
		put("common", "connectTimeout: 3s\nrootNamespace: shared\n");
		assert.deepEqual((await watch("common", file)).current(), { connectTimeout: "9s", rootNamespace: "shared" });
	});

	test("is not looked at unless it is named", async () => {
		put("common", "connectTimeout: 3s\n");
		assert.deepEqual((await watch()).current(), {});
	});
});
