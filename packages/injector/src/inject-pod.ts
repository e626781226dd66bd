import type { ConfigObject } from "@weft/api";
import { validateAnnotations } from "./annotations.ts";
import { decideInjection, type InjectReason, type NamespaceFacts, type SkipReason } from "./decide.ts";
import type { StringMap } from "./json.ts";
import { createPatch, type PatchOperation } from "./json-patch.ts";
import { orderContainers } from "./inject/order.ts";
import { applyOverrides, moveUserProxy, stripInjected, withoutDefaultedPolicy } from "./inject/overrides.ts";
import { rewriteProbes } from "./inject/probes.ts";
import { mergePrometheus } from "./inject/prometheus.ts";
import { renderStatus, statusAnnotation } from "./inject/status.ts";
import { annotationsOf, labelsOf, mapProxy, type Pod, withAnnotations } from "./pod/pod.ts";
import { mergeStrategic } from "./pod/strategic-merge.ts";
import { decodeProxyConfigAnnotation, resolveProxyConfig } from "./proxy-config.ts";
import { selectProxyConfig } from "./select-proxy-config.ts";
import type { InjectorSettings } from "./settings/settings.ts";
import { InjectionError, type PodOverlay, type TemplateInput } from "./template/input.ts";
import { holdsApplication } from "./template/sidecar.ts";
import { buildOverlays } from "./template/templates.ts";
import { type Workload, workloadOfPod } from "./workload.ts";

/** What injection must know beyond the pod. */
export interface InjectionFacts {
	readonly namespace: NamespaceFacts;
	/** Every node's kubelet is 1.33 or newer: init containers may keep running. */
	readonly hasNativeSidecars: boolean;
	/**
	 * The pod is as its author wrote it, in a file. No API server has filled in anything yet, and as with Istio's kube-inject probes
	 * follow the status port of the pod's own ProxyConfig.
	 */
	readonly isFile?: boolean;
	/** Known where the pod comes from a workload's template; else its owner says. */
	readonly workload?: Workload;
	/** From the webhook's path (`/inject/cluster/X/net/Y`): stands before the values. */
	readonly environment?: StringMap;
	/** All ProxyConfig resources, of which some are for the pod. */
	readonly proxyConfigs?: readonly ConfigObject<"ProxyConfig">[];
}

export type InjectionResult =
	| {
			readonly kind: "injected";
			readonly reason: InjectReason;
			readonly pod: Pod;
			readonly patch: readonly PatchOperation[];
			readonly warnings: readonly string[];
	  }
	| { readonly kind: "skipped"; readonly reason: SkipReason; readonly message: string }
	| { readonly kind: "error"; readonly message: string };

/** Decides, and builds the pod with its proxy as an object. Pure; never throws on what a user wrote. */
export function injectPod(pod: Pod, settings: InjectorSettings, facts: InjectionFacts): InjectionResult {
	const decision = decideInjection(pod, settings, facts.namespace);
	if (!decision.inject) return { kind: "skipped", reason: decision.reason, message: decision.message };
	const invalid = validateAnnotations(annotationsOf(pod));
	if (invalid !== undefined) return { kind: "error", message: `failed to run injection template: ${invalid}` };
	try {
		const injected = buildInjected(pod, settings, facts);
		const patch = createPatch(pod, injected);
		return { kind: "injected", reason: decision.reason, pod: injected, patch, warnings: warningsFor(pod, settings, facts.namespace) };
	} catch (error) {
		if (error instanceof InjectionError) return { kind: "error", message: `failed to run injection template: ${error.message}` };
		throw error;
	}
}

