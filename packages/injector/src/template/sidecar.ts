import type { JsonObject } from "../json.ts";
import { type Container, labelsOf } from "../pod/pod.ts";
import { captureAnnotations, initContainer } from "./init-container.ts";
import { annotationOr, interceptionModeOf, type PodOverlay, statusPortOf, type TemplateInput } from "./input.ts";
import { canonicalLabels, commonAnnotations } from "./metadata.ts";
import { hasStatusPort, proxyContainer, readinessOf, readinessProbe, startupProbe } from "./proxy-container.ts";
import { proxyResources } from "./resources.ts";
import { proxyVolumes } from "./volumes.ts";

/** The template `sidecar`: a proxy beside the application, and what sends the traffic through it. */
export function sidecarOverlay(input: TemplateInput): PodOverlay {
	const { values } = input.settings;
	const labels = labelsOf(input.pod);
	const hbone = input.proxyConfig.proxyMetadata?.["ISTIO_META_ENABLE_HBONE"] === "true";
	const capture = interceptionModeOf(input) === "NONE" ? [] : [initContainer(input)];
	const proxy = sidecarContainer(input);
	const initContainers = input.isNative ? [...capture, proxy] : capture;
	return {
		metadata: {
			labels: {
				"security.istio.io/tlsMode": labels["security.istio.io/tlsMode"] || "istio",
				...(hbone && { "networking.istio.io/tunnel": labels["networking.istio.io/tunnel"] || "http" }),
				...canonicalLabels(input),
			},
			annotations: { ...commonAnnotations(input), ...(values.cni.enabled && captureAnnotations(input)) },
		},
		spec: {
			...(initContainers.length > 0 && { initContainers }),
			...(!input.isNative && { containers: [proxy] }),
			volumes: proxyVolumes(input, "sidecar"),
			...(values.imagePullSecrets.length > 0 && { imagePullSecrets: values.imagePullSecrets.map((name) => ({ name })) }),
		},
	};
}

function sidecarContainer(input: TemplateInput): Container & JsonObject {
	const lifecycle = lifecycleOf(input);
	return {
		...proxyContainer(input, "sidecar"),
		...(input.isNative && { restartPolicy: "Always" }),
		...(lifecycle && { lifecycle }),
		...(hasStatusPort(input) && { readinessProbe: readinessProbe(readinessOf(input)) }),
		...(hasStatusPort(input) && input.settings.values.proxy.startupProbe.enabled && { startupProbe: startupProbe(input) }),
		resources: proxyResources(input),
		securityContext: securityContext(input),
	};
}

function lifecycleOf(input: TemplateInput): JsonObject | undefined {
	const { proxy } = input.settings.values;
	if (Object.keys(proxy.lifecycle).length > 0) return proxy.lifecycle;
	// The kubelet starts the next container when this hook is done.
	if (holdsApplication(input) && !input.isNative) return { postStart: { exec: { command: ["weft-proxy", "wait"] } } };
	// Draining begins with the pod's end; the signal comes only when the application is gone.
	if (input.isNative) return { preStop: { exec: { command: ["weft-proxy", "request", `--debug-port=${statusPortOf(input)}`, "POST", "drain"] } } };
	return undefined;
}

/** holdApplicationUntilProxyStarts: the proxy comes first and the application waits for it. */
export function holdsApplication({ proxyConfig, settings }: Pick<TemplateInput, "proxyConfig" | "settings">): boolean {
	return proxyConfig.holdApplicationUntilProxyStarts === true || settings.values.proxy.holdApplicationUntilProxyStarts;
}

function securityContext(input: TemplateInput): JsonObject {
	const { proxy } = input.settings.values;
	const isTproxy = interceptionModeOf(input) === "TPROXY";
	const bindsLowPorts = annotationOr(input, "sidecar.istio.io/capNetBindService", String(proxy.capNetBindService)) === "true";
	const add = [...(isTproxy ? ["NET_ADMIN"] : []), ...(bindsLowPorts ? ["NET_BIND_SERVICE"] : [])];
	return {
		allowPrivilegeEscalation: proxy.privileged,
		capabilities: { ...(add.length > 0 && { add }), drop: ["ALL"] },
		privileged: proxy.privileged,
		readOnlyRootFilesystem: !proxy.enableCoreDump,
		runAsGroup: 1337,
		// Capabilities are root's only: Kubernetes has no ambient ones.
		runAsNonRoot: add.length === 0,
		runAsUser: add.length === 0 ? 1337 : 0,
		...(Object.keys(proxy.seccompProfile).length > 0 && { seccompProfile: proxy.seccompProfile }),
	};
}
