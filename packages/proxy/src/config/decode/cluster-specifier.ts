import type { ClusterSpecifierPlugin } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { ClusterAction, MatcherClusterSpecifier } from "@weft/xds/generated/envoy/extensions/router/cluster_specifiers/matcher/v3/matcher.ts";
import type { ClusterSelector } from "../routes.ts";
import { isKnownType, openAny } from "./any.ts";
import { type At, report, under } from "./issues.ts";
import { decodeMatcherTree, routeInputs } from "./matcher-tree.ts";

const types = "envoy.extensions.router.cluster_specifiers.matcher.v3";

/** By name, what routes of a table may choose their cluster with. */
export type ClusterSpecifiers = ReadonlyMap<string, ClusterSelector | undefined>;

/** Of two plugins of one name the first counts. */
export function decodeClusterSpecifiers(at: At, plugins: readonly ClusterSpecifierPlugin[]): ClusterSpecifiers {
	const specifiers = new Map<string, ClusterSelector | undefined>();
	for (const [i, plugin] of plugins.entries()) {
		const specifier = decodeClusterSpecifier(under(at, `clusterSpecifierPlugins[${i}]`), plugin);
		const name = plugin.extension?.name ?? "";
		if (!specifiers.has(name)) specifiers.set(name, specifier);
	}
	return specifiers;
}

/** undefined: it is not here, and its sender can do without it. */
export function decodeClusterSpecifier(at: At, { extension, isOptional }: ClusterSpecifierPlugin): ClusterSelector | undefined {
	const here = under(at, "extension");
	if (isOptional && extension?.typedConfig !== undefined && !isKnownType(extension.typedConfig)) return undefined;
	const opened = openAny(here, extension?.typedConfig, `cluster specifier plugin ${extension?.name}`);
	if (opened?.typeName === `${types}.MatcherClusterSpecifier`) return decodeMatcher(here, opened.message as MatcherClusterSpecifier);
	if (opened !== undefined) report(here, `cluster specifier plugin of type ${opened.typeName} is not implemented`);
	return undefined;
}

/** Envoy takes other inputs and `keep_matching`, too, and ends with the first request. */
function decodeMatcher(at: At, { clusterMatcher }: MatcherClusterSpecifier): ClusterSelector | undefined {
	if (clusterMatcher === undefined) return undefined;
	const clusters = new Set<string>();
	const tree = decodeMatcherTree(under(at, "clusterMatcher"), clusterMatcher, {
		inputs: new Set(routeInputs),
		refusal: "cluster specifier can only match on request headers and filter state, saw",
		decodeAction(here, { typeName, message }) {
			if (typeName !== `${types}.ClusterAction`) {
				report(here, `action of type ${typeName} is no cluster (${types}.ClusterAction)`);
				return undefined;
			}
			const { cluster } = message as ClusterAction;
			clusters.add(cluster);
			return cluster;
		},
	});
	return { kind: "matcher", tree, clusters: [...clusters] };
}
