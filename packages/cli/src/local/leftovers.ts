import { readdirSync, readFileSync } from "node:fs";

/** In the environment of every process of a mesh: the folder of its state. */
export const meshVariable = "WEFT_MESH";

/**
 * Processes of a mesh whose launcher was killed: nobody ends them, and they hold the addresses that the mesh needs again.
 * Found by their environment, which is to be had on Linux only; elsewhere every mesh takes ports that are free.
 */
export function findLeftovers(folder: string, processes = "/proc"): readonly number[] {
	const mark = `${meshVariable}=${folder}`;
	const pids = listed(processes).filter((name) => /^\d+$/.test(name));
	return pids.filter((pid) => environmentOf(`${processes}/${pid}/environ`).includes(mark)).map(Number);
}

/** Ends them at once; says how many there were. */
export function endLeftovers(folder: string): number {
	const pids = findLeftovers(folder).filter((pid) => pid !== process.pid);
	for (const pid of pids) {
		try {
			process.kill(pid, "SIGKILL");
		} catch (error) {
			// Gone by itself meanwhile.
			if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
		}
	}
	return pids.length;
}

function listed(directory: string): readonly string[] {
	try {
		return readdirSync(directory);
	} catch {
		// No such file system here.
		return [];
	}
}

function environmentOf(file: string): readonly string[] {
	try {
		return readFileSync(file, "utf8").split("\0");
	} catch {
		// Another user's process, or one that has just ended: not ours.
		return [];
	}
}
