import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createLogger } from "@weft/runtime";
import { envoyCommandLine, runEnvoy } from "./envoy-process.ts";

let directory: string;
before(async () => {
	directory = await mkdtemp(join(tmpdir(), "weft-envoy-process-"));
});
after(() => rm(directory, { recursive: true }));

/** A shell script in Envoy's place. */
async function script(name: string, body: string): Promise<string> {
	const path = join(directory, name);
	await writeFile(path, `#!/bin/sh\n${body}\n`);
	await chmod(path, 0o755);
	return path;
}

const run = (path: string, signals = new EventEmitter(), signal?: AbortSignal) =>
	runEnvoy({ path, arguments: ["-l", "debug"], bootstrapPath: "/b.json", logger: createLogger({ level: "none" }), signals, signal });

describe("runEnvoy", () => {
	test("gives Envoy the bootstrap and the user's arguments, and resolves to its exit code", async () => {
		const path = await script("exits", `echo "$@" > ${join(directory, "args")}; exit 7`);
		assert.equal(await run(path), 7);
		assert.equal(readFileSync(join(directory, "args"), "utf8"), "-c /b.json --disable-hot-restart -l debug\n");
	});

	for (const name of ["SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP"]) {
		test(`forwards ${name}`, async () => {
			const ready = join(directory, `ready-${name}`);
			const path = await script(name, `trap 'exit 42' ${name.slice(3)}; : > ${ready}; while :; do sleep 0.02; done`);
			const signals = new EventEmitter();
			const ended = run(path, signals);
			while (!existsSync(ready)) await sleep(5);
			signals.emit(name, name);
			assert.equal(await ended, 42);
			assert.equal(signals.listenerCount(name), 0, "no listener stays behind");
		});
	}

	test("an end by signal is 128 and its number", async () => {
		assert.equal(await run(await script("killed", "kill -9 $$")), 137);
	});

	test("aborting ends it as SIGTERM does", async () => {
		const stop = new AbortController();
		const ended = run(await script("waits", "exec sleep 30"), new EventEmitter(), stop.signal);
		stop.abort();
		assert.equal(await ended, 143);
	});

	test("a binary that is not there is 127", async () => assert.equal(await run(join(directory, "missing")), 127));
});

test("hot restart is off unless the user's arguments speak of it", () => {
	assert.deepEqual(envoyCommandLine("b", []), ["-c", "b", "--disable-hot-restart"]);
	assert.deepEqual(envoyCommandLine("b", ["--base-id", "3"]), ["-c", "b", "--base-id", "3"]);
	assert.deepEqual(envoyCommandLine("b", ["--use-dynamic-base-id"]), ["-c", "b", "--use-dynamic-base-id"]);
});
