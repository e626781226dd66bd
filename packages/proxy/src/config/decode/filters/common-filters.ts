import type { HeaderMutation as MutationMessage } from "@weft/xds/generated/envoy/config/common/mutation_rules/v3/mutation_rules.ts";
import type { Buffer as BufferMessage } from "@weft/xds/generated/envoy/extensions/filters/http/buffer/v3/buffer.ts";
import type { CsrfPolicy as CsrfMessage } from "@weft/xds/generated/envoy/extensions/filters/http/csrf/v3/csrf.ts";
import type { FilterConfig as GrpcStatsMessage } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_stats/v3/config.ts";
import type { Mutations as MutationsMessage } from "@weft/xds/generated/envoy/extensions/filters/http/header_mutation/v3/header_mutation.ts";
import type { HealthCheck as HealthCheckMessage } from "@weft/xds/generated/envoy/extensions/filters/http/health_check/v3/health_check.ts";
import type { StatefulSession as SessionMessage } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import type { CookieBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/cookie/v3/cookie.ts";
import type { HeaderBasedSessionState } from "@weft/xds/generated/envoy/extensions/http/stateful_session/header/v3/header.ts";
import type { CsrfPolicy, GrpcStats, HealthCheck, Mutation, Mutations, StatefulSession } from "../../http-filters.ts";
import { openAny } from "../any.ts";
import { decodeMutation } from "../headers.ts";
import { type At, durationMs, durationMsOr, onlySupports, report, under } from "../issues.ts";
import { decodeHeaderMatches, decodeRuntimeFraction, decodeStringMatch, never } from "../matchers.ts";

export function decodeHealthCheck(at: At, check: HealthCheckMessage): HealthCheck {
	const cacheMs = durationMsOr(check.cacheTime, 0);
	const clusters = Object.entries(check.clusterMinHealthyPercentages);
	if (check.passThroughMode === true && clusters.length > 0)
		report(at, "cluster_min_healthy_percentages must not be specified when pass_through_mode is enabled");
	if (check.passThroughMode === false && cacheMs > 0) report(at, "cache_time must not be specified when pass_through_mode is disabled");
	return {
		passThrough: check.passThroughMode ?? false,
		cacheMs,
		clusterMinHealthyPercentages: Object.fromEntries(clusters.map(([name, percent]) => [name, percent.value])),
		headers: decodeHeaderMatches(at, check.headers),
	};
}

export function decodeMutations(at: At, mutations: MutationsMessage | undefined): Mutations {
	if (mutations !== undefined)
		onlySupports(at, "envoy.extensions.filters.http.header_mutation.v3.Mutations", mutations, ["requestMutations", "responseMutations"]);
	return {
		request: (mutations?.requestMutations ?? []).map((mutation, i) => decodeOne(under(at, `requestMutations[${i}]`), mutation)),
		response: (mutations?.responseMutations ?? []).map((mutation, i) => decodeOne(under(at, `responseMutations[${i}]`), mutation)),
	};
}

function decodeOne(at: At, mutation: MutationMessage): Mutation {
	if (mutation.append !== undefined) return { kind: "add", ...decodeMutation(under(at, "append"), mutation.append) };
	return { kind: "remove", name: (mutation.remove ?? "").toLowerCase() };
}

export function decodeCsrf(at: At, policy: CsrfMessage): CsrfPolicy {
	return {
		enabled: decodeRuntimeFraction(under(at, "filterEnabled"), policy.filterEnabled) ?? never,
		shadow: decodeRuntimeFraction(under(at, "shadowEnabled"), policy.shadowEnabled) ?? never,
		additionalOrigins: policy.additionalOrigins.map((match, i) => decodeStringMatch(under(at, `additionalOrigins[${i}]`), match)),
	};
}

export function decodeBuffer(buffer: BufferMessage): number {
	return buffer.maxRequestBytes ?? 0;
}

/** Without a word on methods they are not told apart, as in Envoy. */
export function decodeGrpcStats(at: At, stats: GrpcStatsMessage): GrpcStats {
	onlySupports(at, "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", stats, [
		"emitFilterState",
		"individualMethodStatsAllowlist",
		"statsForAllMethods",
		"enableUpstreamStats",
		"replaceDotsInGrpcServiceName",
	]);
	const listed = stats.individualMethodStatsAllowlist?.services.flatMap(({ name, methodNames }) => methodNames.map((method) => `${name}/${method}`));
	return {
		emitFilterState: stats.emitFilterState,
		methods: stats.statsForAllMethods === true ? "all" : (listed ?? []),
		upstreamStats: stats.enableUpstreamStats,
		replaceDots: stats.replaceDotsInGrpcServiceName,
	};
}

export function decodeStatefulSession(at: At, message: SessionMessage): StatefulSession | undefined {
	if (message.sessionState === undefined) return undefined;
	const here = under(at, "sessionState");
	const { strict } = message;
	const opened = openAny(here, message.sessionState.typedConfig, `session state ${message.sessionState.name}`);
	if (opened === undefined) return undefined;
	switch (opened.typeName) {
		case "envoy.extensions.http.stateful_session.cookie.v3.CookieBasedSessionState": {
			const { cookie } = opened.message as CookieBasedSessionState;
			const ttlSeconds = Math.floor((durationMs(cookie?.ttl) ?? 0) / 1000);
			return { kind: "cookie", strict, name: cookie?.name ?? "", path: cookie?.path ?? "", ttlSeconds };
		}
		case "envoy.extensions.http.stateful_session.header.v3.HeaderBasedSessionState":
			return { kind: "header", strict, name: (opened.message as HeaderBasedSessionState).name.toLowerCase() };
	}
	report(here, `session state of type ${opened.typeName} is not implemented`);
	return undefined;
}
