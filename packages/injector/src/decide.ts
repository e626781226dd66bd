import type { StringMap } from "./json.ts";
import { annotationsOf, labelsOf, type Pod } from "./pod/pod.ts";
import { matchSelector } from "./settings/selectors.ts";
import type { InjectorSettings } from "./settings/settings.ts";

export type SkipReason =
	| "host network"
	| "ignored namespace"
	| "namespace not enabled"
	| "other revision"
	| "sidecar.istio.io/inject label"
	| "sidecar.istio.io/inject annotation"
	| "neverInjectSelector"
	| "policy disabled"
	| "not a pod creation";

export type InjectReason = "sidecar.istio.io/inject label" | "sidecar.istio.io/inject annotation" | "alwaysInjectSelector" | "policy enabled";

export type Decision =
	| { readonly inject: true; readonly reason: InjectReason }
	| { readonly inject: false; readonly reason: SkipReason; readonly message: string };

export interface NamespaceFacts {
	readonly name: string;
	readonly labels?: StringMap;
	/**
	 * The API server has matched the webhook's selectors: it knows the labels of this moment, `labels` may be older, so they
	 * decide nothing any more. A pod created right after its namespace was labelled must not slip through.
	 */
	readonly isSelected?: boolean;
}

/** Namespaces of Kubernetes itself: a mesh that fails must not take the cluster with it. */
const ignoredNamespaces: ReadonlySet<string> = new Set(["kube-system", "kube-public", "kube-node-lease", "local-path-storage"]);

type Predicate = (pod: Pod, settings: InjectorSettings, namespace: NamespaceFacts) => Decision | undefined;

/** Inject this pod? The first predicate that knows decides, in the order in which Istio's webhook and injector ask. */
export function decideInjection(pod: Pod, settings: InjectorSettings, namespace: NamespaceFacts): Decision {
	for (const predicate of predicates) {
		const decision = predicate(pod, settings, namespace);
		if (decision) return decision;
	}
	return settings.policy === "enabled"
		? { inject: true, reason: "policy enabled" }
		: skip("policy disabled", "the injector's policy is disabled and the pod does not ask for a sidecar");
}

const predicates: readonly Predicate[] = [
	usesHostNetwork, // rules would capture the node's own traffic
	isInIgnoredNamespace,
	isOutsideSelection, // by the labels of namespace and pod, as the webhook's selectors do
	isToldByPod, // the pod's own word
	isNeverInjected,
	isAlwaysInjected,
];

function usesHostNetwork(pod: Pod): Decision | undefined {
	return pod.spec.hostNetwork === true ? skip("host network", "the pod has host networking enabled") : undefined;
}

function isInIgnoredNamespace(_pod: Pod, _settings: InjectorSettings, { name }: NamespaceFacts): Decision | undefined {
	return ignoredNamespaces.has(name) ? skip("ignored namespace", `namespace ${name} is never injected`) : undefined;
}

function isOutsideSelection(pod: Pod, settings: InjectorSettings, namespace: NamespaceFacts): Decision | undefined {
	const { labels, isSelected } = namespace;
	if (labels === undefined || isSelected === true) return undefined;
	const own = new Set([settings.revision, ...settings.revisionTags]);
	const isDefault = own.has("default");
	const pods = labelsOf(pod);
	const inject = pods["sidecar.istio.io/inject"];
	if (inject === "false") return skip("sidecar.istio.io/inject label", "the pod's label sidecar.istio.io/inject is false");
	const injection = labels["istio-injection"];
	if (injection !== undefined) {
		if (injection !== "enabled") return skip("namespace not enabled", `namespace ${namespace.name} is labelled istio-injection=${injection}`);
		return isDefault ? undefined : skip("other revision", `namespace ${namespace.name} is labelled istio-injection=enabled, which is for the default revision`);
	}
	const revision = labels["istio.io/rev"] ?? pods["istio.io/rev"];
	if (revision !== undefined) return own.has(revision) ? undefined : skip("other revision", `revision ${revision} is asked for, this is ${settings.revision}`);
	if (!isDefault) return skip("other revision", `neither namespace nor pod asks for revision ${settings.revision}`);
	if (inject === "true") return undefined;
	if (inject === undefined && settings.values.webhook.enableNamespacesByDefault) return undefined;
	return skip("namespace not enabled", `namespace ${namespace.name} is not labelled istio-injection=enabled`);
}

function isToldByPod(pod: Pod): Decision | undefined {
	const label = labelsOf(pod)["sidecar.istio.io/inject"];
	const word = label ?? annotationsOf(pod)["sidecar.istio.io/inject"];
	// Another word than these two says nothing, also where it is the label's.
	if (word !== "true" && word !== "false") return undefined;
	const reason = label === undefined ? "sidecar.istio.io/inject annotation" : "sidecar.istio.io/inject label";
	if (word === "true") return { inject: true, reason };
	return skip(reason, `the pod's ${label === undefined ? "annotation" : "label"} sidecar.istio.io/inject is ${word}`);
}

function isNeverInjected(pod: Pod, settings: InjectorSettings): Decision | undefined {
	if (!settings.neverInjectSelector.some((selector) => matchSelector(selector, labelsOf(pod)))) return undefined;
	return skip("neverInjectSelector", "the pod's labels match neverInjectSelector");
}

function isAlwaysInjected(pod: Pod, settings: InjectorSettings): Decision | undefined {
	return settings.alwaysInjectSelector.some((selector) => matchSelector(selector, labelsOf(pod)))
		? { inject: true, reason: "alwaysInjectSelector" }
		: undefined;
}

function skip(reason: SkipReason, message: string): Decision {
	return { inject: false, reason, message };
}
