import type { RuntimeValues } from "../../config/runtime-values.ts";
import type { RouteTracing, Tracing } from "../../config/telemetry.ts";
import { known } from "../codec/known-names.ts";
import type { RequestHead } from "../codec/request-head.ts";

/** Why a request is traced, or that it is not. */
export type TraceReason = "notTraceable" | "sampled" | "serviceForced" | "clientForced";

/** The digit of the request id's UUID that says it; 4 is what a random UUID has there. */
const reasonDigits: Readonly<Record<TraceReason, string>> = { notTraceable: "4", sampled: "9", serviceForced: "a", clientForced: "b" };
const digitAt = 14;
const all = 10_000;

/** `key`: where the runtime may say otherwise. */
function shares(configured: number, value: number, runtime: RuntimeValues, key: string): boolean {
	if (runtime.isEmpty) return configured >= all || value < configured;
	const { denominator, numerator } = runtime.share({ numerator: configured, denominator: all }, key);
	return numerator >= denominator || value * denominator < numerator * all;
}

/**
 * Whether a request is traced, as Envoy decides it (conn_manager_utility, mutateTracingRequestHeader): what an earlier
 * proxy wrote into the request id counts; otherwise a client's wish, a service's, or the dice, which are the request id
 * itself. What comes of it is written into the request id. undefined: there is no usable request id.
 */
export function decideTrace(
	head: RequestHead,
	config: Tracing,
	route: RouteTracing | undefined,
	random: () => number,
	runtime: RuntimeValues,
): TraceReason | undefined {
	const id = head.get("x-request-id");
	if (id === undefined || !isUuid(id)) return undefined;
	const value = config.samplesByRequestId ? Number.parseInt(id.slice(0, 8), 16) % all : Math.floor(random() * all);
	const { clientSampling, overallSampling, randomSampling } = route ?? config;
	const before = reasonOf(id);
	let reason = before;
	if (reason === "notTraceable") {
		if (head.has("x-client-trace-id") && shares(clientSampling, Math.floor(random() * all), runtime, "tracing.client_enabled")) reason = "clientForced";
		else if (head.has("x-envoy-force-trace")) reason = "serviceForced";
		else if (shares(randomSampling, value, runtime, "tracing.random_sampling")) reason = "sampled";
	}
	if (reason !== "notTraceable" && !shares(overallSampling, value, runtime, "tracing.global_enabled")) reason = "notTraceable";
	if (reason !== before && config.packTraceReason) {
		head.replaceKnown(known["x-request-id"], "x-request-id", `${id.slice(0, digitAt)}${reasonDigits[reason]}${id.slice(digitAt + 1)}`);
	}
	return reason;
}

function isUuid(id: string): boolean {
	return id.length === 36 && /^[0-9a-fA-F]{8}-/.test(id);
}

function reasonOf(id: string): TraceReason {
	switch (id[digitAt]) {
		case "9":
			return "sampled";
		case "a":
			return "serviceForced";
		case "b":
			return "clientForced";
		default:
			return "notTraceable";
	}
}
