import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger } from "@weft/runtime";
import { typeUrls } from "@weft/xds";
import { Runtime } from "@weft/xds/generated/envoy/service/runtime/v3/rtds.ts";
import { decodeRuntimeStruct } from "../../config/decode/runtime.ts";
import type { RuntimeLayer } from "../../config/runtime-layers.ts";
import { RuntimeValues } from "../../config/runtime-values.ts";
import { readDiskLayer } from "./disk-layer.ts";
import { applyRuntime } from "./runtime-discovery.ts";
import { RuntimeLoader, type RuntimeState } from "./runtime-loader.ts";

const base = (struct: Record<string, unknown>): RuntimeLayer => ({ name: "base", kind: "static", entries: decodeRuntimeStruct(struct).entries });
const admin: RuntimeLayer = { name: "admin", kind: "admin" };
const discovered = (initialFetchTimeoutMs: number): RuntimeLayer => ({
	name: "mesh",
	kind: "discovered",
	resource: "r",
	source: { kind: "ads", id: "", initialFetchTimeoutMs },
});

function load(layers: readonly RuntimeLayer[]) {
	const abort = new AbortController();
	const values = new RuntimeValues();
	const published: RuntimeState[] = [];
	const loader = new RuntimeLoader({ layers, values, publish: (state) => void published.push(state), logger: createLogger({ level: "none" }) });
	loader.start(abort.signal);
	return { abort, loader, published, values };
}

async function withFolder(run: (folder: string) => Promise<void> | void): Promise<void> {
	const folder = mkdtempSync(join(tmpdir(), "weft-runtime-"));
	try {
		await run(folder);
	} finally {
		rmSync(folder, { recursive: true, force: true });
	}
}

function write(path: string, text: string): void {
	mkdirSync(dirname(path), { recursive: true });
	writeFileSync(path, text);
}

