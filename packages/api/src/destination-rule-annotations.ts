// What a DestinationRule can say beyond Istio's fields, as annotations:
//   weft.dev/outlier-failure-percentage: "percent=50, requests=20, window=10s"
//     A host is ejected when, of at least `requests` (default 50) requests within `window` (default: the rule's outlierDetection
//     interval, else 10s), `percent` or more failed (5xx, or no answer).
//   weft.dev/load-balancer: "peak-ewma", or "peak-ewma:19"
//     The host with the least (moving average of the answer time × requests under way) of two; the average is over the last
//     9 requests, or as many as are named (α = 2 ÷ (N + 1)). A stock Envoy balances by LEAST_REQUEST instead.

export const outlierFailurePercentageAnnotation = "weft.dev/outlier-failure-percentage";
export const loadBalancerAnnotation = "weft.dev/load-balancer";

export interface OutlierFailurePercentage {
	/** 1 to 100. */
	readonly percent: number;
	readonly requests: number;
	/** undefined: the interval of the rule's own outlierDetection. */
	readonly windowMs: number | undefined;
}

export interface OwnLoadBalancer {
	readonly name: "peak-ewma";
	/** Over how many requests the average goes. */
	readonly requests: number;
}

/** The value, or what is wrong with it. */
export type ParsedAnnotation<T> = { readonly value: T; readonly problem?: undefined } | { readonly value?: undefined; readonly problem: string };

const requestsDefault = 50;
const ewmaRequestsDefault = 9;
const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const example = 'write "percent=50, requests=20, window=10s"';

export function parseOutlierFailurePercentage(text: string): ParsedAnnotation<OutlierFailurePercentage> {
	const fields = new Map<string, string>();
	for (const part of text.split(",")) {
		const match = /^\s*(percent|requests|window)\s*=\s*(\S+)\s*$/.exec(part);
		if (!match) return { problem: `${JSON.stringify(part.trim())} is none of percent, requests and window with a value; ${example}` };
		fields.set(match[1] as string, match[2] as string);
	}
	const percent = Number(fields.get("percent"));
	if (!Number.isInteger(percent) || percent < 1 || percent > 100) return { problem: `percent must be a whole number from 1 to 100; ${example}` };
	const requests = Number(fields.get("requests") ?? requestsDefault);
	if (!Number.isInteger(requests) || requests < 1) return { problem: `requests must be a whole number of at least 1; ${example}` };
	const window = fields.get("window");
	const windowMs = window === undefined ? undefined : durationMs(window);
	if (window !== undefined && (windowMs === undefined || windowMs < 1)) return { problem: `window ${JSON.stringify(window)} is no duration; ${example}` };
	return { value: { percent, requests, windowMs } };
}

function durationMs(text: string): number | undefined {
	const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)$/.exec(text);
	return match ? Number(match[1]) * (unitMs[match[2] as string] ?? 1) : undefined;
}

export function parseOwnLoadBalancer(text: string): ParsedAnnotation<OwnLoadBalancer> {
	const match = /^peak-ewma(?::([1-9]\d{0,5}))?$/.exec(text.trim());
	if (!match) return { problem: `${JSON.stringify(text)} is no load balancer of Weft's; write "peak-ewma" or "peak-ewma:19"` };
	return { value: { name: "peak-ewma", requests: Number(match[1] ?? ewmaRequestsDefault) } };
}
