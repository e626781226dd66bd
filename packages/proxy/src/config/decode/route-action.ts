import type {
	RouteAction as ActionMessage,
	RouteAction_HashPolicy,
	RouteAction_RequestMirrorPolicy,
	RouteMatch,
	WeightedCluster as WeightedMessage,
} from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { ClusterSelector, HashPolicy, RouteAction, WeightedCluster } from "../routes.ts";
import { decodeHeaderOperations } from "./headers.ts";
import { decodeHedge } from "./hedge.ts";
import { decodeInternalRedirect } from "./internal-redirect.ts";
import { type ClusterSpecifiers, decodeClusterSpecifier } from "./cluster-specifier.ts";
import { type At, durationMs, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { always, decodeRewrite, decodeRuntimeFraction } from "./matchers.ts";
import { decodeRateLimits } from "./filters/local-rate-limit.ts";
import { decodeOverrides } from "./filters/overrides.ts";
import { decodePathRewrite } from "./path-rewrite.ts";
import { decodeRetry } from "./retry.ts";

const supported = [
	"cluster",
	"clusterHeader",
	"weightedClusters",
	"clusterSpecifierPlugin",
	"inlineClusterSpecifierPlugin",
	"clusterNotFoundResponseCode",
	"metadataMatch",
	"prefixRewrite",
	"regexRewrite",
	"pathRewritePolicy",
	"pathRewrite",
	"hostRewrite",
	"hostRewriteLiteral",
	"autoHostRewrite",
	"hostRewriteHeader",
	"hostRewritePathRegex",
	"appendXForwardedHost",
	"timeout",
	"idleTimeout",
	"retryPolicy",
	"hedgePolicy",
	"requestMirrorPolicies",
	"priority",
	"hashPolicy",
	"cors",
	"upgradeConfigs",
	"maxStreamDuration",
	"maxGrpcTimeout",
	"rateLimits",
	"includeVhRateLimits",
	"internalRedirectPolicy",
];

/** Envoy's default of a route's timeout. */
const timeoutDefaultMs = 15_000;

/** undefined: a plugin that is not here, and that its sender can do without, chooses its cluster. */
export function decodeRouteAction(at: At, action: ActionMessage, match: RouteMatch | undefined, specifiers: ClusterSpecifiers): RouteAction | undefined {
	onlySupports(at, "envoy.config.route.v3.RouteAction", action, supported);
	const cluster = decodeSelector(at, action, specifiers);
	if (cluster === undefined) return undefined;
	return {
		kind: "route",
		cluster,
		metadataMatch: action.metadataMatch?.filterMetadata["envoy.lb"],
		clusterNotFoundStatus: ([503, 404, 500] as const)[action.clusterNotFoundResponseCode] ?? 503,
		// As in Envoy: beside a limit on the whole stream the route's own counts for nothing.
		timeoutMs: action.maxStreamDuration === undefined ? durationMsOr(action.timeout, timeoutDefaultMs) : 0,
		grpcTimeoutMaxMs: durationMs(action.maxGrpcTimeout),
		idleTimeoutMs: durationMs(action.idleTimeout),
		maxStreamDurationMs: durationMs(action.maxStreamDuration?.maxStreamDuration),
		grpcDeadline: decodeGrpcDeadline(action.maxStreamDuration),
		...decodePathRewrite(at, action, match),
		hostRewrite: decodeHostRewrite(at, action),
		appendXForwardedHost: action.appendXForwardedHost,
		retry: action.retryPolicy && decodeRetry(under(at, "retryPolicy"), action.retryPolicy),
		hedgesOnTryTimeout: action.hedgePolicy && decodeHedge(under(at, "hedgePolicy"), action.hedgePolicy),
		mirrors: action.requestMirrorPolicies.map((mirror, i) => decodeMirror(under(at, `requestMirrorPolicies[${i}]`), mirror)),
		hashPolicies: action.hashPolicy.map((policy, i) => decodeHashPolicy(under(at, `hashPolicy[${i}]`), policy)),
		upgrades: decodeUpgrades(at, action.upgradeConfigs),
		terminatesConnect: decodeConnect(at, action.upgradeConfigs),
		priority: action.priority === 1 ? "high" : "default",
		rateLimits: decodeRateLimits(at, action.rateLimits),
		includeVirtualHostRateLimits: action.includeVhRateLimits ?? false,
		internalRedirect: action.internalRedirectPolicy && decodeInternalRedirect(under(at, "internalRedirectPolicy"), action.internalRedirectPolicy),
	};
}

/** As in Envoy an offset alone does nothing. */
function decodeGrpcDeadline(limits: ActionMessage["maxStreamDuration"]): RouteAction["grpcDeadline"] {
	const maxMs = durationMs(limits?.grpcTimeoutHeaderMax);
	return maxMs === undefined ? undefined : { maxMs, offsetMs: durationMsOr(limits?.grpcTimeoutHeaderOffset, 0) };
}

function decodeSelector(at: At, action: ActionMessage, specifiers: ClusterSpecifiers): ClusterSelector | undefined {
	if (action.cluster !== undefined) return { kind: "cluster", name: action.cluster };
	if (action.clusterHeader !== undefined) return { kind: "header", name: action.clusterHeader.toLowerCase() };
	if (action.weightedClusters !== undefined) return decodeWeighted(under(at, "weightedClusters"), action.weightedClusters);
	if (action.inlineClusterSpecifierPlugin !== undefined)
		return decodeClusterSpecifier(under(at, "inlineClusterSpecifierPlugin"), action.inlineClusterSpecifierPlugin);
	const plugin = action.clusterSpecifierPlugin;
	if (plugin === undefined) return { kind: "cluster", name: "" };
	if (!specifiers.has(plugin)) report(under(at, "clusterSpecifierPlugin"), `Unknown cluster specifier plugin name: ${plugin} is used in the route`);
	return specifiers.get(plugin);
}

function decodeWeighted(at: At, weighted: WeightedMessage): ClusterSelector {
	onlySupports(at, "envoy.config.route.v3.WeightedCluster", weighted, ["clusters", "totalWeight", "runtimeKeyPrefix", "headerName", "useHashPolicy"]);
	const clusters = weighted.clusters.map((cluster, i): WeightedCluster => {
		const here = under(at, `clusters[${i}]`);
		onlySupports(here, "envoy.config.route.v3.WeightedCluster.ClusterWeight", cluster, [
			"name",
			"weight",
			"requestHeadersToAdd",
			"requestHeadersToRemove",
			"responseHeadersToAdd",
			"responseHeadersToRemove",
			"hostRewriteLiteral",
			"metadataMatch",
			"typedPerFilterConfig",
		]);
		return {
			name: cluster.name,
			weight: cluster.weight ?? 0,
			headers: decodeHeaderOperations(here, cluster),
			hostRewrite: cluster.hostRewriteLiteral,
			metadataMatch: cluster.metadataMatch?.filterMetadata["envoy.lb"],
			filters: decodeOverrides(here, cluster.typedPerFilterConfig),
		};
	});
	const sum = clusters.reduce((total, { weight }) => total + weight, 0);
	if (sum === 0) report(at, "Sum of weights in the weighted_cluster must be greater than 0.");
	if (sum > 0xffff_ffff) report(at, "The sum of weights of all weighted clusters exceeds 4294967295");
	return {
		kind: "weighted",
		clusters,
		totalWeight: sum,
		...(weighted.runtimeKeyPrefix !== "" && { runtimeKeyPrefix: weighted.runtimeKeyPrefix }),
		header: weighted.headerName?.toLowerCase() ?? "",
		usesHashPolicy: weighted.useHashPolicy ?? false,
	};
}

function decodeHostRewrite(at: At, action: ActionMessage): RouteAction["hostRewrite"] {
	const others = [action.hostRewriteLiteral, action.hostRewriteHeader, action.autoHostRewrite, action.hostRewritePathRegex];
	if (action.hostRewrite !== "" && others.some((other) => other !== undefined)) report(at, "only one way to rewrite the host may be set beside host_rewrite");
	if (action.hostRewrite !== "") return { kind: "format", value: action.hostRewrite };
	if (action.hostRewriteLiteral !== undefined) return { kind: "literal", value: action.hostRewriteLiteral };
	if (action.hostRewriteHeader !== undefined) return { kind: "header", name: action.hostRewriteHeader.toLowerCase() };
	if (action.autoHostRewrite === true) return { kind: "auto" };
	if (action.hostRewritePathRegex !== undefined) return { kind: "pathRegex", ...decodeRewrite(under(at, "hostRewritePathRegex"), action.hostRewritePathRegex) };
	return undefined;
}

export function decodeMirror(at: At, mirror: RouteAction_RequestMirrorPolicy): RouteAction["mirrors"][number] {
	onlySupports(at, "envoy.config.route.v3.RouteAction.RequestMirrorPolicy", mirror, [
		"cluster",
		"runtimeFraction",
		"traceSampled",
		"disableShadowHostSuffixAppend",
	]);
	return {
		cluster: mirror.cluster,
		fraction: decodeRuntimeFraction(at, mirror.runtimeFraction) ?? always,
		shadowSuffix: !mirror.disableShadowHostSuffixAppend,
	};
}

function decodeHashPolicy(at: At, policy: RouteAction_HashPolicy): HashPolicy {
	const { terminal, header, cookie } = policy;
	if (header !== undefined) {
		const regexRewrite = header.regexRewrite && decodeRewrite(under(at, "header.regexRewrite"), header.regexRewrite);
		return { kind: "header", name: header.headerName.toLowerCase(), regexRewrite, terminal };
	}
	if (cookie !== undefined) {
		return { kind: "cookie", name: cookie.name, ttlMs: durationMs(cookie.ttl), path: cookie.path, attributes: cookie.attributes, terminal };
	}
	if (policy.connectionProperties?.sourceIp === true) return { kind: "sourceIp", terminal };
	if (policy.queryParameter !== undefined) return { kind: "query", name: policy.queryParameter.name, terminal };
	return { kind: "filterState", key: policy.filterState?.key ?? "", terminal };
}

function decodeConnect(at: At, upgrades: ActionMessage["upgradeConfigs"]): boolean {
	let terminates = false;
	for (const [i, { connectConfig, upgradeType }] of upgrades.entries()) {
		if (connectConfig === undefined) continue;
		const here = under(at, `upgradeConfigs[${i}].connectConfig`);
		onlySupports(here, "envoy.config.route.v3.RouteAction.UpgradeConfig.ConnectConfig", connectConfig, []);
		if (upgradeType.toLowerCase() !== "connect") report(here, `non-CONNECT upgrade type ${upgradeType} has connect_config`);
		terminates = true;
	}
	return terminates;
}

interface Upgrade {
	readonly upgradeType: string;
	readonly enabled: boolean | undefined;
	readonly filters?: readonly unknown[];
}

/** Upgrade types in lower case → allowed. */
export function decodeUpgrades(at: At, upgrades: readonly Upgrade[]): Readonly<Record<string, boolean>> {
	const out: Record<string, boolean> = Object.create(null);
	upgrades.forEach((upgrade, i) => {
		const type = upgrade.upgradeType.toLowerCase();
		if (Object.hasOwn(out, type)) report(under(at, `upgradeConfigs[${i}]`), `Duplicate upgrade ${type}`);
		if ((upgrade.filters?.length ?? 0) > 0) report(under(at, `upgradeConfigs[${i}].filters`), "a filter list of an upgrade's own is not implemented");
		out[type] = upgrade.enabled ?? true;
	});
	return out;
}
