import type { HTTPRetry } from "@weft/api";
import type { Any } from "@weft/xds";
import { PreviousHostsPredicate } from "@weft/xds/generated/envoy/extensions/retry/host/previous_hosts/v3/previous_hosts.ts";
import { PreviousPrioritiesConfig } from "@weft/xds/generated/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.ts";
import { type Duration, durationOf, packed } from "./values.ts";

export interface RetryPolicyValue {
	readonly retryOn: string;
	readonly numRetries: number;
	readonly perTryTimeout?: Duration;
	readonly retryPriority?: { readonly name: string; readonly typedConfig: Any };
	readonly retryHostPredicate?: readonly { readonly name: string; readonly typedConfig: Any }[];
	readonly hostSelectionRetryMaxAttempts?: bigint;
	readonly retriableStatusCodes?: readonly number[];
	readonly retryBackOff?: { readonly baseInterval: Duration };
}

const previousHosts = {
	name: "envoy.retry_host_predicates.previous_hosts",
	typedConfig: packed("envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate", PreviousHostsPredicate, {}),
};

const previousPriorities = {
	name: "envoy.retry_priorities.previous_priorities",
	typedConfig: packed("envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig", PreviousPrioritiesConfig, {
		updateFrequency: 2,
	}),
};

const retriableStatusCodes = "retriable-status-codes";

/** What Istio retries where nobody says anything: only requests that no server can have seen, twice, on other hosts. */
export const defaultRetryPolicy: RetryPolicyValue = {
	retryOn: "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
	numRetries: 2,
	retryHostPredicate: [previousHosts],
	hostSelectionRetryMaxAttempts: 5n,
};

/** A consistent hash gives the same host again, so shunning previous hosts would only burn selection attempts. */
const { retryHostPredicate: _, ...hashedRetryPolicy }: RetryPolicyValue = defaultRetryPolicy;

/**
 * @param retry the route's own policy, or the mesh's
 * @param hashed whether the destination is chosen by consistent hash
 * @returns undefined where retries are switched off (`attempts: 0`)
 */
export function buildRetryPolicy(retry: HTTPRetry | undefined, hashed: boolean): RetryPolicyValue | undefined {
	const base = hashed ? hashedRetryPolicy : defaultRetryPolicy;
	if (retry === undefined) return base;
	const attempts = retry.attempts ?? 0;
	if (attempts <= 0) return undefined;
	const perTryTimeout = durationOf(retry.perTryTimeout);
	const backoff = durationOf(retry.backoff);
	return {
		...base,
		numRetries: attempts,
		...(retry.retryOn ? splitRetryOn(retry.retryOn) : {}),
		...(perTryTimeout ? { perTryTimeout } : {}),
		...(backoff ? { retryBackOff: { baseInterval: backoff } } : {}),
		...(retry.retryRemoteLocalities ? { retryPriority: previousPriorities } : {}),
		...previousHostsOverride(retry.retryIgnorePreviousHosts),
	};
}

function previousHostsOverride(ignorePrevious: boolean | undefined): Partial<RetryPolicyValue> {
	if (ignorePrevious === undefined) return {};
	return ignorePrevious ? { retryHostPredicate: [previousHosts], hostSelectionRetryMaxAttempts: 5n } : { retryHostPredicate: [] };
}

/** `5xx,429` holds conditions and status codes; Envoy wants them apart. */
function splitRetryOn(retryOn: string): Pick<RetryPolicyValue, "retryOn" | "retriableStatusCodes"> {
	const parts = retryOn
		.split(",")
		.map((part) => part.trim())
		.filter((part) => part !== "");
	const codes = parts.filter((part) => /^\d{3}$/.test(part)).map(Number);
	const conditions = parts.filter((part) => !/^\d{3}$/.test(part));
	if (codes.length > 0 && !conditions.includes(retriableStatusCodes)) conditions.push(retriableStatusCodes);
	return { retryOn: conditions.join(","), ...(codes.length > 0 ? { retriableStatusCodes: codes } : {}) };
}
