import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { readKind } from "./read-kind.ts";
import { resourceOf } from "./resource.ts";
import { type FakeApiServer, startFakeApiServer } from "./testing/index.ts";

let api: FakeApiServer;

before(async () => {
	api = await startFakeApiServer();
});
after(() => api.close());

const put = (version: string, name: string, spec: object) =>
	api.put({ ...resourceOf("VirtualService"), version }, { metadata: { name, namespace: "shop" }, spec });
const valid = { hosts: ["a.example.com"], http: [{ route: [{ destination: { host: "web" } }] }] };
const namesOf = async (options = {}) => (await readKind(api.client, "VirtualService", options)).objects.map(({ metadata }) => metadata.name);

test("valid objects are read, what is wrong with the others is told, some are left out as they come", async () => {
	put("v1", "good", valid);
	put("v1", "other", valid);
	put("v1", "bad", { hosts: "a" });
	const { objects, diagnostics } = await readKind(api.client, "VirtualService", { ignore: ({ metadata }) => metadata.name === "other" });
	assert.deepEqual(
		objects.map(({ kind, metadata, apiVersion }) => [apiVersion, kind, metadata.namespace, metadata.name]),
		[["networking.istio.io/v1", "VirtualService", "shop", "good"]],
	);
	assert.deepEqual(new Set(diagnostics.map(({ severity, kind, name }) => `${severity} ${kind} ${name}`)), new Set(["error VirtualService bad"]));
});

test("an older version is read where the first is not served, and nothing where the kind is missing", async () => {
	put("v1beta1", "old", valid);
	api.missing.add("virtualservices.v1");
	assert.deepEqual(await namesOf(), ["old"]);
	api.missing.add("virtualservices");
	assert.deepEqual(await namesOf(), []);
});

test("a refusal is an error, not an empty cluster", async () => {
	api.missing.clear();
	api.forbidden.add("virtualservices");
	await assert.rejects(namesOf(), { status: 403 });
});
