import type { Tracing } from "@weft/api";
import type { ProxyNode } from "../../model/proxy-node.ts";

/** Percent of requests sampled where nobody says otherwise. */
const defaultSampling = 1;

const dryRunTags = [
	dryRunTag("allow_policy.name", "istio_dry_run_allow_shadow_effective_policy_id"),
	dryRunTag("allow_policy.result", "istio_dry_run_allow_shadow_engine_result"),
	dryRunTag("deny_policy.name", "istio_dry_run_deny_shadow_effective_policy_id"),
	dryRunTag("deny_policy.result", "istio_dry_run_deny_shadow_engine_result"),
];

function dryRunTag(name: string, key: string): object {
	return {
		tag: `istio.authorization.dry_run.${name}`,
		metadata: { kind: { request: {} }, metadataKey: { key: "envoy.filters.http.rbac", path: [{ key }] } },
	};
}

/** HttpConnectionManager.tracing: sampling and tags. Without a tracing provider nothing is exported, yet sampling marks request ids. */
export function buildTracing(tracing: Tracing | undefined, node: ProxyNode): object {
	return {
		clientSampling: { value: 100 },
		randomSampling: { value: tracing?.sampling ?? defaultSampling },
		overallSampling: { value: 100 },
		customTags: [...dryRunTags, ...workloadTags(node), ...userTags(tracing)],
		...(tracing?.maxPathTagLength ? { maxPathTagLength: tracing.maxPathTagLength } : {}),
	};
}

/** Metadata HTTP10 (Istio's ISTIO_META_HTTP10): the proxy takes HTTP/1.0, which Envoy refuses by default. */
export function acceptsHttp10({ metadata }: ProxyNode): boolean {
	return metadata["HTTP10"] === "1";
}

/** What every connection manager reads of a node; listeners of nodes with one key can be shared. */
export function workloadKey(node: ProxyNode): string {
	return JSON.stringify([literals(node).map(([, value]) => value), node.metadata["PROXY_CONFIG"] ?? null, acceptsHttp10(node)]);
}

function literals(node: ProxyNode): readonly (readonly [string, string])[] {
	return [
		["istio.canonical_revision", node.labels["service.istio.io/canonical-revision"] ?? "latest"],
		["istio.canonical_service", node.labels["service.istio.io/canonical-name"] ?? "unknown"],
		["istio.cluster_id", node.clusterId],
		["istio.mesh_id", textOr(node.metadata["MESH_ID"], "unknown")],
		["istio.namespace", node.namespace],
	];
}

function workloadTags(node: ProxyNode): object[] {
	return literals(node).map(([tag, value]) => ({ tag, literal: { value } }));
}

function userTags(tracing: Tracing | undefined): object[] {
	return Object.entries(tracing?.customTags ?? {})
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([tag, { literal, environment, header }]) => {
			if (literal) return { tag, literal: { value: literal.value ?? "" } };
			if (environment) return { tag, environment: { name: environment.name ?? "", defaultValue: environment.defaultValue ?? "" } };
			return { tag, requestHeader: { name: header?.name ?? "", defaultValue: header?.defaultValue ?? "" } };
		});
}

function textOr(value: unknown, fallback: string): string {
	return typeof value === "string" && value !== "" ? value : fallback;
}