function buildInjected(created: Pod, settings: InjectorSettings, facts: InjectionFacts): Pod {
	const pod = facts.isFile ? created : withoutDefaultedPolicy(created);
	const annotations = annotationsOf(pod);
	const resources = facts.proxyConfigs && selectProxyConfig(facts.proxyConfigs, facts.namespace.name, labelsOf(pod), settings.mesh.rootNamespace);
	const proxyConfig = resolveProxyConfig(settings.mesh, resources, annotations["proxy.istio.io/config"]);
	// What the kubelet and Prometheus call is the mesh's port; the annotation moves a single pod's.
	const meshStatusPort = String((facts.isFile ? proxyConfig : settings.mesh.defaultConfig).statusPort ?? 15020);
	const environment = clusterEnvironment(pod, settings, facts.environment ?? {});
	const input: TemplateInput = {
		pod: stripInjected(pod, meshStatusPort),
		settings,
		proxyConfig,
		workload: facts.workload ?? workloadOfPod(pod, facts.namespace.name),
		isNative: usesNativeSidecar(annotations, facts),
		network: environment["ISTIO_META_NETWORK"] ?? "",
	};
	const overlays = buildOverlays(input);
	const statusPort = Number(annotations["status.sidecar.istio.io/port"] ?? meshStatusPort);
	let result = mergeOverlays(pod, overlays);
	result = applyOverrides(result, pod, overlays);
	result = mapProxy(result, (proxy) => ({
		...proxy,
		env: [...(proxy.env ?? []).filter(({ name }) => !Object.hasOwn(environment, name)), ...variables(environment)],
	}));
	result = mergePrometheus(result, settings.mesh, meshStatusPort);
	// Port 0: there is no agent that could be asked.
	if (statusPort > 0) result = rewriteProbes(result, settings.values.webhook.rewriteAppHTTPProbe, statusPort);
	result = addMetadata(result, overlays, settings, input.network);
	return orderContainers(result, holdsApplication({ proxyConfig, settings }));
}

/** An annotation that is there and is not "false" turns it on, as Istio reads it. */
function usesNativeSidecar(annotations: StringMap, facts: InjectionFacts): boolean {
	return (annotations["sidecar.istio.io/nativeSidecar"] || String(facts.hasNativeSidecars)) !== "false";
}

function mergeOverlays(pod: Pod, overlays: readonly PodOverlay[]): Pod {
	let merged = pod;
	for (const overlay of overlays) {
		const isNative = overlay.spec.initContainers?.some(({ name }) => name === "istio-proxy") ?? false;
		merged = mergeStrategic(isNative ? moveUserProxy(merged) : merged, overlay) as unknown as Pod;
	}
	return merged;
}

/** Cluster and network: of the values, of the webhook's path, of the pod's own label; the last that says something counts. */
function clusterEnvironment(pod: Pod, { values }: InjectorSettings, fromPath: StringMap): StringMap {
	const cluster = fromPath["ISTIO_META_CLUSTER_ID"] || values.clusterName;
	const network = labelsOf(pod)["topology.istio.io/network"] ?? (fromPath["ISTIO_META_NETWORK"] || values.network);
	return { ...fromPath, ...(cluster && { ISTIO_META_CLUSTER_ID: cluster }), ...(network && { ISTIO_META_NETWORK: network }) };
}

function variables(environment: StringMap) {
	return Object.entries(environment)
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([name, value]) => ({ name, value }));
}

function addMetadata(pod: Pod, overlays: readonly PodOverlay[], settings: InjectorSettings, network: string): Pod {
	const labels = { ...labelsOf(pod), ...(network && { "topology.istio.io/network": network }) };
	const status = { [statusAnnotation]: renderStatus(overlays, settings.revision) };
	return withAnnotations({ ...pod, metadata: { ...pod.metadata, labels } }, { ...annotationsOf(pod), ...status, ...settings.injectedAnnotations });
}

function warningsFor(pod: Pod, settings: InjectorSettings, namespace: NamespaceFacts): readonly string[] {
	const warnings: string[] = [];
	const level = namespace.labels?.["pod-security.kubernetes.io/enforce"];
	if ((level === "restricted" || level === "baseline") && !settings.values.cni.enabled) {
		warnings.push(
			`namespace ${namespace.name} enforces pod security "${level}", which refuses the init container istio-init (root, NET_ADMIN): ` +
				"capture traffic with a CNI plugin and set pilot.cni.enabled, or label the namespace privileged",
		);
	}
	const { dnsPolicy } = pod.spec;
	if (dnsPolicy && dnsPolicy !== "ClusterFirst") warnings.push(`dnsPolicy is ${dnsPolicy}, not ClusterFirst: the sidecar may not find the control plane`);
	if (annotationsOf(pod)["prometheus.istio.io/scrape-targets"] !== undefined) {
		warnings.push("prometheus.istio.io/scrape-targets is not implemented by this version of Weft: use prometheus.io/port and prometheus.io/path");
	}
	const { unknown = [] } = decodeProxyConfigAnnotation(annotationsOf(pod)["proxy.istio.io/config"] ?? "");
	if (unknown.length > 0) warnings.push(`proxy.istio.io/config: unknown fields are ignored: ${unknown.join(", ")}`);
	if (annotationsOf(pod)["sidecar.istio.io/bootstrapOverride"] !== undefined) {
		warnings.push("sidecar.istio.io/bootstrapOverride replaces the bootstrap of an Envoy; weft-proxy has none to replace");
	}
	return warnings;
}
