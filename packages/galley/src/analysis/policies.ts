import { type AnyConfig, type ConfigObject, type Diagnostic, diagnosticCodes, meshConfigDefaults } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { labelsText, type MeshView, matchesLabels } from "./mesh-view.ts";

/** A namespace that a policy names and nobody has made: the rule matches nothing, or everything. */
export function analyzePolicyNamespaces(view: MeshView): readonly Diagnostic[] {
	const known = new Set(view.snapshot.all("Namespace").map(({ metadata }) => metadata.name));
	// Without any Namespace the configuration is not of a cluster: then nothing is said of them.
	if (known.size === 0) return [];
	return view.snapshot.all("AuthorizationPolicy").flatMap((object) =>
		(object.spec.rules ?? []).flatMap(({ from }, i) =>
			(from ?? []).flatMap(({ source }, j) =>
				(["namespaces", "notNamespaces"] as const).flatMap((field) =>
					(source?.[field] ?? []).flatMap((name, k) => {
						if (isKnown(name, known)) return [];
						const path = ["spec", "rules", i, "from", j, "source", field, k];
						return [diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, path, `Referenced namespace not found: "${name}"`)];
					}),
				),
			),
		),
	);
}

function isKnown(pattern: string, known: ReadonlySet<string>): boolean {
	if (pattern.startsWith("*")) return pattern === "*" || [...known].some((name) => name.endsWith(pattern.slice(1)));
	if (pattern.endsWith("*")) return [...known].some((name) => name.startsWith(pattern.slice(0, -1)));
	return known.has(pattern);
}

const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";

/** A policy that picks no workload does nothing. */
export function analyzePolicySelectors(view: MeshView): readonly Diagnostic[] {
	return view.concerned("AuthorizationPolicy").flatMap((object) => pickingNothing(view, object));
}

/** A policy that picks a Kubernetes Gateway by labels is not read there. */
export function analyzeGatewayPolicies(view: MeshView): readonly Diagnostic[] {
	return policyKinds.flatMap((kind) => onGateways(view, kind));
}

function pickingNothing(view: MeshView, object: ConfigObject<"AuthorizationPolicy">): readonly Diagnostic[] {
	const { metadata, spec } = object;
	const isMeshWide = metadata.namespace === (view.meshConfig?.rootNamespace || meshConfigDefaults.rootNamespace);
	if (isMeshWide && !spec.selector) return [];
	const selector = spec.selector?.matchLabels ?? {};
	const workloads = isMeshWide ? view.workloads : view.workloadsIn(metadata.namespace);
	if (workloads.some(({ labels }) => matchesLabels(labels, selector))) return [];
	const message = `No matching workloads for this resource with the following labels: ${labelsText(selector)}`;
	return [diagnosticAt(object, "warning", diagnosticCodes.noMatchingWorkload, ["spec", "selector"], message)];
}

const policyKinds = ["AuthorizationPolicy", "RequestAuthentication", "Telemetry", "WasmPlugin"] as const;

function onGateways(view: MeshView, kind: (typeof policyKinds)[number]): readonly Diagnostic[] {
	return view.concerned(kind).flatMap((object): readonly Diagnostic[] => {
		const { selector, targetRef } = object.spec;
		if (targetRef || !selector) return [];
		const picked = view
			.workloadsIn(object.metadata.namespace)
			.filter(({ labels }) => Object.hasOwn(labels, gatewayNameLabel) && matchesLabels(labels, selector.matchLabels ?? {}));
		return picked.map(({ labels }) => {
			const message = `Ineffective selector on Kubernetes Gateway ${labels[gatewayNameLabel]}. Use the TargetRef field instead.`;
			return diagnosticAt(object as AnyConfig, "warning", diagnosticCodes.ineffectiveSelector, ["spec", "selector"], message);
		});
	});
}
