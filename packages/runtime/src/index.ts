export { type Backoff, type BackoffOptions, createBackoff } from "./backoff.ts";
export { type Clock, systemClock } from "./clock.ts";
export { createKeyQueue, type KeyQueue } from "./key-queue.ts";
export { createLogger, type LogFields, type Logger, type LoggerOptions, type LogLevel, logLevels } from "./logger.ts";
export { createTurns, type Turns } from "./turns.ts";
