import type { RetryPolicy as RetryMessage } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { PreviousPrioritiesConfig } from "@weft/xds/generated/envoy/extensions/retry/priority/previous_priorities/v3/previous_priorities_config.ts";
import type { RetryPolicy } from "../runtime-config.ts";
import { openAny } from "./any.ts";
import { type At, durationMs, onlySupports, report, under } from "./issues.ts";
import { decodeHeaderMatches } from "./matchers.ts";

const supported = [
	"retryOn",
	"numRetries",
	"perTryTimeout",
	"retryPriority",
	"retryHostPredicate",
	"hostSelectionRetryMaxAttempts",
	"retriableStatusCodes",
	"retryBackOff",
	"retriableHeaders",
	"retriableRequestHeaders",
];

/** Envoy's defaults: 25 ms base, ten times that as the cap. */
const baseDefaultMs = 25;

export function decodeRetry(at: At, retry: RetryMessage): RetryPolicy {
	onlySupports(at, "envoy.config.route.v3.RetryPolicy", retry, supported);
	const baseMs = Math.max(1, durationMs(retry.retryBackOff?.baseInterval) ?? baseDefaultMs);
	const maxMs = durationMs(retry.retryBackOff?.maxInterval) ?? baseMs * 10;
	if (maxMs < baseMs) report(under(at, "retryBackOff"), "max_interval must be greater than or equal to the base_interval");
	return {
		retryOn: retry.retryOn
			.toLowerCase()
			.split(",")
			.map((token) => token.trim())
			.filter((token) => token !== ""),
		numRetries: retry.numRetries ?? 1,
		perTryTimeoutMs: durationMs(retry.perTryTimeout),
		retriableStatusCodes: retry.retriableStatusCodes,
		retriableHeaders: decodeHeaderMatches(at, retry.retriableHeaders),
		retriableRequestHeaders: decodeHeaderMatches(at, retry.retriableRequestHeaders),
		backOff: { baseMs, maxMs },
		previousHosts: hasPreviousHosts(at, retry),
		previousPriorities: previousPriorities(at, retry),
		hostSelectionAttemptsMax: Number(retry.hostSelectionRetryMaxAttempts) || 1,
	};
}

function hasPreviousHosts(at: At, retry: RetryMessage): boolean {
	let found = false;
	retry.retryHostPredicate.forEach((predicate, i) => {
		const here = under(at, `retryHostPredicate[${i}]`);
		const opened = openAny(here, predicate.typedConfig, `retry host predicate ${predicate.name}`);
		if (opened?.typeName === "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate") found = true;
		else if (opened) report(here, `retry host predicate of type ${opened.typeName} is not implemented`);
	});
	return found;
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
