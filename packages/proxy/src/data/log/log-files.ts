import { closeSync, openSync, write } from "node:fs";
import type { LineSink } from "./access-log.ts";
import { createLogFile, type LogFile, type LogFileSystem } from "./log-file.ts";

/** All log files of one worker, one for each path. The owner calls `flush` on a timer (1 s). */
export interface LogFiles {
	/** Throws when the file cannot be opened. */
	open(path: string): LineSink;
	flush(): void;
	reopen(): void;
	close(): Promise<void>;
	/** Lines lost over all files. */
	readonly dropped: number;
}

export const nodeLogFileSystem: LogFileSystem = {
	open: (path) => openSync(path, "a", 0o644),
	write: writeAll,
	close: closeSync,
};

function writeAll(fd: number, data: Buffer, done: (error: Error | null) => void, from = 0): void {
	write(fd, data, from, data.length - from, null, (error, written) => {
		// A full pipe is the reader's pace, not a failure.
		if (error?.code === "EAGAIN") setTimeout(writeAll, 5, fd, data, done, from);
		else if (error) done(error);
		else if (from + written < data.length) writeAll(fd, data, done, from + written);
		else done(null);
	});
}

export function createLogFiles(files: LogFileSystem = nodeLogFileSystem): LogFiles {
	const open = new Map<string, LogFile>();
	return {
		open(path) {
			const known = open.get(path);
			if (known) return known;
			const fresh = createLogFile({ path, files });
			open.set(path, fresh);
			return fresh;
		},
		flush() {
			for (const file of open.values()) file.flush();
		},
		reopen() {
			for (const file of open.values()) file.reopen();
		},
		async close() {
			await Promise.all(Array.from(open.values(), (file) => file.close()));
			open.clear();
		},
		get dropped() {
			return Array.from(open.values()).reduce((sum, file) => sum + file.dropped, 0);
		},
	};
}
