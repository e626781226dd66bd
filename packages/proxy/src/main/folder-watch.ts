import { type FSWatcher, watch } from "node:fs";
import type { Logger } from "@weft/runtime";

/** Writers replace a file in several steps: what they did is read once they paused. */
const settleMs = 100;

/**
 * Calls `load` when something moved in the folder, which is how mounted files are replaced; `only`: when this did. Throws
 * what watching throws.
 */
export function watchFolder(folder: string, load: () => void, logger: Logger, only?: string): FSWatcher {
	let timer: NodeJS.Timeout | undefined;
	const watcher = watch(folder, (_, name) => {
		if (only !== undefined && name !== null && name !== only) return;
		clearTimeout(timer);
		timer = setTimeout(load, settleMs);
	});
	watcher.on("close", () => clearTimeout(timer));
	watcher.on("error", (error) => logger.warn("files are no longer watched", { folder, error }));
	return watcher;
}

/** How often a folder that is not there is looked for. */
const missingMs = 2_000;

/** The same of a folder that may come later, such as a user's mount: then `load` is called as well. Other configuration does not wait for it. */
export function watchFolderWhenThere(folder: string, load: () => void, logger: Logger, only?: string): Pick<FSWatcher, "close"> {
	let watcher: FSWatcher | undefined;
	const attempt = (): boolean => {
		try {
			watcher = watchFolder(folder, load, logger, only);
			return true;
		} catch (error) {
			if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR")) return false;
			throw error;
		}
	};
	if (attempt()) return { close: () => watcher?.close() };
	logger.warn("folder is not there, it is looked for again", { folder });
	const timer = setInterval(() => {
		if (!attempt()) return;
		clearInterval(timer);
		load();
	}, missingMs).unref();
	return {
		close() {
			clearInterval(timer);
			watcher?.close();
		},
	};
}