describe("the runtime loader", () => {
	it("lays layers over each other, and lets the admin's be changed", () => {
		const { abort, loader, published, values } = load([base({ a: 1, b: 2 }), admin]);
		assert.equal(
			loader.modify(
				new Map([
					["a", "5"],
					["c", "6"],
				]),
			),
			undefined,
		);
		assert.deepEqual([values.integer("a", 0), values.integer("b", 0), values.integer("c", 0)], [5, 2, 6]);
		assert.equal(published.at(-1)?.entries.get("a")?.text, "5");
		assert.deepEqual(loader.stats().gauges, { admin_overrides_active: 1, deprecated_feature_seen_since_process_start: 0, num_keys: 3, num_layers: 2 });
		assert.equal(
			loader.modify(
				new Map([
					["a", ""],
					["c", ""],
				]),
			),
			undefined,
		);
		assert.equal(values.integer("a", 0), 1);
		assert.equal(loader.stats().gauges["admin_overrides_active"], 0);
		abort.abort();
	});

	it("changes nothing when one value is wrong, or there are too many", () => {
		const { abort, loader, values } = load([admin]);
		assert.notEqual(
			loader.modify(
				new Map([
					["a", "5"],
					["b", "{"],
				]),
			),
			undefined,
		);
		assert.equal(values.has("a"), false);
		const many = new Map(Array.from({ length: 10_001 }, (_, i) => [`k${i}`, "1"]));
		assert.equal(loader.modify(many), "more than 10000 keys");
		assert.ok(values.isEmpty);
		abort.abort();
		const none = load([base({})]);
		assert.equal(none.loader.modify(new Map([["a", "1"]])), "No admin layer specified");
		none.abort.abort();
	});

	it("is waited for until a layer came, was refused, or took too long", async () => {
		const { abort, loader, published } = load([discovered(0)]);
		assert.equal(published.at(-1)?.awaited, "mesh");
		loader.discover("other", undefined, new Map());
		assert.equal(published.at(-1)?.awaited, "mesh");
		loader.discover("r", undefined, decodeRuntimeStruct({ x: 1 }).entries);
		assert.equal(published.at(-1)?.awaited, undefined);
		abort.abort();
		const slow = load([discovered(20)]);
		await sleep(80);
		assert.equal(slow.published.at(-1)?.awaited, undefined);
		assert.equal(slow.loader.stats().counters["init_fetch_timeout"], 1);
		slow.abort.abort();
		const refused = load([discovered(0)]);
		refused.loader.refuse("r", undefined);
		assert.equal(refused.published.at(-1)?.awaited, undefined);
		refused.abort.abort();
	});

	it("takes layers out of what is discovered, refuses wrong ones by name, and forgets what is removed", async () => {
		const { abort, loader, values } = load([discovered(0)]);
		const apply = applyRuntime(() => Promise.resolve([{ name: "passed on", message: "" }]), loader);
		const give = (layer: Record<string, unknown>) => ({
			typeUrl: typeUrls.rtds,
			version: "1",
			resources: [{ name: "r", version: "1", resource: { typeUrl: typeUrls.rtds, value: Runtime.encode({ name: "r", layer }).finish() } }],
			removed: [],
		});
		assert.deepEqual(await apply(give({ a: { b: 3 } }), undefined), []);
		assert.equal(values.integer("a.b", 0), 3);
		assert.deepEqual(await apply(give({ a: [1] }), undefined), [{ name: "r", message: "Invalid runtime entry value for a" }]);
		assert.equal(values.integer("a.b", 0), 3);
		const bytes = { typeUrl: typeUrls.rtds, value: new Uint8Array([255]) };
		assert.match((await apply({ ...give({}), resources: [{ name: "r", version: "2", resource: bytes }] }, undefined))[0]?.message ?? "", /^undecodable/);
		assert.deepEqual(await apply({ ...give({}), resources: [], removed: ["r"] }, undefined), []);
		assert.equal(values.has("a.b"), false);
		assert.equal((await apply({ ...give({}), typeUrl: typeUrls.cds }, undefined))[0]?.name, "passed on");
		abort.abort();
	});

	it("reads files again when the link is swapped", async () =>
		withFolder(async (folder) => {
			const link = join(folder, "current");
			write(join(folder, "v1", "envoy", "a"), "1");
			symlinkSync(join(folder, "v1"), link);
			const { abort, loader, values } = load([{ name: "disk", kind: "disk", link, folder: join(link, "envoy") }]);
			assert.equal(values.integer("a", 0), 1);
			write(join(folder, "v2", "envoy", "a"), "2");
			symlinkSync(join(folder, "v2"), `${link}.new`);
			renameSync(`${link}.new`, link);
			for (let i = 0; i < 200 && values.integer("a", 0) !== 2; i++) await sleep(10);
			assert.equal(values.integer("a", 0), 2);
			assert.deepEqual(
				loader.layers.map(({ name }) => name),
				["disk"],
			);
			abort.abort();
		}));
});

describe("a layer in files", () => {
	it("has paths for keys, and drops comments", () =>
		withFolder((folder) => {
			write(join(folder, "a", "b"), "# said by hand\n5\n");
			write(join(folder, "c"), "true");
			write(join(folder, "empty"), "");
			symlinkSync(join(folder, "c"), join(folder, "linked"));
			symlinkSync(join(folder, "nowhere"), join(folder, "dangling"));
			const entries = readDiskLayer(folder);
			assert.deepEqual([...(entries ?? [])].map(([key, { text }]) => [key, text]).toSorted(), [
				["a.b", "5"],
				["c", "true"],
				["empty", ""],
				["linked", "true"],
			]);
			assert.equal(readDiskLayer(join(folder, "nowhere")), undefined);
		}));

	it("is refused where it is too deep, too large, or the kernel's", () =>
		withFolder((folder) => {
			write(join(folder, "deep", ...new Array<string>(18).fill("d"), "x"), "1");
			assert.throws(() => readDiskLayer(join(folder, "deep")), /depth exceeded 16/);
			write(join(folder, "large", "x"), "x".repeat(64 * 1024 + 1));
			assert.throws(() => readDiskLayer(join(folder, "large")), /larger than/);
			mkdirSync(join(folder, "odd"));
			symlinkSync("/proc", join(folder, "odd", "proc"));
			assert.throws(() => readDiskLayer(join(folder, "odd")), /Invalid path/);
			symlinkSync(join(folder, "loop"), join(folder, "loop"));
			assert.throws(() => readDiskLayer(folder));
		}));
});
