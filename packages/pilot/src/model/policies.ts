import type { ConfigObject, TargetRef } from "@weft/api";
import { byAge } from "./age.ts";
import { isEmpty, type Labels, labelsMatch } from "./labels.ts";
import type { ProxyNode } from "./proxy-node.ts";

/** The kinds that say themselves which workloads they are for. */
export type PolicyKind = "AuthorizationPolicy" | "RequestAuthentication" | "Telemetry" | "WasmPlugin" | "TrafficExtension" | "RateLimit" | "EnvoyFilter";

/** Policies of one kind by namespace, oldest first. */
export interface PolicyIndex<K extends PolicyKind> {
	readonly rootNamespace: string;
	readonly byNamespace: ReadonlyMap<string, readonly ConfigObject<K>[]>;
}

export function buildPolicyIndex<K extends PolicyKind>(objects: readonly ConfigObject<K>[], rootNamespace: string): PolicyIndex<K> {
	return { rootNamespace, byNamespace: Map.groupBy([...objects].sort(byAge), ({ metadata }) => metadata.namespace) };
}

/** Policies that hold for a workload: those of the root namespace, then those of its own, each oldest first. */
export function policiesFor<K extends PolicyKind>({ rootNamespace, byNamespace }: PolicyIndex<K>, node: ProxyNode): readonly ConfigObject<K>[] {
	const namespaces = node.namespace === rootNamespace ? [rootNamespace] : [rootNamespace, node.namespace];
	return namespaces.flatMap((namespace) => (byNamespace.get(namespace) ?? []).filter((policy) => holdsFor(policy, node, rootNamespace)));
}

interface Target {
	readonly selector?: Labels | undefined;
	readonly refs: readonly TargetRef[];
}

export function targetOf({ kind, spec }: Pick<ConfigObject<PolicyKind>, "kind" | "spec">): Target {
	const { selector, workloadSelector, targetRef, targetRefs } = spec as {
		readonly selector?: { readonly matchLabels?: Labels };
		readonly workloadSelector?: { readonly labels?: Labels };
		readonly targetRef?: TargetRef;
		readonly targetRefs?: readonly TargetRef[];
	};
	const refs = targetRefs?.length ? targetRefs : targetRef ? [targetRef] : [];
	return { selector: kind === "EnvoyFilter" ? workloadSelector?.labels : selector?.matchLabels, refs };
}

export const selectsAll = (policy: Pick<ConfigObject<PolicyKind>, "kind" | "spec">): boolean => {
	const { selector, refs } = targetOf(policy);
	return refs.length === 0 && isEmpty(selector);
};

/** The label that a Gateway's own pods carry; see https://gateway-api.sigs.k8s.io/geps/gep-1762/ */
const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";
const gatewayApi = "gateway.networking.k8s.io";

/** A policy with targetRefs is for the gateways that they name, and nothing else; one without is for whatever its selector picks. */
export function holdsFor(policy: ConfigObject<PolicyKind>, node: ProxyNode, rootNamespace: string): boolean {
	const { selector, refs } = targetOf(policy);
	if (refs.length === 0) return labelsMatch(selector, node.labels);
	const gateway = node.labels[gatewayNameLabel];
	if (gateway === undefined) return false;
	const { namespace } = policy.metadata;
	return refs.some(({ group = "", kind, name, namespace: other = "" }) => {
		if (group !== gatewayApi || (other !== "" && other !== namespace)) return false;
		if (kind === "GatewayClass") return namespace === rootNamespace && name === node.labels["gateway.networking.k8s.io/gateway-class-name"];
		return kind === "Gateway" && name === gateway && namespace === node.namespace;
	});
}
