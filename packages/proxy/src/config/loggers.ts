import { type LogLevel, logLevels } from "@weft/runtime";

/** Loggers of the workers, by Envoy's names for what they tell of. `main`: everything that has none of its own. */
export const workerLoggers = ["main", "conn_handler", "connection", "grpc", "http", "http2", "jwt", "rbac", "router"] as const;
export type WorkerLogger = (typeof workerLoggers)[number];

export type LogLevels = Readonly<Record<WorkerLogger, LogLevel>>;

export function levelsBy(levelOf: (logger: WorkerLogger) => LogLevel): LogLevels {
	return Object.fromEntries(workerLoggers.map((name) => [name, levelOf(name)])) as LogLevels;
}

/** Whether a line of `level` is written by a logger that is set to `set`. */
export const isWritten = (level: LogLevel, set: LogLevel): boolean => logLevels.indexOf(level) >= logLevels.indexOf(set);
