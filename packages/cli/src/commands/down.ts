import { setTimeout as sleep } from "node:timers/promises";
import { isAlive, readMesh } from "../local/state.ts";
import { CommandError } from "../output/errors.ts";
import { pathsOf, type StateOptions } from "./state-options.ts";

/** Longest orderly end; every process of the mesh is killed by its launcher before that. */
const downTimeoutMs = 20_000;

export async function downCommand(options: StateOptions): Promise<void> {
	const paths = pathsOf(options);
	const mesh = readMesh(paths);
	if (!mesh) {
		process.stdout.write(`no mesh is running with state in ${paths.root}\n`);
		return;
	}
	process.kill(mesh.pid, "SIGTERM");
	for (let waited = 0; waited < downTimeoutMs; waited += 50) {
		if (!isAlive(mesh.pid)) {
			process.stdout.write("the mesh is down\n");
			return;
		}
		await sleep(50);
	}
	throw new CommandError(`the launcher (pid ${mesh.pid}) did not end within ${downTimeoutMs / 1000} s`);
}
