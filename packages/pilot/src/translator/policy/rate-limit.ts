import type { ConfigObject, GlobalRateLimit, RateLimitEntrySpec, RateLimitKey, RateLimitMatch, RateLimitRule, StringMatch } from "@weft/api";
import type { HeaderMatcher } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { RateLimit_Action } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { LocalRateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/local_ratelimit/v3/local_rate_limit.ts";
import { FractionalPercent_DenominatorType } from "@weft/xds/generated/envoy/type/v3/percent.ts";
import { RateLimit } from "@weft/xds/generated/envoy/extensions/filters/http/ratelimit/v3/rate_limit.ts";
import { ApiVersion } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { resolveHost } from "../../model/hosts.ts";
import type { HttpFilter } from "../listeners/http-filters/filter.ts";
import { createMemo } from "../memo.ts";
import { outboundClusterName } from "../routes/cluster-name.ts";
import { durationOf, packed } from "../routes/values.ts";
import { envoyGrpc } from "./provider-service.ts";

type Policy = ConfigObject<"RateLimit">;

const built = createMemo<readonly HttpFilter[]>();
const none: readonly HttpFilter[] = [];

/**
 * A filter for each limit, the policies' oldest first: each counts for itself, and a request must pass all of them. Services are
 * asked last: what a proxy refuses by itself costs them nothing.
 *
 * @param domain of services' names
 */
export function buildRateLimits(policies: readonly Policy[], domain: string): readonly HttpFilter[] {
	if (policies.length === 0) return none;
	return built.get([policies], domain, () => [
		...policies.flatMap((policy) => (policy.spec.limits ?? []).map((limit, i) => rateLimitFilter(policy, limit, i))),
		...policies.flatMap((policy) => (policy.spec.global === undefined ? [] : [globalFilter(policy, policy.spec.global, domain)])),
	]);
}

/** Envoy's own default, 20 ms, is less than a service on another node may take. */
const serviceTimeout = { seconds: 0n, nanos: 100_000_000 };

/** The filter has its descriptions of requests with it, so that one is the whole of a policy. */
function globalFilter(
	{ metadata }: Policy,
	{ host, port, domain, descriptors, timeout, failureMode = "OPEN" }: GlobalRateLimit,
	clusterDomain: string,
): HttpFilter {
	const service = resolveHost(host, metadata.namespace, clusterDomain);
	const config = {
		domain,
		timeout: durationOf(timeout) ?? serviceTimeout,
		failureModeDeny: failureMode === "CLOSED",
		enableXRatelimitHeaders: 1,
		statPrefix: `${metadata.namespace}.${metadata.name}`,
		rateLimitService: { transportApiVersion: ApiVersion.V3, grpcService: envoyGrpc({ hostname: service, cluster: outboundClusterName(port, "", service) }) },
		rateLimits: descriptors.map(({ entries }) => ({ actions: entries.map(serviceAction) })),
	};
	return { name: "envoy.filters.http.ratelimit", typedConfig: packed("envoy.extensions.filters.http.ratelimit.v3.RateLimit", RateLimit, config) };
}

function serviceAction({ key = "", value, match, header, claim }: RateLimitEntrySpec): Partial<RateLimit_Action> {
	if (value !== undefined && match !== undefined)
		return { headerValueMatch: { ...headerValueMatch(matchersOf(match)), descriptorKey: key, descriptorValue: value } };
	if (value !== undefined) return { genericKey: { descriptorKey: key, descriptorValue: value } };
	if (header !== undefined) return { requestHeaders: { headerName: header, descriptorKey: key, skipIfAbsent: false } };
	return claim === undefined ? { remoteAddress: {} } : claimAction(claim, key);
}

function claimAction(claim: string, descriptorKey: string): Partial<RateLimit_Action> {
	const metadataKey = { key: "envoy.filters.http.jwt_authn", path: [{ key: "payload" }, { key: claim }] };
	return { metadata: { descriptorKey, metadataKey, defaultValue: "-", source: 0, skipIfAbsent: false } };
}

const secondsOf = { SECOND: 1n, MINUTE: 60n, HOUR: 3_600n, DAY: 86_400n } as const;

/** Values of one limit's keys that a proxy keeps counts of; the least recently used is forgotten first. */
const valuesMax = 10_000;

const uint32Max = 0xffff_ffff;
/** The filter wants a bucket for what no descriptor is for. */
const unlimited = { maxTokens: uint32Max, tokensPerFill: uint32Max, fillInterval: { seconds: 1n, nanos: 0 } };

function rateLimitFilter({ metadata }: Policy, { requests, unit, burst, match, per = [] }: RateLimitRule, index: number): HttpFilter {
	const tokenBucket = { maxTokens: burst ?? requests, tokensPerFill: requests, fillInterval: { seconds: secondsOf[unit], nanos: 0 } };
	const isDryRun = /^(?:1|t|T|true|TRUE|True)$/.test(metadata.annotations["istio.io/dry-run"] ?? "");
	const counted = countsOf(match, per);
	const always = percent(100);
	const config = {
		statPrefix: `weft_rate_limit.${metadata.namespace}.${metadata.name}.${index}`,
		filterEnabled: always,
		filterEnforced: isDryRun ? percent(0) : always,
		enableXRatelimitHeaders: 1,
		...(counted.length === 0
			? { tokenBucket }
			: {
					tokenBucket: unlimited,
					alwaysConsumeDefaultTokenBucket: false,
					rateLimits: counted.map(({ actions }) => ({ actions })),
					descriptors: counted.map(({ entries }) => ({ entries, tokenBucket })),
					maxDynamicDescriptors: valuesMax,
				}),
	};
	const typeName = "envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit";
	return { name: "envoy.filters.http.local_ratelimit", typedConfig: packed(typeName, LocalRateLimit, config) };
}

const percent = (numerator: number) => ({ runtimeKey: "weft.rate_limit", defaultValue: { numerator, denominator: FractionalPercent_DenominatorType.HUNDRED } });

/** One descriptor: how a request gets it, and the entries by which it is found. */
interface Count {
	readonly actions: readonly Partial<RateLimit_Action>[];
	readonly entries: readonly { readonly key: string; readonly value: string }[];
}

/** None: all requests are one count. A header that a client leaves out must not free it from the limit: those without share a count. */
function countsOf(match: RateLimitMatch | undefined, per: readonly RateLimitKey[]): readonly Count[] {
	const matched = match === undefined ? [] : matchersOf(match);
	if (matched.length === 0 && per.length === 0) return [];
	const base = (extra: readonly Matcher[]): Count => ({
		actions: [{ headerValueMatch: headerValueMatch([...matched, ...extra]) }],
		entries: [{ key: "header_match", value: "yes" }],
	});
	const whole = base([]);
	const keyed: Count = {
		actions: [...whole.actions, ...per.map(actionOf)],
		entries: [...whole.entries, ...per.map((key, i) => ({ key: entryKey(key, i), value: "" }))],
	};
	const without = per.flatMap(({ header }, i) => {
		if (header === undefined) return [];
		const own = base([{ name: header, presentMatch: true, invertMatch: true }]);
		const key = `without_${i}`;
		return [{ actions: [...own.actions, generic(key)], entries: [...own.entries, { key, value: "yes" }] }];
	});
	return [per.length === 0 ? whole : keyed, ...without];
}

/** The action for addresses names its entry itself. */
const entryKey = ({ clientAddress }: RateLimitKey, index: number): string => (clientAddress ? "remote_address" : `per_${index}`);

const generic = (descriptorKey: string): Partial<RateLimit_Action> => ({
	genericKey: { descriptorKey, descriptorValue: "yes" },
});

type Matcher = Partial<HeaderMatcher>;

function headerValueMatch(headers: readonly Matcher[]): NonNullable<RateLimit_Action["headerValueMatch"]> {
	// There is a method in every request: this alone holds for all.
	const all = headers.length > 0 ? headers : [{ name: ":method", presentMatch: true }];
	return { descriptorKey: "header_match", descriptorValue: "yes", headers: all } as NonNullable<RateLimit_Action["headerValueMatch"]>;
}

function actionOf(key: RateLimitKey, index: number): Partial<RateLimit_Action> {
	const { header, claim } = key;
	const descriptorKey = entryKey(key, index);
	if (header !== undefined) return { requestHeaders: { headerName: header, descriptorKey, skipIfAbsent: false } };
	return claim === undefined ? { remoteAddress: {} } : claimAction(claim, descriptorKey);
}

function matchersOf({ paths = [], methods = [], headers = [] }: RateLimitMatch): readonly Matcher[] {
	return [
		...(paths.length > 0 ? [anyText(":path", paths.map(pathRegex))] : []),
		...(methods.length > 0 ? [anyText(":method", methods.map(quoted))] : []),
		...headers.map(({ name, value }): Matcher => (value === undefined ? { name, presentMatch: true } : { name, stringMatch: stringMatch(value) })),
	];
}

const anyText = (name: string, alternatives: readonly string[]): Matcher => ({ name, stringMatch: stringMatch({ regex: alternatives.join("|") }) });

const quoted = (text: string): string => text.replace(/[\\.+*?()|[\]{}^$]/g, "\\$&");

/** A header named :path has the query with it, which is no part of what is matched. */
function pathRegex({ exact, prefix, regex }: StringMatch): string {
	if (exact !== undefined) return `${quoted(exact)}(?:[?].*)?`;
	return prefix !== undefined ? `${quoted(prefix)}.*` : `(?:${regex ?? ""})(?:[?].*)?`;
}

function stringMatch({ exact, prefix, regex }: StringMatch): NonNullable<HeaderMatcher["stringMatch"]> {
	const matcher = exact !== undefined ? { exact } : prefix !== undefined ? { prefix } : { safeRegex: { regex: regex ?? "" } };
	return matcher as NonNullable<HeaderMatcher["stringMatch"]>;
}
