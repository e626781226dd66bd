import type { JsonObject } from "../json.ts";
import { type Container, proxyContainerName } from "../pod/pod.ts";
import { proxyEnvironment } from "./environment.ts";
import { proxyImage } from "./image.ts";
import { annotationOr, statusPortOf, type TemplateInput } from "./input.ts";
import { proxyVolumeMounts } from "./volumes.ts";

/** What sidecars and gateways have in common. The image's entry point is weft-proxy; `proxy sidecar …` are pilot-agent's words. */
export function proxyContainer(input: TemplateInput, role: "sidecar" | "router"): Container & JsonObject {
	const { values } = input.settings;
	return {
		name: proxyContainerName,
		image: proxyImage(input, values.proxy.image),
		...(values.imagePullPolicy && { imagePullPolicy: values.imagePullPolicy }),
		ports: [{ containerPort: 15090, protocol: "TCP", name: "http-envoy-prom" }],
		args: [
			"proxy",
			role,
			"--domain",
			`$(POD_NAMESPACE).svc.${values.proxy.clusterDomain}`,
			`--proxyLogLevel=${annotationOr(input, "sidecar.istio.io/logLevel", values.proxy.logLevel)}`,
			`--proxyComponentLogLevel=${annotationOr(input, "sidecar.istio.io/componentLogLevel", values.proxy.componentLogLevel)}`,
			`--log_output_level=${annotationOr(input, "sidecar.istio.io/agentLogLevel", values.logLevel)}`,
			...(values.logAsJson ? ["--log_as_json"] : []),
			...(values.proxy.outlierLogPath ? [`--outlierLogPath=${values.proxy.outlierLogPath}`] : []),
		],
		env: proxyEnvironment(input),
		volumeMounts: proxyVolumeMounts(input),
	};
}

/** Ready: configuration is there and the workers serve it. */
export function readinessProbe(input: TemplateInput): JsonObject {
	const { proxy } = input.settings.values;
	const seconds = (name: string, fallback: number): number => Number(annotationOr(input, `readiness.status.sidecar.istio.io/${name}`, String(fallback)));
	const initialDelaySeconds = seconds("initialDelaySeconds", proxy.readinessInitialDelaySeconds);
	return {
		httpGet: { path: "/healthz/ready", port: 15021 },
		...(initialDelaySeconds > 0 && { initialDelaySeconds }),
		periodSeconds: seconds("periodSeconds", proxy.readinessPeriodSeconds),
		timeoutSeconds: 3,
		failureThreshold: seconds("failureThreshold", proxy.readinessFailureThreshold),
	};
}

/** Lets the proxy take its time at first without being slow to notice later failures. */
export function startupProbe(input: TemplateInput): JsonObject {
	const { failureThreshold } = input.settings.values.proxy.startupProbe;
	return { httpGet: { path: "/healthz/ready", port: 15021 }, periodSeconds: 1, timeoutSeconds: 3, failureThreshold };
}

/** Whether the agent serves probes at all. */
export const hasStatusPort = (input: TemplateInput): boolean => statusPortOf(input) !== "0";
