import type { Listener } from "../../config/listeners.ts";
import type { CustomTag, Tracing } from "../../config/telemetry.ts";
import type { HttpStream } from "../http/stream.ts";
import type { WorkerContext } from "../worker/context.ts";
import { compileCustomTags, type CompiledTag } from "./custom-tags.ts";
import { decideTrace, type TraceReason } from "./trace-decision.ts";
import { RequestTrace } from "./request-trace.ts";
import type { Tracer } from "./tracer.ts";

export type TracingStat = "random_sampling" | "service_forced" | "client_enabled" | "not_traceable" | "health_check";

const statOf: Readonly<Record<TraceReason, TracingStat>> = {
	sampled: "random_sampling",
	serviceForced: "service_forced",
	clientForced: "client_enabled",
	notTraceable: "not_traceable",
};

/** The tracing of one connection manager. */
export class ManagerTracing {
	readonly config: Tracing;
	readonly tracer: Tracer | undefined;
	readonly isServer: boolean;
	readonly #context: WorkerContext;
	readonly #tags: readonly CompiledTag[];
	/** Of routes that have their own, by what they say. */
	readonly #routeTags = new WeakMap<readonly CustomTag[], readonly CompiledTag[]>();
	readonly #count: (stat: TracingStat) => void;

	constructor(config: Tracing, direction: Listener["direction"], context: WorkerContext, count: (stat: TracingStat) => void) {
		this.config = config;
		this.#context = context;
		this.#count = count;
		this.isServer = direction !== "outbound";
		this.tracer = config.provider && context.tracers.acquire(config.provider, context);
		this.#tags = compileCustomTags(config.customTags, context.environment);
	}

	/** Once the route is known: decides, and begins the request's span. */
	begin(stream: HttpStream): RequestTrace | undefined {
		const { context, request, route } = stream;
		const reason = decideTrace(request, this.config, route?.config.tracing, context.random, context.runtime) ?? "notTraceable";
		this.#count(statOf[reason]);
		return this.tracer && new RequestTrace(this, this.tracer, stream, reason !== "notTraceable");
	}

	/** A route's tags count before the connection manager's of the same name. */
	tagsOf({ route }: HttpStream): readonly CompiledTag[] {
		const own = route?.config.tracing?.customTags ?? [];
		if (own.length === 0) return this.#tags;
		let tags = this.#routeTags.get(own);
		if (tags === undefined) {
			const names = new Set(own.map(({ tag }) => tag));
			tags = [...this.#tags.filter(({ name }) => !names.has(name)), ...compileCustomTags(own, this.#context.environment)];
			this.#routeTags.set(own, tags);
		}
		return tags;
	}

	close(): void {
		if (this.config.provider !== undefined) this.#context.tracers.release(this.config.provider);
	}
}
