import type { AccessLog } from "../../config/access-logs.ts";
import type { WorkerContext } from "../worker/context.ts";
import { compileAccessLog, type LineSink, type LogStream } from "./access-log.ts";
import { compileGrpcLog } from "./grpc-log.ts";
import { compileOpenTelemetryLog } from "./open-telemetry-log.ts";

export interface Loggers {
	readonly logs: readonly LogStream[];
	readonly errors: readonly string[];
	/** What is waiting is sent now. */
	close(): void;
}

/** All access logs of one place in the configuration. */
export function compileLoggers(logs: readonly AccessLog[], context: WorkerContext, openSink: (path: string) => LineSink): Loggers {
	const compiled = logs.map((log) => {
		switch (log.kind) {
			case "file":
				return { ...compileAccessLog(log, context.environment, openSink, context), close: () => undefined };
			case "openTelemetry":
				return compileOpenTelemetryLog(log, context);
			case "grpc":
				return compileGrpcLog(log, context);
		}
	});
	return {
		logs: compiled.map(({ value }) => value),
		errors: compiled.flatMap(({ errors }) => errors),
		close() {
			for (const { close } of compiled) close();
		},
	};
}
