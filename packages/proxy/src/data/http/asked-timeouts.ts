import type { HeadersEdit } from "../headers/headers-view.ts";

/** Timeouts that the caller asks for; only callers from inside are let through with these headers. */
export interface AskedTimeouts {
	/** 0: none. */
	readonly timeoutMs: number | undefined;
	readonly perTryTimeoutMs: number | undefined;
	/** Of one attempt, the answer's body included; 0: none. */
	readonly streamDurationMs: number | undefined;
	readonly hedges: boolean | undefined;
	/** 204 instead of 504. */
	readonly isAnsweredEmpty: boolean;
}

export const nothingAsked: AskedTimeouts = {
	timeoutMs: undefined,
	perTryTimeoutMs: undefined,
	streamDurationMs: undefined,
	hedges: undefined,
	isAnsweredEmpty: false,
};

/** Reads and removes them: they are for this hop. */
export function takeTimeoutHeaders(head: HeadersEdit): AskedTimeouts {
	// For this hop as well, and without effect: there are no statistics under a caller's own name.
	take(head, "x-envoy-upstream-alt-stat-name");
	const hedges = take(head, "x-envoy-hedge-on-per-try-timeout");
	return {
		timeoutMs: takeNumber(head, "x-envoy-upstream-rq-timeout-ms"),
		perTryTimeoutMs: takeNumber(head, "x-envoy-upstream-rq-per-try-timeout-ms"),
		streamDurationMs: takeNumber(head, "x-envoy-upstream-stream-duration-ms"),
		hedges: hedges === "true" ? true : hedges === "false" ? false : undefined,
		isAnsweredEmpty: take(head, "x-envoy-upstream-rq-timeout-alt-response") !== undefined,
	};
}

function takeNumber(head: HeadersEdit, name: string): number | undefined {
	const text = take(head, name);
	return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

function take(head: HeadersEdit, name: string): string | undefined {
	const value = head.get(name);
	if (value !== undefined) head.remove(name);
	return value;
}
