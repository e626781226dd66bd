import type { FaultPolicy } from "../../config/http-filters.ts";
import { openCount, type SharedCount } from "../../config/shared-buckets.ts";
import { httpGauge } from "../http/http-stats.ts";
import { sendLocalReply } from "../http/local-reply.ts";
import type { HttpStream } from "../http/stream.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { responseFlags } from "../log/response-flags.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { BodyThrottle } from "../throttle/body-throttle.ts";
import { bytesPerKib, createByteBucket } from "../throttle/byte-bucket.ts";
import { createFaultFilter, type FaultAbort, type FaultDecision } from "./fault-decision.ts";
import type { Counter, FilterInputs } from "./filter-inputs.ts";

/** Body of an aborted request; details `fault_filter_abort`, flag FI. */
const abortBody = "fault filter abort";
/** How long a response waits for tokens, and the share of a second's that it begins with; ms. */
const rateIntervalMs = 50;

/** What is done to one stream. */
interface StreamFault {
	/** undefined: its response goes as it comes. */
	throttle: BodyThrottle | undefined;
}

export function compileFault(policy: FaultPolicy, inputs: FilterInputs): StreamFilter {
	const compile = createCompileContext();
	const decider = createFaultFilter(policy, compile, inputs.context.runtime);
	inputs.errors.push(...compile.errors);
	const faults = new Faults(policy, inputs);
	if (policy.delay === undefined && policy.abort === undefined && policy.responseRate === undefined) return {};
	const filter: StreamFilter = {
		onRequestHead(stream) {
			const decision = decider.decide(stream.request, stream.choice?.cluster ?? "", stream.context.random);
			return decision === undefined ? "continue" : faults.inject(stream, decision);
		},
	};
	if (policy.responseRate !== undefined) {
		filter.onResponseBody = (stream, bytes) => faults.of(stream)?.throttle?.pass(bytes) ?? bytes;
		filter.holdsResponseEnd = (stream, goOn) => faults.of(stream)?.throttle?.holdsEnd(goOn) === true;
	}
	return filter;
}

/** The faults of one connection manager, as one policy has them. */
class Faults {
	readonly #inputs: FilterInputs;
	readonly #active: SharedCount;
	readonly #activeMax: () => number;
	readonly #countDelay: Counter;
	readonly #countAbort: Counter;
	readonly #countRate: Counter;
	readonly #countOverflow: Counter;

	constructor({ keys, maxActive = Infinity }: FaultPolicy, inputs: FilterInputs) {
		const { context, counter, statPrefix } = inputs;
		this.#inputs = inputs;
		this.#active = openCount(context.buckets, context.hash64(`active faults\0${statPrefix}`));
		this.#activeMax = () => context.runtime.integer(keys.maxActive, maxActive);
		this.#countDelay = counter("fault.delays_injected");
		this.#countAbort = counter("fault.aborts_injected");
		this.#countRate = counter("fault.response_rl_injected");
		this.#countOverflow = counter("fault.faults_overflow");
	}

	of({ filters }: HttpStream): StreamFault | undefined {
		return filters.states[this.#inputs.index] as StreamFault | undefined;
	}

	inject(stream: HttpStream, decision: FaultDecision): "continue" | "stop" {
		if (decision.kibPerSecond !== undefined) this.#slowDown(stream, decision.kibPerSecond);
		if (decision.delayMs > 0 && this.#begin(stream) !== undefined) {
			this.#delay(stream, decision);
			return "stop";
		}
		if (decision.abort === undefined || this.#begin(stream) === undefined) return "continue";
		this.#answer(stream, decision.abort);
		return "stop";
	}

	/** A stream is one fault, whatever is done to it, until it is over. undefined: there are as many as may be. */
	#begin(stream: HttpStream): StreamFault | undefined {
		const known = this.of(stream);
		if (known !== undefined) return known;
		if (!this.#active.tryAdd(this.#activeMax())) {
			this.#countOverflow();
			return undefined;
		}
		const { filters, manager } = stream;
		const fault: StreamFault = { throttle: undefined };
		filters.states[this.#inputs.index] = fault;
		manager.gauge(httpGauge["fault.active_faults"], 1);
		filters.whenOver(() => {
			fault.throttle?.close();
			this.#active.remove();
			manager.gauge(httpGauge["fault.active_faults"], -1);
		});
		return fault;
	}

	#slowDown(stream: HttpStream, kibPerSecond: number): void {
		const fault = this.#begin(stream);
		if (fault === undefined) return;
		this.#countRate();
		const { context, index } = this.#inputs;
		stream.filters.seesResponseBody = true;
		fault.throttle = new BodyThrottle({
			bucket: createByteBucket(kibPerSecond * bytesPerKib, rateIntervalMs, context.nowMs),
			wheel: context.wheel,
			intervalMs: rateIntervalMs,
			bytesMax: stream.manager.bufferBytesMax,
			send: (bytes) => stream.filters.passResponse(index, bytes),
			onFull: (isFull) => stream.filters.onResponseFull(isFull),
		});
	}

	#delay(stream: HttpStream, { delayMs, abort }: FaultDecision): void {
		this.#countDelay();
		stream.info.responseFlags |= responseFlags.DI;
		const resume = stream.filters.suspend();
		stream.router.delay(delayMs, () => {
			if (abort === undefined) resume();
			else this.#answer(stream, abort);
		});
	}

	#answer(stream: HttpStream, { kind, status }: FaultAbort): void {
		this.#countAbort();
		const grpc = kind === "grpc" ? { grpcStatus: status } : {};
		sendLocalReply(stream, { status: kind === "http" ? status : 200, body: abortBody, flags: responseFlags.FI, details: "fault_filter_abort", ...grpc });
	}
}
