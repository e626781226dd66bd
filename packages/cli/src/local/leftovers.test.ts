import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { endLeftovers, findLeftovers, meshVariable } from "./leftovers.ts";

test("processes of this mesh are found by their environment, those of others are not", () => {
	const processes = mkdtempSync(join(tmpdir(), "weft-proc-"));
	const add = (pid: string, ...environment: string[]) => {
		mkdirSync(join(processes, pid));
		writeFileSync(join(processes, pid, "environ"), environment.join("\0"));
	};
	add("11", "A=b", `${meshVariable}=/home/anna/.weft`, "C=d");
	add("12", `${meshVariable}=/home/anna/.weft-other`);
	add("13", `NOT_${meshVariable}=/home/anna/.weft`);
	add("self", `${meshVariable}=/home/anna/.weft`);
	assert.deepEqual(findLeftovers("/home/anna/.weft", processes), [11]);
	assert.deepEqual(findLeftovers("/home/anna/.weft", join(processes, "nowhere")), []);
	rmSync(processes, { recursive: true });
});

if (process.platform === "linux") {
	test("a process that was left is ended", async () => {
		const folder = join(tmpdir(), `weft-leftover-${process.pid}`);
		const child = spawn(process.execPath, ["-e", "console.log(1); setInterval(() => {}, 1000)"], {
			env: { ...process.env, [meshVariable]: folder },
			stdio: ["ignore", "pipe", "ignore"],
		});
		const exit = once(child, "exit");
		await once(child.stdout, "data");
		assert.equal(endLeftovers(folder), 1);
		assert.equal((await exit)[1], "SIGKILL");
		assert.equal(endLeftovers(folder), 0);
	});
}
