import { type AnyConfig, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

// https://istio.io/latest/docs/reference/config/annotations/: what each may stand on.

const onPods = [
	...["bypass-inbound-capture", "dns-capture", "redirection"].map((name) => `ambient.istio.io/${name}`),
	...[
		"inject.istio.io/templates",
		"istio.io/reroute-virtual-interfaces",
		"prometheus.istio.io/merge-metrics",
		"proxy.istio.io/config",
		"proxy.istio.io/overrides",
	],
	...["applicationPorts", "failureThreshold", "initialDelaySeconds", "periodSeconds"].map((name) => `readiness.status.sidecar.istio.io/${name}`),
	"status.sidecar.istio.io/port",
	...[
		...["agentLogLevel", "bootstrapOverride", "componentLogLevel", "discoveryAddress", "extraStatTags", "inject", "interceptionMode", "logLevel"],
		...["nativeSidecar", "proxyCPU", "proxyCPULimit", "proxyImage", "proxyImageType", "proxyMemory", "proxyMemoryLimit", "rewriteAppHTTPProbers"],
		...["statsCompression", "statsEvictionInterval", "statsFlushInterval", "statsHistogramBins", "statsHistogramBuckets", "statsInclusionPrefixes"],
		...["statsInclusionRegexps", "statsInclusionSuffixes", "userVolume", "userVolumeMount"],
	].map((name) => `sidecar.istio.io/${name}`),
	...[
		...["excludeInboundPorts", "excludeInterfaces", "excludeOutboundIPRanges", "excludeOutboundPorts", "includeInboundPorts", "includeOutboundIPRanges"],
		...["includeOutboundPorts", "kubevirtInterfaces"],
	].map((name) => `traffic.sidecar.istio.io/${name}`),
];

const onOthers: Readonly<Record<string, readonly string[]>> = {
	"alpha.istio.io/canonical-serviceaccounts": ["Service"],
	"alpha.istio.io/kubernetes-serviceaccounts": ["Service"],
	"ambient.istio.io/waypoint-inbound-binding": ["GatewayClass", "Gateway"],
	"gateway.istio.io/name-override": ["Gateway"],
	"gateway.istio.io/service-account": ["Gateway"],
	"istio.io/autoRegistrationGroup": ["WorkloadEntry"],
	"istio.io/connectedAt": ["WorkloadEntry"],
	"istio.io/disconnectedAt": ["WorkloadEntry"],
	"istio.io/dry-run": ["AuthorizationPolicy"],
	"istio.io/workloadController": ["WorkloadEntry"],
	"kubernetes.io/ingress.class": ["Ingress"],
	"networking.istio.io/exportTo": ["Service"],
	"networking.istio.io/service-type": ["Gateway"],
	"networking.istio.io/traffic-distribution": ["Namespace", "Service", "ServiceEntry"],
	"topology.istio.io/controlPlaneClusters": ["Namespace"],
	"traffic.istio.io/nodeSelector": ["Service"],
};

const places: ReadonlyMap<string, readonly string[]> = new Map([...onPods.map((name) => [name, ["Pod"]] as const), ...Object.entries(onOthers)]);

const deprecated: ReadonlySet<string> = new Set([
	...["alpha.istio.io/canonical-serviceaccounts", "alpha.istio.io/kubernetes-serviceaccounts", "traffic.sidecar.istio.io/kubevirtInterfaces"],
	...["discoveryAddress", "extraStatTags", "inject", "statsCompression", "statsInclusionPrefixes", "statsInclusionRegexps", "statsInclusionSuffixes"].map(
		(name) => `sidecar.istio.io/${name}`,
	),
]);

/** Written by the mesh itself, or good anywhere. */
const ignored: ReadonlySet<string> = new Set([
	"sidecar.istio.io/status",
	"gateway.istio.io/controller-version",
	"istio.io/rev",
	"galley.istio.io/analyze-suppress",
]);

const injectAnnotation = "sidecar.istio.io/inject";

/** Istio's annotations of Kubernetes' objects that do nothing there. */
export function analyzeAnnotations(view: MeshView): readonly Diagnostic[] {
	return [...view.concerned("Namespace"), ...view.concerned("Service"), ...view.concerned("Pod"), ...view.concerned("Deployment")].flatMap((object) =>
		Object.keys(object.metadata.annotations).flatMap((name) => findings(object, name)),
	);
}

function findings(object: AnyConfig, name: string): readonly Diagnostic[] {
	const domain = name.split("/", 1)[0] ?? "";
	if ((!domain.endsWith("istio.io") && name !== "kubernetes.io/ingress.class") || ignored.has(name)) return [];
	const say = (severity: Diagnostic["severity"], code: string, message: string) =>
		diagnosticAt(object, severity, code, ["metadata", "annotations", name], message);
	const kinds = places.get(name);
	if (!kinds) return [say("warning", diagnosticCodes.unknownAnnotation, `Unknown annotation: ${name}`)];
	const found: Diagnostic[] = [];
	// Beside the label, the annotation is there for old versions.
	if (deprecated.has(name) && !(name === injectAnnotation && object.metadata.labels[injectAnnotation] !== undefined)) {
		const instead = name === injectAnnotation ? ` in favor of the "${injectAnnotation}" label` : "";
		found.push(
			say("info", diagnosticCodes.deprecatedAnnotation, `Annotation "${name}" has been deprecated${instead} and may not work in future Istio versions.`),
		);
	}
	if (!kinds.includes(object.kind)) {
		found.push(say("warning", diagnosticCodes.misplacedAnnotation, `Misplaced annotation: ${name} can only be applied to ${kinds.join(", ")}`));
	}
	return found;
}
