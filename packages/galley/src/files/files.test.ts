import assert from "node:assert/strict";
import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { Diagnostic } from "@weft/api";
import { type Clock, createLogger, systemClock } from "@weft/runtime";
import { createStore, type Store } from "../store/store.ts";
import { watchDirectory } from "./directory-watch.ts";
import { loadPaths } from "./loader.ts";

const service = (name: string, port: number | string = 80) =>
	`apiVersion: v1\nkind: Service\nmetadata: {name: ${name}}\nspec: {ports: [{name: http, port: ${port}}]}\n`;

async function temporary(t: TestContext): Promise<string> {
	const directory = await mkdtemp(join(tmpdir(), "weft-galley-"));
	t.after(() => rm(directory, { recursive: true, force: true }));
	return directory;
}

const ports = (store: Store) =>
	store
		.snapshot()
		.all("Service")
		.map(({ metadata, spec }) => `${metadata.name}:${spec.ports?.[0]?.port}`);

test("files and directories are read in the order of their paths; dot files and other endings are left out", async (t) => {
	const directory = await temporary(t);
	await mkdir(join(directory, "sub"));
	await writeFile(join(directory, "b.yaml"), service("b"));
	await writeFile(join(directory, "a.yml"), service("a"));
	await writeFile(join(directory, "sub/c.json"), JSON.stringify({ apiVersion: "v1", kind: "Service", metadata: { name: "c" }, spec: {} }));
	await writeFile(join(directory, ".b.yaml.swp"), "{");
	await writeFile(join(directory, "README.md"), "# {");
	await symlink(directory, join(directory, "sub/loop"));
	const { objects, diagnostics } = await loadPaths([directory]);
	assert.deepEqual(diagnostics, []);
	assert.deepEqual(
		objects.map(({ metadata }) => metadata.name),
		["a", "b", "c"],
	);
	assert.equal(objects[0]?.origin?.file, join(directory, "a.yml"));
});

test("a path that is not there is an error", async (t) => {
	const directory = await temporary(t);
	const { diagnostics } = await loadPaths([join(directory, "none.yaml")]);
	assert.match(diagnostics[0]?.message ?? "", /cannot be read.*ENOENT/);
});

interface Watched {
	readonly store: Store;
	readonly said: () => readonly Diagnostic[];
	readonly rescan: () => Promise<void>;
	/** Resolves when the store or the diagnostics are as wished. */
	until(wish: () => boolean): Promise<void>;
}

/** As the system's, but no wait is long. */
const hasty: Clock = { ...systemClock, sleep: (ms, signal) => systemClock.sleep(Math.min(ms, 50), signal) };

async function watched(t: TestContext, directory: string, useEvents = true, clock = systemClock): Promise<Watched> {
	const stop = new AbortController();
	const store = createStore();
	let said: readonly Diagnostic[] = [];
	const wakes = new Set<() => void>();
	const wake = () => {
		for (const check of [...wakes]) check();
	};
	const onDiagnostics = (diagnostics: readonly Diagnostic[]) => {
		said = diagnostics;
		wake();
	};
	const logger = createLogger({ level: "none" });
	const watch = await watchDirectory(directory, store, { signal: stop.signal, clock, logger, onDiagnostics, useEvents });
	t.after(async () => {
		stop.abort();
		await watch.done;
	});
	const until = (wish: () => boolean) =>
		new Promise<void>((resolve) => {
			const check = () => {
				if (!wish()) return;
				wakes.delete(check);
				resolve();
			};
			wakes.add(check);
			check();
		});
	return { store, said: () => said, rescan: () => watch.rescan(), until };
}

test("a directory is in the store after the first read, and follows edits, additions and deletions", { timeout: 8_000 }, async (t) => {
	const directory = await temporary(t);
	await writeFile(join(directory, "a.yaml"), service("a"));
	const { store, until } = await watched(t, directory);
	assert.deepEqual(ports(store), ["a:80"]);
	await writeFile(join(directory, "b.yaml"), service("b"));
	await until(() => ports(store).join() === "a:80,b:80");
	// As editors save: a new file, renamed over the old one.
	await writeFile(join(directory, ".a.yaml.tmp"), service("a", 81));
	await rename(join(directory, ".a.yaml.tmp"), join(directory, "a.yaml"));
	await until(() => ports(store).join() === "a:81,b:80");
	await rm(join(directory, "a.yaml"));
	await until(() => ports(store).join() === "b:80");
});

