import type { GrpcAccessLog } from "../../config/access-logs.ts";
import type { NodeInfo } from "../../config/runtime-config.ts";
import { version } from "../../config/version.ts";
import { ClusterStream } from "../../grpc/cluster-stream.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";

type Service = typeof import("@weft/xds/generated/envoy/service/accesslog/v3/als.ts");
type Entries = typeof import("@weft/xds/generated/envoy/data/accesslog/v3/accesslog.ts");
export type LogServiceMessages = Pick<Service, "StreamAccessLogsMessage"> & Pick<Entries, "HTTPAccessLogEntry" | "TCPAccessLogEntry">;

/** Loaded by those whose configuration asks for it. */
async function loadMessages(): Promise<LogServiceMessages> {
	const { StreamAccessLogsMessage } = await import("@weft/xds/generated/envoy/service/accesslog/v3/als.ts");
	const { HTTPAccessLogEntry, TCPAccessLogEntry } = await import("@weft/xds/generated/envoy/data/accesslog/v3/accesslog.ts");
	return { StreamAccessLogsMessage, HTTPAccessLogEntry, TCPAccessLogEntry };
}

/** The messages are there within milliseconds; what is logged until then waits. */
const earlyMax = 1_000;
const method = "/envoy.service.accesslog.v3.AccessLogService/StreamAccessLogs";
// Tags of `StreamAccessLogsMessage.http_logs`, `.tcp_logs`, and of `log_entry` in either: field number << 3 | 2.
const fieldTags = { http: 18, tcp: 26, entry: 10 } as const;

type Encode = (messages: LogServiceMessages) => Uint8Array;

/** What tells one stream from another: logs that agree in it share one. */
export type LogServiceConfig = Pick<GrpcAccessLog, "protocol" | "service" | "logName" | "flushMs" | "bufferBytes">;

/**
 * The stream of one log to its service. Entries wait until they are enough, or for the interval, and then go as one
 * message. A service that does not keep up is not waited for: beyond the buffer's size entries are dropped and counted.
 * A stream that ends is opened again by the next message; what was under way is lost.
 */
export class LogServiceStream {
	readonly #config: LogServiceConfig;
	readonly #context: WorkerContext;
	readonly #scope: ReturnType<WorkerContext["stats"]["openScope"]>;
	readonly #written: number;
	readonly #dropped: number;
	readonly #flushed: number;
	readonly #flushFailed: number;
	readonly #timer: Timer;
	#messages: LogServiceMessages | undefined;
	#early: Encode[] = [];
	#entries: Uint8Array[] = [];
	#bytes = 0;
	#stream: ClusterStream | undefined;
	#isBlocked = false;
	#isClosed = false;

	constructor(config: LogServiceConfig, context: WorkerContext) {
		this.#config = config;
		this.#context = context;
		this.#scope = context.stats.openScope("access_logs.grpc_access_log.");
		this.#written = this.#scope.counter("logs_written");
		this.#dropped = this.#scope.counter("logs_dropped");
		this.#flushed = this.#scope.counter("grpc_entries_flushed");
		this.#flushFailed = this.#scope.counter("grpc_entries_flush_failed");
		this.#timer = new Timer(context.wheel, () => {
			this.#flush();
			if (this.#entries.length > 0) this.#timer.arm(this.#config.flushMs);
		});
		void loadMessages().then((messages) => this.#start(messages));
	}

