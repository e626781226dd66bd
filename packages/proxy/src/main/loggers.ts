import type { Logger, LogLevel } from "@weft/runtime";
import { levelsBy, type LogLevels, type WorkerLogger, workerLoggers } from "../config/loggers.ts";

/** Loggers of the main thread; each is there once something has asked for it. */
const mainLoggers = ["dns", "health", "identity", "lrs", "runtime", "sds", "status", "xds"] as const;

/** Behind the name that a worker gives. */
export const loggerNamed = (root: Logger, name: WorkerLogger): Logger => (name === "main" ? root : root.child(name));

/** As the workers are to have them. */
export const workerLevels = (root: Logger): LogLevels => levelsBy((name) => loggerNamed(root, name).level);

/** A level for some loggers alone, by their names. */
export type ComponentLevels = ReadonlyMap<string, LogLevel>;

/** `--component-log-level`: sets levels; what has a level and is no logger here is returned. */
export function setComponentLevels(root: Logger, levels: ComponentLevels): readonly string[] {
	const known: ReadonlySet<string> = new Set([...workerLoggers, ...mainLoggers]);
	for (const [name, level] of levels) if (known.has(name)) loggerNamed(root, name as WorkerLogger).level = level;
	return [...levels.keys()].filter((name) => !known.has(name));
}
