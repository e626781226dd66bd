import assert from "node:assert/strict";
import { test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { admitObjects, withAge } from "./admission.ts";
import { decodeYaml } from "./decode/yaml-decoder.ts";
import { createStore } from "./store/store.ts";

const route = (name: string) => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: ${name}}
spec:
  hosts: [web]
  http: [{route: [{destination: {host: nobody}}]}]
`;

function only(text: string): AnyConfig {
	const [object] = decodeYaml(text, "new.yaml").objects;
	assert.ok(object);
	return object;
}

test("what is applied now is younger than what is there, and keeps its age when it is applied again", () => {
	const store = createStore();
	const old = withAge(only(route("old")), store.snapshot(), "2026-01-01T00:00:00Z");
	store.replaceSource("test", [old]);
	const again = withAge(only(route("old")), store.snapshot(), "2026-02-01T00:00:00Z");
	assert.equal(again.metadata.creationTimestamp, "2026-01-01T00:00:00Z");
	const young = withAge(only(route("a-name-that-sorts-first")), store.snapshot(), "2026-02-01T00:00:00Z");
	const { diagnostics } = admitObjects([young], store.snapshot());
	const conflict = diagnostics.find((d) => d.code === "IST0109");
	assert.match(conflict?.message ?? "", /only the oldest counts, here default\/old/);
});

test("an object that got its age is still reported with the line of each part", () => {
	const store = createStore();
	const aged = withAge(only(route("web")), store.snapshot(), "2026-01-01T00:00:00Z");
	const { diagnostics } = admitObjects([aged], store.snapshot());
	const found = diagnostics.find((d) => d.message.includes("nobody"));
	assert.deepEqual([found?.file, found?.line], ["new.yaml", 6]);
});
