import type { AccessLog } from "../../config/access-logs.ts";
import type { LineSink } from "../log/access-log.ts";
import { compileLoggers, type Loggers } from "../log/loggers.ts";
import { type ConnectionInfo, createStreamInfo, type StreamInfo } from "../log/stream-info.ts";
import type { WorkerContext } from "../worker/context.ts";

/** The listener's own access log: one line for each connection. */
export class ListenerLog {
	readonly errors: readonly string[];
	readonly #context: WorkerContext;
	readonly #loggers: Loggers;

	constructor(configs: readonly AccessLog[], context: WorkerContext, openSink: (path: string) => LineSink) {
		this.#context = context;
		this.#loggers = compileLoggers(configs, context, openSink);
		this.errors = this.#loggers.errors;
	}

	/** False: nobody wants the lines. */
	get isWanted(): boolean {
		return this.#loggers.logs.length > 0;
	}

	start(connection: ConnectionInfo): StreamInfo {
		const info = createStreamInfo(connection);
		info.dynamicMetadata = connection.dynamicMetadata;
		info.startAt = this.#context.nowMs();
		info.startTimeMs = this.#context.wallMs();
		return info;
	}

	write(info: StreamInfo): void {
		info.endAt = this.#context.nowMs();
		info.logType = "NotSet";
		for (const log of this.#loggers.logs) log(info);
	}

	close(): void {
		this.#loggers.close();
	}
}
