import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AnyConfig } from "@weft/api";
import { decodeYaml } from "../decode/yaml-decoder.ts";
import { compareAge } from "./keys.ts";
import { createStore, type StoreChange } from "./store.ts";

function service(name: string, port = 80, rest = ""): AnyConfig {
	const { objects } = decodeYaml(`apiVersion: v1\nkind: Service\nmetadata: {name: ${name}${rest}}\nspec: {ports: [{name: http, port: ${port}}]}\n`, "f.yaml");
	const [object] = objects;
	assert.ok(object);
	return object;
}

const apply = (store: ReturnType<typeof createStore>, ...upsert: AnyConfig[]) => store.apply({ source: "apply", upsert, remove: [] });

test("objects come sorted by namespace and name", () => {
	const store = createStore();
	apply(store, service("b"), service("a", 80, ", namespace: z"), service("a"), service("c", 80, ", namespace: a"));
	assert.deepEqual(
		store
			.snapshot()
			.all("Service")
			.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
		["a/c", "default/a", "default/b", "z/a"],
	);
	assert.equal(store.snapshot().get("Service", "default", "b")?.metadata.name, "b");
	assert.equal(store.snapshot().get("Service", "default", "none"), undefined);
	assert.deepEqual(store.snapshot().all("Pod"), []);
});

test("a batch is one change, told once, with what happened to each object", () => {
	const store = createStore();
	apply(store, service("a"), service("b"));
	const changes: StoreChange[] = [];
	const stop = store.subscribe((change) => changes.push(change));
	const before = store.snapshot();
	store.apply({ source: "apply", upsert: [service("a", 81), service("c")], remove: [{ kind: "Service", namespace: "default", name: "b" }] });
	assert.deepEqual(
		changes.map(({ changed }) => changed),
		[
			[
				{ kind: "Service", namespace: "default", name: "a", op: "update" },
				{ kind: "Service", namespace: "default", name: "b", op: "delete" },
				{ kind: "Service", namespace: "default", name: "c", op: "add" },
			],
		],
	);
	assert.equal(changes[0]?.snapshot, store.snapshot());
	assert.equal(store.snapshot().version, before.version + 1);
	assert.deepEqual(
		before.all("Service").map(({ metadata }) => metadata.name),
		["a", "b"],
		"an old snapshot stays as it was",
	);
	stop();
	apply(store, service("d"));
	assert.equal(changes.length, 1);
});

test("nothing is told where nothing changes, and identities stay", () => {
	const store = createStore();
	apply(store, service("a"), service("b"));
	const before = store.snapshot();
	store.subscribe(() => assert.fail("told"));
	const result = apply(store, service("a"));
	assert.deepEqual(result.changed, []);
	store.apply({ source: "apply", upsert: [], remove: [{ kind: "Service", namespace: "default", name: "none" }] });
	assert.equal(store.snapshot(), before);
	assert.equal(store.snapshot().all("Service"), before.all("Service"));
});

test("a change of labels keeps the spec's identity, a change of one kind the other kinds' lists", () => {
	const store = createStore();
	const pods = decodeYaml("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: []}\n", "f").objects;
	apply(store, service("a"), ...pods);
	const before = store.snapshot();
	apply(store, service("a", 80, ", labels: {x: y}"));
	assert.equal(store.snapshot().get("Service", "default", "a")?.spec, before.get("Service", "default", "a")?.spec);
	assert.notEqual(store.snapshot().get("Service", "default", "a"), before.get("Service", "default", "a"));
	assert.equal(store.snapshot().all("Pod"), before.all("Pod"));
	assert.equal(store.snapshot().all("Node"), before.all("Node"), "there are none");
});

test("a source is replaced whole, and others stay", () => {
	const store = createStore();
	apply(store, service("kept"));
	store.replaceSource("dir", [service("a"), service("b")]);
	const result = store.replaceSource("dir", [service("b"), service("c")]);
	assert.deepEqual(
		result.changed.map(({ name, op }) => `${op} ${name}`),
		["delete a", "add c"],
	);
	assert.deepEqual(
		store
			.snapshot()
			.all("Service")
			.map(({ metadata }) => metadata.name),
		["b", "c", "kept"],
	);
});

