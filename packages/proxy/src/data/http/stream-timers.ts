import { httpStat } from "./http-stats.ts";
import { sendLocalReply } from "./local-reply.ts";
import type { HttpStream } from "./stream.ts";
import { responseFlags } from "../log/response-flags.ts";
import { Timer } from "../transport/timers.ts";

/** Of gRPC. */
const deadlineExceeded = 4;

/** How long one stream may be silent, its request be on its way, and all of it last. */
export class StreamTimers {
	readonly #stream: HttpStream;
	readonly #idle: Timer;
	readonly #request: Timer;
	readonly #duration: Timer;
	#lastActiveAt = 0;
	/** 0: for ever. */
	#idleTimeoutMs = 0;

	constructor(stream: HttpStream) {
		const { wheel } = stream.context;
		this.#stream = stream;
		this.#idle = new Timer(wheel, () => this.#onIdle());
		this.#request = new Timer(wheel, () => {
			stream.manager.count(httpStat.downstream_rq_timeout);
			this.#reply("request timeout", "request_overall_timeout", 0);
		});
		this.#duration = new Timer(wheel, () => {
			stream.manager.count(httpStat.downstream_rq_max_duration_reached);
			this.#reply("downstream duration timeout", "max_duration_timeout", 0, deadlineExceeded);
		});
	}

	/** By the connection manager; a route may say otherwise later. */
	start(): void {
		const { isRequestComplete, manager } = this.#stream;
		const { maxStreamDurationMs, requestTimeoutMs, streamIdleTimeoutMs } = manager.config;
		this.setIdle(streamIdleTimeoutMs);
		if (maxStreamDurationMs > 0) this.#duration.arm(maxStreamDurationMs);
		if (requestTimeoutMs > 0 && !isRequestComplete) this.#request.arm(requestTimeoutMs);
	}

	setIdle(timeoutMs: number): void {
		this.#idleTimeoutMs = timeoutMs;
		this.#idle.arm(this.#scaledIdleMs);
	}

	/** What passes from here on is a tunnel's. */
	restartIdle(): void {
		this.setIdle(this.#idleTimeoutMs);
	}

	/** Counted from the request's beginning; 0: without end. */
	setMaxDuration(durationMs: number): void {
		if (durationMs === 0) return this.#duration.disarm();
		this.endAfter(durationMs);
	}

	/** As `setMaxDuration`; 0: at once. */
	endAfter(durationMs: number): void {
		const { context, info } = this.#stream;
		this.#duration.arm(Math.max(1, durationMs - (context.nowMs() - info.startAt)));
	}

	touch(nowMs: number): void {
		this.#lastActiveAt = nowMs;
	}

	onRequestEnd(): void {
		this.#request.disarm();
	}

	/** As the overload manager wants it now. */
	get #scaledIdleMs(): number {
		const { context, manager } = this.#stream;
		const { overload } = context;
		return overload === undefined || manager.bypassesOverload ? this.#idleTimeoutMs : overload.scale("streamIdle", this.#idleTimeoutMs);
	}

	/** Timeouts may have become shorter, or longer again. */
	onOverload(): void {
		if (this.#stream.isOver || this.#idleTimeoutMs === 0) return;
		this.#idle.arm(Math.max(1, this.#lastActiveAt + this.#scaledIdleMs - this.#stream.context.nowMs()));
	}

	#onIdle(): void {
		const { context, manager } = this.#stream;
		const rest = this.#lastActiveAt + this.#scaledIdleMs - context.nowMs();
		if (rest > 1) return this.#idle.arm(rest);
		manager.count(httpStat.downstream_rq_idle_timeout);
		this.#reply("stream timeout", "stream_idle_timeout", responseFlags.SI);
	}

	/** 408 while the client is the slow one, 504 once it has said all. */
	#reply(body: string, details: string, flags: number, grpcStatus?: number): void {
		const stream = this.#stream;
		stream.router.cancel();
		const status = stream.isRequestComplete ? 504 : 408;
		sendLocalReply(stream, { status, body, flags, details, ...(grpcStatus !== undefined && { grpcStatus }) });
	}

	cancel(): void {
		this.#idle.cancel();
		this.#request.cancel();
		this.#duration.cancel();
	}

	dispose(): void {
		this.#idle.disarm();
		this.#request.disarm();
		this.#duration.disarm();
	}
}
