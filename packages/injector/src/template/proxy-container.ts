import type { JsonObject } from "../json.ts";
import { type Container, proxyContainerName } from "../pod/pod.ts";
import { proxyEnvironment } from "./environment.ts";
import { proxyImage } from "./image.ts";
import { annotationOr, statusPortOf, type TemplateInput } from "./input.ts";
import { proxyVolumeMounts, type ProxyRole } from "./volumes.ts";

/** What sidecars and gateways have in common. The image's entry point is weft-proxy; `proxy sidecar …` are pilot-agent's words. */
export function proxyContainer(input: TemplateInput, role: ProxyRole): Container & JsonObject {
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
		env: proxyEnvironment(input, role),
		volumeMounts: proxyVolumeMounts(input, role),
	};
}

/** Ready: configuration is there and the workers serve it. */
export function readinessProbe(seconds: ReadinessSettings): JsonObject {
	const { readinessInitialDelaySeconds, readinessPeriodSeconds, readinessFailureThreshold } = seconds;
	return {
		httpGet: { path: "/healthz/ready", port: 15021 },
		...(readinessInitialDelaySeconds > 0 && { initialDelaySeconds: readinessInitialDelaySeconds }),
		periodSeconds: readinessPeriodSeconds,
		timeoutSeconds: 3,
		failureThreshold: readinessFailureThreshold,
	};
}

type ReadinessSettings = Pick<
	TemplateInput["settings"]["values"]["proxy"],
	"readinessInitialDelaySeconds" | "readinessPeriodSeconds" | "readinessFailureThreshold"
>;

/** A sidecar's, of which annotations may say otherwise; a gateway's they do not change. */
export function readinessOf(input: TemplateInput): ReadinessSettings {
	const { proxy } = input.settings.values;
	const said = (name: string, fallback: number): number => Number(annotationOr(input, `readiness.status.sidecar.istio.io/${name}`, String(fallback)));
	return {
		readinessInitialDelaySeconds: said("initialDelaySeconds", proxy.readinessInitialDelaySeconds),
		readinessPeriodSeconds: said("periodSeconds", proxy.readinessPeriodSeconds),
		readinessFailureThreshold: said("failureThreshold", proxy.readinessFailureThreshold),
	};
}

/** Lets the proxy take its time at first without being slow to notice later failures. */
export function startupProbe(input: TemplateInput): JsonObject {
	const { failureThreshold } = input.settings.values.proxy.startupProbe;
	return { httpGet: { path: "/healthz/ready", port: 15021 }, periodSeconds: 1, timeoutSeconds: 3, failureThreshold };
}

/** Whether the agent serves probes at all. */
export const hasStatusPort = (input: TemplateInput): boolean => statusPortOf(input) !== "0";
