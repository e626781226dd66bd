import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isAlive } from "./state.ts";

test("a launcher that crashes takes its processes along", async () => {
	const folder = mkdtempSync(join(tmpdir(), "weft-child-"));
	const script = `
		import { createLogger, systemClock } from ${JSON.stringify(import.meta.resolve("@weft/runtime"))};
		import { superviseChild } from ${JSON.stringify(new URL("child.ts", import.meta.url).href)};
		const spec = { name: "sleeper", command: ["node", "-e", "setInterval(() => {}, 1000)"], env: {}, workingDir: ".", logFile: ${JSON.stringify(join(folder, "log"))} };
		const child = superviseChild(spec, { mesh: ${JSON.stringify(folder)}, clock: systemClock, logger: createLogger({ level: "none" }) });
		console.log(child.pid);
		setTimeout(() => { throw new Error("crash"); }, 50);
	`;
	const launcher = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "ignore"] });
	let printed = "";
	launcher.stdout.on("data", (chunk: Buffer) => (printed += chunk.toString()));
	await once(launcher, "close");
	const pid = Number(printed);
	assert.ok(pid > 0, `it printed ${printed}`);
	for (let waitedMs = 0; isAlive(pid) && waitedMs < 5_000; waitedMs += 20) await sleep(20);
	assert.equal(isAlive(pid), false);
	rmSync(folder, { recursive: true });
});