	#start(messages: LogServiceMessages): void {
		this.#messages = messages;
		for (const encode of this.#early.splice(0)) this.add(encode);
		if (this.#isClosed) this.#end();
		this.#context.afterEvent();
	}

	/** `encode` is called at most once. */
	add(encode: Encode): void {
		const { bufferBytes, flushMs } = this.#config;
		if (this.#messages === undefined) {
			if (this.#early.length < earlyMax) this.#early.push(encode);
			else this.#count(this.#dropped, 1);
			return;
		}
		if (bufferBytes > 0 && this.#bytes >= bufferBytes) this.#flush();
		if (bufferBytes > 0 && this.#bytes >= bufferBytes) return this.#count(this.#dropped, 1);
		this.#count(this.#written, 1);
		const entry = encode(this.#messages);
		this.#entries.push(entry);
		this.#bytes += entry.length;
		if (this.#bytes >= bufferBytes) this.#flush();
		if (this.#entries.length > 0 && !this.#timer.isArmed) this.#timer.arm(flushMs);
	}

	#count(at: number, by: number): void {
		const { counters } = this.#context.stats;
		counters[at] = (counters[at] as number) + by;
	}

	#flush(): void {
		if (this.#entries.length === 0 || this.#messages === undefined) return;
		// Nothing is a limit without a buffer: then what cannot go is lost at once.
		if (this.#isBlocked && this.#config.bufferBytes > 0) return;
		const entries = this.#entries;
		this.#entries = [];
		this.#bytes = 0;
		this.#timer.disarm();
		const isFirst = this.#stream === undefined;
		const stream = this.#isBlocked ? undefined : (this.#stream ??= this.#open());
		this.#count(stream === undefined ? this.#flushFailed : this.#flushed, entries.length);
		if (stream === undefined) return;
		this.#isBlocked = !stream.send(this.#encode(this.#messages, entries, isFirst));
	}

	#open(): ClusterStream | undefined {
		const { service } = this.#config;
		const cluster = this.#context.snapshot.clusters.get(service.cluster);
		if (cluster === undefined) return undefined;
		return new ClusterStream(cluster, service, method, undefined, {
			onMessage: () => undefined,
			onDrain: () => void (this.#isBlocked = false),
			onEnd: ({ code, message }) => {
				this.#stream = undefined;
				this.#isBlocked = false;
				if (!this.#isClosed) this.#context.log("grpc", "debug", "stream to the access log service ended", { cluster: service.cluster, code, message });
			},
		});
	}

	#encode({ StreamAccessLogsMessage }: LogServiceMessages, entries: readonly Uint8Array[], isFirst: boolean): Uint8Array {
		const { logName, protocol } = this.#config;
		const identifier = isFirst ? { node: describeNode(this.#context.node), logName } : undefined;
		const writer = StreamAccessLogsMessage.encode(StreamAccessLogsMessage.fromPartial({ identifier }));
		writer.uint32(fieldTags[protocol]).fork();
		for (const entry of entries) writer.uint32(fieldTags.entry).bytes(entry);
		return writer.join().finish();
	}

	/** Sends what there is; nothing is to be added any more. */
	close(): void {
		this.#isClosed = true;
		if (this.#messages !== undefined) this.#end();
	}

	#end(): void {
		this.#flush();
		this.#timer.disarm();
		this.#stream?.endSending();
		this.#scope.close();
	}
}

function describeNode({ id, cluster, metadata, locality }: NodeInfo) {
	return { id, cluster, metadata: { ...metadata }, locality, userAgentName: "weft-proxy", userAgentVersion: version };
}

interface Shared {
	readonly stream: LogServiceStream;
	users: number;
}

/** The log streams of one worker: hundreds of listeners log to the same service. */
export class LogServiceStreams {
	readonly #shared = new Map<string, Shared>();

	/** Give it back by `release` of the same configuration. */
	acquire(config: LogServiceConfig, context: WorkerContext): LogServiceStream {
		const key = keyOf(config);
		let shared = this.#shared.get(key);
		if (shared === undefined) {
			shared = { stream: new LogServiceStream(config, context), users: 0 };
			this.#shared.set(key, shared);
		}
		shared.users++;
		return shared.stream;
	}

	release(config: LogServiceConfig): void {
		const key = keyOf(config);
		const shared = this.#shared.get(key);
		if (shared === undefined || --shared.users > 0) return;
		this.#shared.delete(key);
		shared.stream.close();
	}
}

const keyOf = ({ protocol, service, logName, flushMs, bufferBytes }: LogServiceConfig): string =>
	JSON.stringify([protocol, service, logName, flushMs, bufferBytes]);
