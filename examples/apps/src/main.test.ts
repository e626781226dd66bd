import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));

test("an app named on the command line serves, and SIGTERM ends it with exit code 0", async () => {
	const child = spawn(process.execPath, [main, "details"], {
		env: { ...process.env, HOST: "127.0.0.1", PORT: "0" },
		stdio: ["ignore", "pipe", "inherit"],
	});
	const [line] = (await once(child.stdout, "data")) as [Buffer];
	const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line.toString())?.[1];
	const response = await fetch(`http://127.0.0.1:${port}/health`);
	assert.equal(response.status, 200);
	await response.text();
	child.kill("SIGTERM");
	assert.deepEqual(await once(child, "exit"), [0, null]);
});

test("an unknown app exits 64 and names those there are", async () => {
	const child = spawn(process.execPath, [main, "nothing"], { stdio: ["ignore", "ignore", "pipe"] });
	const [words] = (await once(child.stderr, "data")) as [Buffer];
	assert.match(words.toString(), /productpage, details, ratings, reviews/);
	assert.deepEqual(await once(child, "exit"), [64, null]);
});