describe("files, Kubernetes and registrations at once", () => {
	const port = (store: ReturnType<typeof createStore>) => store.snapshot().get("Service", "default", "a")?.spec.ports?.[0]?.port;

	test("of an object that several define the first source's is in force; the next steps in when it goes", () => {
		const store = createStore();
		const steps = (["registrations", "files", "kubernetes"] as const).map((source, i) => {
			const { changed } = store.replaceSource(source, [service("a", i + 1)]);
			return `${source}: ${changed.map(({ op }) => op).join()} ${port(store)}`;
		});
		assert.deepEqual(steps, ["registrations: add 1", "files: update 2", "kubernetes:  2"]);
		store.replaceSource("files", []);
		assert.equal(port(store), 3);
		store.replaceSource("kubernetes", []);
		assert.equal(port(store), 1);
		store.replaceSource("registrations", []);
		assert.equal(port(store), undefined);
	});

	test("a source of another name comes after them, and objects of one source alone stand beside each other", () => {
		const store = createStore();
		store.replaceSource("other", [service("a", 1), service("b", 2)]);
		store.replaceSource("registrations", [service("a", 3), service("c", 4)]);
		assert.deepEqual(
			store
				.snapshot()
				.all("Service")
				.map(({ metadata, spec }) => `${metadata.name} ${spec.ports?.[0]?.port}`),
			["a 3", "b 2", "c 4"],
		);
	});

	test("each object that is not in force is a conflict, told of when it begins and ends, whoever came first", () => {
		const told: string[][] = [];
		const store = createStore({ onConflicts: (conflicts) => told.push(conflicts.map(({ severity, code, message }) => `${severity} ${code} ${message}`)) });
		const { origin: _, ...a } = service("a", 1);
		store.replaceSource("kubernetes", [a]);
		store.replaceSource("registrations", [service("a", 2)]);
		store.replaceSource("registrations", [service("a", 3)]);
		store.replaceSource("files", [service("a", 4)]);
		store.apply({ source: "kubernetes", upsert: [], remove: [{ kind: "Service", namespace: "default", name: "a" }] });
		store.replaceSource("files", []);
		const warning = (first: string, second: string, place = "") =>
			`warning WEFT-V007 defined by ${first} and ${second}; the one of ${first}${place} is in force; remove the other`;
		assert.deepEqual(told, [
			[warning("kubernetes", "registrations")],
			[warning("files", "kubernetes", " (f.yaml:1)"), warning("files", "registrations", " (f.yaml:1)")],
			[warning("files", "registrations", " (f.yaml:1)")],
			[],
		]);
		assert.deepEqual(store.conflicts(), []);
	});
});

test("a change made by a listener comes after the one that it answers, for every listener", () => {
	const store = createStore();
	const seen: string[] = [];
	store.subscribe(({ changed }) => {
		if (changed[0]?.name === "a") apply(store, service("b"));
	});
	store.subscribe(({ changed }) => seen.push(changed.map(({ name }) => name).join()));
	apply(store, service("a"));
	assert.deepEqual(seen, ["a", "b"]);
});

test("a listener that fails is reported, and the others are told all the same", () => {
	const store = createStore();
	let told = 0;
	store.subscribe(() => {
		throw new Error("broken");
	});
	store.subscribe(() => void told++);
	assert.throws(() => apply(store, service("a")), AggregateError);
	assert.equal(told, 1);
	assert.ok(store.snapshot().get("Service", "default", "a"));
});

test("age: oldest first, then by name, then by namespace; no time is the oldest", () => {
	const at = (name: string, time?: string, namespace = "default") => ({ metadata: { name, namespace, ...(time && { creationTimestamp: time }) } });
	const sorted = [at("d", "2026-01-02T00:00:00Z"), at("c", "2026-01-01T00:00:00Z"), at("b", undefined, "y"), at("b", undefined, "x"), at("a")].sort(compareAge);
	assert.deepEqual(
		sorted.map(({ metadata }) => `${metadata.namespace}/${metadata.name}`),
		["default/a", "x/b", "y/b", "default/c", "default/d"],
	);
});
