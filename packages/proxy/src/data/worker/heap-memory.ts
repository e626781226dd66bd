import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/**
 * Gives back what reading the configuration took: the heap grows for it once, and V8 would keep that room. For the time
 * right after the start, when nothing is in a hurry; every sidecar of a cluster pays for what stays.
 */
export function trimMemory(): void {
	setFlagsFromString("--expose-gc");
	const collect: unknown = runInNewContext("gc");
	if (typeof collect === "function") collect({ type: "major", execution: "sync", flavor: "last-resort" });
}
