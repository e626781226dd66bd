import { connectionBalanceOf } from "./connection-balance.ts";
import { type MeshConfig, parseDurationMs, type TelemetryCustomTag, type Tracing } from "@weft/api";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { ServicesByHost } from "../policy/provider-service.ts";
import { compareText } from "../../model/age.ts";
import { findProvider } from "../policy/providers.ts";
import type { TracingPlan } from "../policy/telemetry.ts";
import { durationOf } from "../routes/values.ts";
import { buildTracer } from "./tracing-providers.ts";

/** Percent of requests sampled where nobody says otherwise. */
const defaultSampling = 1;

/** envoy.type.tracing.v3.CustomTag. */
interface CustomTag {
	readonly tag: string;
	readonly [source: string]: unknown;
}

const dryRunTags = [
	dryRunTag("allow_policy.name", "istio_dry_run_allow_shadow_effective_policy_id"),
	dryRunTag("allow_policy.result", "istio_dry_run_allow_shadow_engine_result"),
	dryRunTag("deny_policy.name", "istio_dry_run_deny_shadow_effective_policy_id"),
	dryRunTag("deny_policy.result", "istio_dry_run_deny_shadow_engine_result"),
];

function dryRunTag(name: string, key: string): CustomTag {
	return {
		tag: `istio.authorization.dry_run.${name}`,
		metadata: { kind: { request: {} }, metadataKey: { key: "envoy.filters.http.rbac", path: [{ key }] } },
	};
}

export interface TracingInput {
	readonly mesh: MeshConfig;
	readonly node: ProxyNode;
	/** The proxy's own configuration. */
	readonly proxy: Tracing | undefined;
	readonly plan: TracingPlan | undefined;
	readonly services: ServicesByHost;
}

/** What of a connection manager is about traces. */
export interface HttpTracing {
	/** HttpConnectionManager.tracing; undefined: no spans, and sampling marks no request ids. */
	readonly tracing: object | undefined;
	readonly useRequestIdForTraceSampling: boolean;
}

export function buildTracing(input: TracingInput): HttpTracing {
	const { mesh, node, proxy, plan } = input;
	if (plan === undefined) {
		if (mesh.enableTracing === false) return none;
		// Without a provider nothing is exported, yet sampling marks request ids.
		return { tracing: tracingBlock(proxySampling(proxy), tagsOf(input), proxy?.maxPathTagLength), useRequestIdForTraceSampling: true };
	}
	const provider = plan.disabled || plan.provider === undefined ? undefined : findProvider(mesh, plan.provider);
	const tracer = provider && buildTracer(provider, { node, services: input.services, isRecent: isAtLeast(node, 1, 29) });
	if (tracer === undefined) return none;
	const sampling = tracer.hasSampler ? 100 : (plan.sampling ?? proxySampling(proxy));
	const spawn = tracer.spawnUpstreamSpan || node.kind === "router";
	return {
		tracing: {
			...tracingBlock(sampling, tagsOf(input), tracer.maxTagLength || proxy?.maxPathTagLength),
			provider: tracer.provider,
			...(spawn ? { spawnUpstreamSpan: true } : {}),
			...(!plan.contextPropagation && isAtLeast(node, 1, 30) ? { noContextPropagation: true } : {}),
		},
		useRequestIdForTraceSampling: plan.useRequestId,
	};
}

const proxySampling = (proxy: Tracing | undefined): number => proxy?.sampling || defaultSampling;

const none: HttpTracing = { tracing: undefined, useRequestIdForTraceSampling: true };

function tracingBlock(sampling: number, customTags: readonly object[], maxPathTagLength: number | undefined): object {
	return {
		clientSampling: { value: 100 },
		randomSampling: { value: sampling },
		overallSampling: { value: 100 },
		customTags,
		...(maxPathTagLength ? { maxPathTagLength } : {}),
	};
}

/** By name. Proxies before 1.29 know no tags with a format. */
function tagsOf({ node, proxy, plan }: TracingInput): readonly CustomTag[] {
	const istio = plan ? plan.istioTags : proxy?.enableIstioTags !== false;
	const own = plan?.customTags && Object.keys(plan.customTags).length > 0 ? plan.customTags : (proxy?.customTags ?? {});
	const tags = isAtLeast(node, 1, 29) ? userTags(own) : userTags(own).filter((tag) => !("value" in tag));
	return [...(istio ? [...dryRunTags, ...workloadTags(node)] : []), ...tags].sort((a, b) => compareText(a.tag, b.tag));
}

/** `1.30.3` is at least 1.29; a client that does not say is a stock Envoy. */
function isAtLeast({ istioVersion }: ProxyNode, major: number, minor: number): boolean {
	const [ownMajor = 0, ownMinor = 0] = istioVersion.split(".").map(Number);
	return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

/** Metadata HTTP10 (Istio's ISTIO_META_HTTP10): the proxy takes HTTP/1.0, which Envoy refuses by default. */
export function acceptsHttp10({ metadata }: ProxyNode): boolean {
	return metadata["HTTP10"] === "1";
}

/** Metadata IDLE_TIMEOUT (Istio's ISTIO_META_IDLE_TIMEOUT). */
export function idleTimeoutOf({ metadata }: ProxyNode): ReturnType<typeof durationOf> {
	const text = textOr(metadata["IDLE_TIMEOUT"], "");
	return parseDurationMs(text) === undefined ? undefined : durationOf(text);
}

/** What every connection manager reads of a node, whatever the policies; listeners of nodes with one key can be shared. */
export function workloadKey(node: ProxyNode): string {
	const own = [
		isAtLeast(node, 1, 29),
		isAtLeast(node, 1, 30),
		node.metadata["PROXY_CONFIG"] ?? null,
		acceptsHttp10(node),
		node.metadata["IDLE_TIMEOUT"] ?? null,
		connectionBalanceOf(node),
	];
	return JSON.stringify([literals(node).map(([, value]) => value), ...own]);
}

function literals(node: ProxyNode): readonly (readonly [string, string])[] {
	return [
		["istio.canonical_revision", node.labels["service.istio.io/canonical-revision"] ?? "latest"],
		["istio.canonical_service", node.labels["service.istio.io/canonical-name"] ?? "unknown"],
		["istio.cluster_id", textOr(node.clusterId, "unknown")],
		["istio.mesh_id", textOr(node.metadata["MESH_ID"], "unknown")],
		["istio.namespace", textOr(node.namespace, "default")],
	];
}

function workloadTags(node: ProxyNode): CustomTag[] {
	return literals(node).map(([tag, value]) => ({ tag, literal: { value } }));
}

function userTags(tags: Readonly<Record<string, TelemetryCustomTag>> | NonNullable<Tracing["customTags"]>): CustomTag[] {
	return Object.entries(tags).map(([tag, source]: [string, TelemetryCustomTag | NonNullable<Tracing["customTags"]>[string]]) => {
		const { literal, environment, header } = source;
		if (literal) return { tag, literal: { value: literal.value ?? "" } };
		if (environment) return { tag, environment: { name: environment.name ?? "", defaultValue: environment.defaultValue ?? "" } };
		if ("formatter" in source && source.formatter) return { tag, value: source.formatter.value ?? "" };
		return { tag, requestHeader: { name: header?.name ?? "", defaultValue: header?.defaultValue ?? "" } };
	});
}

function textOr(value: unknown, fallback: string): string {
	return typeof value === "string" && value !== "" ? value : fallback;
}