test("a broken edit keeps the file's last good content in force and says so; the other files go on; mending heals", { timeout: 8_000 }, async (t) => {
	const directory = await temporary(t);
	await writeFile(join(directory, "a.yaml"), service("a"));
	await writeFile(join(directory, "b.yaml"), service("b"));
	const { store, said, rescan } = await watched(t, directory);
	await writeFile(join(directory, "a.yaml"), service("a", "eighty"));
	await writeFile(join(directory, "b.yaml"), service("b", 82));
	await rescan();
	assert.deepEqual(ports(store), ["a:80", "b:82"]);
	assert.deepEqual(
		said().map(({ severity, file, line }) => [severity, file, line]),
		[["error", join(directory, "a.yaml"), 4]],
	);
	await writeFile(join(directory, "a.yaml"), service("a", 81));
	await rescan();
	assert.deepEqual(ports(store), ["a:81", "b:82"]);
	assert.deepEqual(said(), []);
});

test("a file that was never good adds nothing", async (t) => {
	const directory = await temporary(t);
	await writeFile(join(directory, "a.yaml"), `${service("a")}---\nkind: [`);
	const { store, said } = await watched(t, directory);
	assert.deepEqual(ports(store), []);
	assert.equal(said().length, 1);
});

test("two edits of the same length within one tick of the clock are both seen", async (t) => {
	const directory = await temporary(t);
	const file = join(directory, "a.yaml");
	await writeFile(file, service("a", 80));
	const { store, rescan } = await watched(t, directory);
	for (let port = 81; port < 99; port++) {
		await writeFile(file, service("a", port));
		await rescan();
		assert.deepEqual(ports(store), [`a:${port}`]);
	}
});

test("lost events are found by the sweep", { timeout: 8_000 }, async (t) => {
	const directory = await temporary(t);
	const { store, until } = await watched(t, directory, false, hasty);
	await writeFile(join(directory, "a.yaml"), service("a"));
	await until(() => ports(store).join() === "a:80");
});

test("a mounted ConfigMap is switched by its link, all files at once", { timeout: 8_000 }, async (t) => {
	const directory = await temporary(t);
	for (const [version, port] of [
		["1", 80],
		["2", 81],
	] as const) {
		await mkdir(join(directory, `..v${version}`));
		await writeFile(join(directory, `..v${version}/a.yaml`), service("a", port));
		await writeFile(join(directory, `..v${version}/b.yaml`), service("b", port));
	}
	await symlink("..v1", join(directory, "..data"));
	for (const name of ["a.yaml", "b.yaml"]) await symlink(`..data/${name}`, join(directory, name));
	const { store, until } = await watched(t, directory);
	const seen: string[] = [];
	store.subscribe(() => seen.push(ports(store).join()));
	await symlink("..v2", join(directory, "..data_tmp"));
	await rename(join(directory, "..data_tmp"), join(directory, "..data"));
	await until(() => ports(store).join() === "a:81,b:81");
	assert.deepEqual(seen, ["a:81,b:81"]);
});

test("a directory that goes away keeps its last content in force, and is read again when it is back", { timeout: 10_000 }, async (t) => {
	const directory = await temporary(t);
	const config = join(directory, "config");
	await mkdir(config);
	await writeFile(join(config, "a.yaml"), service("a"));
	const { store, said, rescan } = await watched(t, config);
	await rename(config, join(directory, "away"));
	await rescan();
	assert.deepEqual(ports(store), ["a:80"]);
	assert.match(said()[0]?.message ?? "", /cannot be read/);
	await mkdir(config);
	await writeFile(join(config, "a.yaml"), service("a", 81));
	await rescan();
	assert.deepEqual(ports(store), ["a:81"]);
	assert.deepEqual(said(), []);
});
