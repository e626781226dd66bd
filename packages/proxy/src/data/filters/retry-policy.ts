import type { RetryPolicy } from "../../config/retry-policy.ts";
import type { HeadersEdit, HeadersView, RequestView } from "../headers/headers-view.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileHeaderMatch, compileResponseHeaderMatch } from "../match/header-match.ts";

/** How an attempt ended without a usable response. */
export type ResetReason =
	| "connectFailure"
	| "connectTimeout"
	/** A circuit breaker was open: never retried. */
	| "overflow"
	| "remoteReset"
	| "remoteRefused"
	| "localReset"
	| "connectionTermination"
	| "protocolError"
	| "perTryTimeout";

/** A policy ready for decisions; see `retry-state.ts` for the counting. */
export interface CompiledRetryPolicy {
	readonly config: RetryPolicy;
	/** False: there is nothing after which it retries. */
	readonly hasConditions: boolean;
	/** False: nothing about this request is to be retried. */
	readonly takesRequest: (head: RequestView) => boolean;
	retriesResponse(status: number, head: HeadersView): boolean;
	/** `requestStarted`: some of the request was already written upstream. */
	retriesReset(reason: ResetReason, requestStarted: boolean): boolean;
}

/** gRPC statuses that trailers-only responses carry in their head. */
const grpcConditions: ReadonlyMap<string, number> = new Map([
	["cancelled", 1],
	["deadline-exceeded", 4],
	["resource-exhausted", 8],
	["internal", 13],
	["unavailable", 14],
]);

const conditions: ReadonlySet<string> = new Set([
	"5xx",
	"gateway-error",
	"reset",
	"reset-before-request",
	"connect-failure",
	"envoy-ratelimited",
	"refused-stream",
	"retriable-4xx",
	"retriable-status-codes",
	"retriable-headers",
	...grpcConditions.keys(),
]);

export function compileRetryPolicy(config: RetryPolicy): { readonly value: CompiledRetryPolicy; readonly errors: readonly string[] } {
	const context = createCompileContext();
	const on = new Set(config.retryOn);
	const statusCodes = new Set(on.has("retriable-status-codes") ? config.retriableStatusCodes : []);
	const headers = on.has("retriable-headers") ? config.retriableHeaders.map((header) => compileResponseHeaderMatch(header, context)) : [];
	const grpcStatuses = new Set(Array.from(grpcConditions).flatMap(([token, status]) => (on.has(token) ? [String(status)] : [])));
	const [on5xx, onGateway, on4xx, onRateLimited] = [on.has("5xx"), on.has("gateway-error"), on.has("retriable-4xx"), on.has("envoy-ratelimited")];
	const retriesResponse = (status: number, head: HeadersView) => {
		if (head.has("x-envoy-ratelimited")) return onRateLimited;
		if (on5xx && status >= 500) return true;
		if (onGateway && status >= 502 && status <= 504) return true;
		if (on4xx && status === 409) return true;
		if (statusCodes.has(status) || headers.some((test) => test(head))) return true;
		return grpcStatuses.size > 0 && grpcStatuses.has(head.get("grpc-status") ?? "");
	};
	const onAnyReset = on5xx || onGateway || on.has("reset");
	const retriesReset = (reason: ResetReason, requestStarted: boolean) => {
		if (reason === "overflow") return false;
		if (onAnyReset) return true;
		if (!requestStarted && on.has("reset-before-request")) return true;
		if (reason === "connectFailure" || reason === "connectTimeout") return on.has("connect-failure");
		return reason === "remoteRefused" && on.has("refused-stream");
	};
	const safe = config.retriableRequestHeaders.map((header) => compileHeaderMatch(header, context));
	const takesRequest = (head: RequestView) => safe.length === 0 || safe.some((test) => test(head));
	return {
		value: { config, hasConditions: config.retryOn.some((token) => conditions.has(token)), takesRequest, retriesResponse, retriesReset },
		errors: context.errors,
	};
}

const requestHeaders = [
	"x-envoy-retry-on",
	"x-envoy-retry-grpc-on",
	"x-envoy-max-retries",
	"x-envoy-retriable-status-codes",
	"x-envoy-retriable-header-names",
] as const;

/** With those that are read with the request's timeouts: who says them later says them to nobody. */
const keptBack: readonly string[] = [
	...requestHeaders,
	"x-envoy-hedge-on-per-try-timeout",
	"x-envoy-upstream-rq-per-try-timeout-ms",
	"x-envoy-upstream-stream-duration-ms",
];

/**
 * The route's policy widened by `x-envoy-retry-*` headers, which filters and routes may set, and of callers only internal
 * ones (the connection manager strips them from others), and which go no further. The same object when there are none.
 */
export function applyRetryHeaders(policy: CompiledRetryPolicy | undefined, head: HeadersEdit): CompiledRetryPolicy | undefined {
	const widened = requestHeaders.some((name) => head.has(name)) ? widen(policy, head) : policy;
	for (const name of keptBack) head.remove(name);
	return widened;
}

function widen(policy: CompiledRetryPolicy | undefined, head: HeadersView): CompiledRetryPolicy {
	const list = (name: string) =>
		(head.get(name) ?? "")
			.split(",")
			.map((token) => token.trim())
			.filter((token) => token !== "");
	const base = policy?.config ?? noRetries;
	const codes = list("x-envoy-retriable-status-codes").map(Number).filter(Number.isInteger);
	const names = list("x-envoy-retriable-header-names").map((name) => name.toLowerCase());
	const asked = [...list("x-envoy-retry-on"), ...list("x-envoy-retry-grpc-on")];
	const max = head.get("x-envoy-max-retries");
	const numRetries = max !== undefined && /^\d{1,9}$/.test(max) ? Number(max) : Math.max(base.numRetries, asked.length > 0 ? 1 : 0);
	const retriableHeaders = names.map((name) => ({ name, match: { kind: "present" }, invert: false, treatMissingAsEmpty: false }) as const);
	return compileRetryPolicy({
		...base,
		numRetries,
		retryOn: [...base.retryOn, ...asked],
		retriableStatusCodes: [...base.retriableStatusCodes, ...codes],
		retriableHeaders: [...base.retriableHeaders, ...retriableHeaders],
	}).value;
}

const noRetries: RetryPolicy = {
	retryOn: [],
	numRetries: 0,
	perTryTimeoutMs: undefined,
	perTryIdleTimeoutMs: undefined,
	retriableStatusCodes: [],
	retriableHeaders: [],
	retriableRequestHeaders: [],
	backOff: { baseMs: 25, maxMs: 250, isDefault: true },
	rateLimited: undefined,
	avoids: { previous: false, canary: false, metadata: [] },
	previousPriorities: undefined,
	hostSelectionAttemptsMax: 1,
};
