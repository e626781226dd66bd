import type { RetryPolicy as RetryMessage } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { OmitHostMetadataConfig } from "@weft/xds/generated/envoy/extensions/retry/host/omit_host_metadata/v3/omit_host_metadata_config.ts";
import type { PreviousPrioritiesConfig } from "@weft/xds/generated/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.ts";
import type { LbMetadata } from "../load-balancing.ts";
import type { AvoidedHosts, RateLimitedBackOff, RetryPolicy } from "../retry-policy.ts";
import { openAny } from "./any.ts";
import { type At, durationMs, onlySupports, report, under } from "./issues.ts";
import { decodeHeaderMatches } from "./matchers.ts";

const supported = [
	"retryOn",
	"numRetries",
	"perTryTimeout",
	"perTryIdleTimeout",
	"retryPriority",
	"retryHostPredicate",
	"hostSelectionRetryMaxAttempts",
	"retriableStatusCodes",
	"retryBackOff",
	"rateLimitedRetryBackOff",
	"retriableHeaders",
	"retriableRequestHeaders",
];

/** Envoy's defaults: 25 ms base, ten times that as the cap. */
const baseDefaultMs = 25;
const rateLimitedMaxDefaultMs = 300_000;

export function decodeRetry(at: At, retry: RetryMessage): RetryPolicy {
	onlySupports(at, "envoy.config.route.v3.RetryPolicy", retry, supported);
	const baseMs = Math.max(1, durationMs(retry.retryBackOff?.baseInterval) ?? baseDefaultMs);
	const maxMs = durationMs(retry.retryBackOff?.maxInterval) ?? baseMs * 10;
	if (maxMs < baseMs) report(under(at, "retryBackOff"), "max_interval must be greater than or equal to the base_interval");
	return {
		retryOn: retry.retryOn
			.split(",")
			.map((token) => token.trim())
			.filter((token) => token !== ""),
		numRetries: retry.numRetries ?? 1,
		perTryTimeoutMs: durationMs(retry.perTryTimeout),
		perTryIdleTimeoutMs: durationMs(retry.perTryIdleTimeout),
		retriableStatusCodes: retry.retriableStatusCodes,
		retriableHeaders: decodeHeaderMatches(at, retry.retriableHeaders),
		retriableRequestHeaders: decodeHeaderMatches(at, retry.retriableRequestHeaders),
		backOff: { baseMs, maxMs, ...(retry.retryBackOff === undefined && { isDefault: true }) },
		rateLimited: decodeRateLimited(retry),
		avoids: decodeAvoidedHosts(at, retry),
		previousPriorities: previousPriorities(at, retry),
		hostSelectionAttemptsMax: Number(retry.hostSelectionRetryMaxAttempts) || 1,
	};
}

function decodeRateLimited({ rateLimitedRetryBackOff: limited }: RetryMessage): RateLimitedBackOff | undefined {
	return (
		limited && {
			headers: limited.resetHeaders.map(({ name, format }) => ({ name: name.toLowerCase(), format: format === 1 ? "unixTimestamp" : "seconds" })),
			maxMs: durationMs(limited.maxInterval) ?? rateLimitedMaxDefaultMs,
		}
	);
}

const predicates = "envoy.extensions.retry.host";

function decodeAvoidedHosts(at: At, retry: RetryMessage): AvoidedHosts {
	let [previous, canary] = [false, false];
	const metadata: LbMetadata[] = [];
	retry.retryHostPredicate.forEach((predicate, i) => {
		const here = under(at, `retryHostPredicate[${i}]`);
		const opened = openAny(here, predicate.typedConfig, `retry host predicate ${predicate.name}`);
		if (opened?.typeName === `${predicates}.previous_hosts.v3.PreviousHostsPredicate`) previous = true;
		else if (opened?.typeName === `${predicates}.omit_canary_hosts.v3.OmitCanaryHostsPredicate`) canary = true;
		else if (opened?.typeName === `${predicates}.omit_host_metadata.v3.OmitHostMetadataConfig`) {
			const match = (opened.message as OmitHostMetadataConfig).metadataMatch?.filterMetadata["envoy.lb"];
			if (match !== undefined && Object.keys(match).length > 0) metadata.push(match);
		} else if (opened) report(here, `retry host predicate of type ${opened.typeName} is not implemented`);
	});
	return { previous, canary, metadata };
}

function previousPriorities(at: At, retry: RetryMessage): RetryPolicy["previousPriorities"] {
	if (retry.retryPriority === undefined) return undefined;
	const here = under(at, "retryPriority");
	const opened = openAny(here, retry.retryPriority.typedConfig, `retry priority ${retry.retryPriority.name}`);
	if (!opened) return undefined;
	if (opened.typeName !== "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig") {
		report(here, `retry priority of type ${opened.typeName} is not implemented`);
		return undefined;
	}
	return { updateFrequency: (opened.message as PreviousPrioritiesConfig).updateFrequency };
}
