import type { LbMetadata } from "./load-balancing.ts";
import type { HeaderMatch } from "./matchers.ts";

export interface RetryPolicy {
	/** Tokens of `retry_on`, gRPC ones included; case matters, as in Envoy. */
	readonly retryOn: readonly string[];
	readonly numRetries: number;
	/** undefined: none. */
	readonly perTryTimeoutMs: number | undefined;
	/** How long an attempt may be silent; undefined: for ever. */
	readonly perTryIdleTimeoutMs: number | undefined;
	readonly retriableStatusCodes: readonly number[];
	readonly retriableHeaders: readonly HeaderMatch[];
	/** Of requests that may be retried; none: any. */
	readonly retriableRequestHeaders: readonly HeaderMatch[];
	/** `isDefault`: nobody configured it, and the runtime may say otherwise. */
	readonly backOff: { readonly baseMs: number; readonly maxMs: number; readonly isDefault?: boolean };
	/** Waits that a host asks for instead of the back-off. */
	readonly rateLimited: RateLimitedBackOff | undefined;
	readonly avoids: AvoidedHosts;
	readonly previousPriorities: { readonly updateFrequency: number } | undefined;
	readonly hostSelectionAttemptsMax: number;
}

export interface RateLimitedBackOff {
	/** The first that is there and says no more than `maxMs` counts. */
	readonly headers: readonly { readonly name: string; readonly format: "seconds" | "unixTimestamp" }[];
	readonly maxMs: number;
}

/** Hosts that a retry is not to go to, as long as there are others (`retry_host_predicate`). */
export interface AvoidedHosts {
	/** Those that were tried. */
	readonly previous: boolean;
	/** Those whose `envoy.lb` says `canary: true`. */
	readonly canary: boolean;
	/** Those whose `envoy.lb` has all of these values; one a predicate. */
	readonly metadata: readonly LbMetadata[];
}
