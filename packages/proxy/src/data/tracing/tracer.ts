import type { TracingProvider } from "../../config/telemetry.ts";
import type { HeadersEdit } from "../headers/headers-view.ts";
import type { WorkerContext } from "../worker/context.ts";
import { createOpenTelemetryTracer } from "./open-telemetry.ts";
import type { Span } from "./span.ts";
import { createZipkinTracer } from "./zipkin.ts";

export interface SpanStart {
	/** Epoch microseconds. */
	readonly startUs: number;
	/** Whether this proxy would trace the request. */
	readonly isTraced: boolean;
	readonly isServer: boolean;
	readonly authority: string;
}

/** One tracing system: how it reads and writes trace contexts, and where its spans go. */
export interface Tracer {
	/** The span of a request, whose head says what it belongs to. */
	start(head: HeadersEdit, start: SpanStart): Span;
	/** A span inside `parent`, for what is asked of an upstream. */
	spawn(parent: Span, name: string, startUs: number): Span;
	inject(span: Span, head: HeadersEdit): void;
	/** Takes a finished span; it is sent later, or dropped and counted. */
	report(span: Span): void;
	/** No user is left: what is waiting is sent now. */
	close(): void;
}

interface Shared {
	readonly tracer: Tracer;
	users: number;
}

/** The tracers of one worker: connection managers with the same provider share one, and so its batches. */
export class Tracers {
	readonly #shared = new Map<string, Shared>();

	/** Give it back by `release` with the same provider. */
	acquire(provider: TracingProvider, context: WorkerContext): Tracer {
		const key = JSON.stringify(provider);
		let shared = this.#shared.get(key);
		if (shared === undefined) {
			shared = { tracer: provider.kind === "zipkin" ? createZipkinTracer(provider, context) : createOpenTelemetryTracer(provider, context), users: 0 };
			this.#shared.set(key, shared);
		}
		shared.users++;
		return shared.tracer;
	}

	release(provider: TracingProvider): void {
		const key = JSON.stringify(provider);
		const shared = this.#shared.get(key);
		if (shared === undefined || --shared.users > 0) return;
		this.#shared.delete(key);
		shared.tracer.close();
	}
}
