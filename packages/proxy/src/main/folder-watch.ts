import { type FSWatcher, watch } from "node:fs";
import type { Logger } from "@weft/runtime";

/** Writers replace a file in several steps: what they did is read once they paused. */
const settleMs = 100;

/** Calls `load` when something moved in the folder, which is how mounted files are replaced. Throws what watching throws. */
export function watchFolder(folder: string, load: () => void, logger: Logger): FSWatcher {
	let timer: NodeJS.Timeout | undefined;
	const watcher = watch(folder, () => {
		clearTimeout(timer);
		timer = setTimeout(load, settleMs);
	});
	watcher.on("close", () => clearTimeout(timer));
	watcher.on("error", (error) => logger.warn("files are no longer watched", { folder, error }));
	return watcher;
}
