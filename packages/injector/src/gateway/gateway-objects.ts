import { injectPod } from "../inject-pod.ts";
import { type JsonObject, omit, type StringMap } from "../json.ts";
import type { Pod } from "../pod/pod.ts";
import { overridesAnnotation } from "../inject/overrides.ts";
import { statusAnnotation } from "../inject/status.ts";
import type { InjectorSettings } from "../settings/settings.ts";
import { applyParameters, type GatewayParts, type ParameterSet } from "./gateway-parameters.ts";

// What a Gateway of the Gateway API is deployed as: istiod's template kube-gateway.
// https://istio.io/latest/docs/tasks/traffic-management/ingress/gateway-api/#automated-deployment

/** A Gateway that is deployed for its author. */
export interface GatewayToDeploy {
	readonly name: string;
	readonly namespace: string;
	readonly uid: string;
	readonly className: string;
	/** Of Deployment, Service and ServiceAccount. */
	readonly deploymentName: string;
	/** `spec.infrastructure`'s; without one, the Gateway's own. */
	readonly labels: StringMap;
	readonly annotations: StringMap;
	/** The Gateway's own. */
	readonly ownAnnotations: StringMap;
	readonly listeners: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
	/** `spec.addresses[0]` where that is an IP address. */
	readonly address: string | undefined;
	/** Data of the ConfigMaps that say more, the least specific first. */
	readonly parameters: readonly ParameterSet[];
}

export interface GatewayFacts {
	/** IDs and labels that the namespace gives: as for any pod there. */
	readonly namespace: { readonly name: string; readonly labels?: StringMap };
}

export type GatewayObjects =
	| { readonly kind: "built"; readonly parts: GatewayParts; readonly warnings: readonly string[] }
	| { readonly kind: "error"; readonly message: string };

export const gatewayNameLabel = "gateway.networking.k8s.io/gateway-name";
const classNameLabel = "gateway.networking.k8s.io/gateway-class-name";
const managedLabel = "gateway.istio.io/managed";
/** By which istiod marks, and finds, what it has deployed. */
export const managedValue = "istio.io-gateway-controller";
const serviceTypeAnnotation = "networking.istio.io/service-type";
const serviceAccountAnnotation = "gateway.istio.io/service-account";
/** What is said to the controller, and not to what it makes. */
const ownAnnotations = [
	"kubectl.kubernetes.io/last-applied-configuration",
	"gateway.istio.io/name-override",
	serviceAccountAnnotation,
	"gateway.istio.io/controller-version",
];
const serviceTypes = ["LoadBalancer", "ClusterIP", "NodePort"];
const nameLengthMax = 63;

/** Deployment, Service and ServiceAccount of a Gateway, as they are to be applied. Pure; never throws on what a user wrote. */
export function buildGatewayObjects(gateway: GatewayToDeploy, settings: InjectorSettings, facts: GatewayFacts): GatewayObjects {
	const problem = problemOf(gateway);
	if (problem !== undefined) return { kind: "error", message: problem };
	const template = buildTemplate(gateway, settings, facts);
	if ("message" in template) return { kind: "error", message: template.message };
	const account = gateway.ownAnnotations[serviceAccountAnnotation];
	const parts: GatewayParts = {
		// One that the user names is the user's.
		...(account === undefined && { serviceAccount: { apiVersion: "v1", kind: "ServiceAccount", metadata: metadataOf(gateway) } }),
		deployment: {
			apiVersion: "apps/v1",
			kind: "Deployment",
			metadata: metadataOf(gateway, { [managedLabel]: managedValue }),
			spec: { selector: { matchLabels: { [gatewayNameLabel]: gateway.name } }, template: template.pod as unknown as JsonObject },
		},
		service: buildService(gateway),
	};
	const applied = applyParameters(parts, gateway, {
		horizontalPodAutoscaler: {
			apiVersion: "autoscaling/v2",
			kind: "HorizontalPodAutoscaler",
			metadata: metadataOf(gateway),
			spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: gateway.deploymentName }, maxReplicas: 1 },
		},
		podDisruptionBudget: {
			apiVersion: "policy/v1",
			kind: "PodDisruptionBudget",
			metadata: metadataOf(gateway),
			spec: { selector: { matchLabels: { [gatewayNameLabel]: gateway.name } } },
		},
	});
	if ("message" in applied) return { kind: "error", message: applied.message };
	return { kind: "built", parts: applied.parts, warnings: applied.warnings };
}

function problemOf({ name, deploymentName, annotations }: GatewayToDeploy): string | undefined {
	if (deploymentName.length > nameLengthMax)
		return `a Service cannot be named ${deploymentName}: names have ${nameLengthMax} characters at most; set the annotation gateway.istio.io/name-override`;
	if (name.length > nameLengthMax) return `the label ${gatewayNameLabel} cannot hold the name of the Gateway: it has more than ${nameLengthMax} characters`;
	const type = annotations[serviceTypeAnnotation];
	return type === undefined || serviceTypes.includes(type) ? undefined : `annotation ${serviceTypeAnnotation}: "${type}" is none of ${serviceTypes.join(", ")}`;
}

function metadataOf(gateway: GatewayToDeploy, more: StringMap = {}): JsonObject {
	const annotations = omit(gateway.annotations, ownAnnotations);
	return {
		name: gateway.deploymentName,
		namespace: gateway.namespace,
		labels: { ...labelsOf(gateway), ...more },
		...(Object.keys(annotations).length > 0 && { annotations }),
		ownerReferences: [{ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", name: gateway.name, uid: gateway.uid }],
	};
}

const labelsOf = ({ labels, name, className }: GatewayToDeploy): StringMap => ({ ...labels, [gatewayNameLabel]: name, [classNameLabel]: className });

/** The status port, then each port of a listener once. */
function buildService(gateway: GatewayToDeploy): JsonObject {
	const type = gateway.annotations[serviceTypeAnnotation] ?? "LoadBalancer";
	const listeners = gateway.listeners.filter(({ port }, i, all) => all.findIndex((other) => other.port === port) === i && port !== 15021);
	const ports = [
		{ name: "status-port", port: 15021, protocol: "TCP", appProtocol: "tcp" },
		...listeners.map(({ name, port, protocol }) => ({ name: portName(name, protocol, port), port, protocol: "TCP", appProtocol: protocol.toLowerCase() })),
	];
	return {
		apiVersion: "v1",
		kind: "Service",
		metadata: metadataOf(gateway),
		spec: {
			type,
			ipFamilyPolicy: "PreferDualStack",
			ports,
			selector: { [gatewayNameLabel]: gateway.name },
			...(type === "LoadBalancer" && gateway.address !== undefined && { loadBalancerIP: gateway.address }),
		},
	};
}

/** A listener may have a name that a port cannot have. */
function portName(listener: string, protocol: string, port: number): string {
	const name = listener
		.toLowerCase()
		.replace(/[^a-z0-9-]/g, "-")
		.replace(/^-+/, "")
		.slice(0, 63)
		.replace(/-+$/, "");
	return name === "" || name === "status-port" ? `${protocol.toLowerCase().replace(/[^a-z0-9-]/g, "-")}-${port}` : name;
}

/** Asks for injection while the template is built, and is not asked again when its pods are created. */
const injectLabel = "sidecar.istio.io/inject";
const templatesAnnotation = "inject.istio.io/templates";

function buildTemplate(
	gateway: GatewayToDeploy,
	settings: InjectorSettings,
	{ namespace }: GatewayFacts,
): { readonly pod: Pod } | { readonly message: string } {
	const { deploymentName, namespace: of, annotations } = gateway;
	const labels = { ...labelsOf(gateway), [managedLabel]: managedValue };
	const pod: Pod = {
		metadata: {
			namespace: of,
			labels: { "service.istio.io/canonical-name": deploymentName, ...labels, [injectLabel]: "true" },
			annotations: { ...omit(annotations, ownAnnotations), [templatesAnnotation]: "gateway" },
		},
		spec: podSpec(gateway, settings),
	};
	const workload = { name: deploymentName, namespace: of, apiVersion: "apps/v1", kind: "Deployment" };
	const result = injectPod(pod, settings, { namespace: { ...namespace, isSelected: true }, hasNativeSidecars: false, workload });
	if (result.kind !== "injected") return { message: `its pods cannot be built: ${result.message}` };
	const { metadata, spec } = result.pod;
	return {
		pod: {
			metadata: {
				labels: { ...metadata.labels, [injectLabel]: "false" },
				annotations: omit(metadata.annotations ?? {}, [templatesAnnotation, statusAnnotation, overridesAnnotation]),
			},
			spec,
		},
	};
}

function podSpec({ deploymentName, ownAnnotations: said }: GatewayToDeploy, { values }: InjectorSettings): Pod["spec"] {
	const probe = { httpGet: { path: "/healthz/ready", port: 15021 }, timeoutSeconds: 1 };
	const container = {
		name: "istio-proxy",
		image: "auto",
		ports: [
			{ name: "metrics", containerPort: 15020, protocol: "TCP" },
			{ name: "status-port", containerPort: 15021, protocol: "TCP" },
			{ name: "http-envoy-prom", containerPort: 15090, protocol: "TCP" },
		],
		resources: values.proxy.resources,
		securityContext: {
			allowPrivilegeEscalation: false,
			privileged: false,
			readOnlyRootFilesystem: true,
			runAsNonRoot: true,
			runAsUser: 1337,
			runAsGroup: 1337,
			capabilities: { drop: ["ALL"] },
		},
		startupProbe: { ...probe, initialDelaySeconds: 1, periodSeconds: 1, successThreshold: 1, failureThreshold: 30 },
		readinessProbe: { ...probe, periodSeconds: 15, successThreshold: 1, failureThreshold: 4 },
	};
	const spec = {
		serviceAccountName: said[serviceAccountAnnotation] ?? deploymentName,
		securityContext: {
			runAsNonRoot: true,
			seccompProfile: { type: "RuntimeDefault" },
			// Ports below 1024 without any capability.
			sysctls: [{ name: "net.ipv4.ip_unprivileged_port_start", value: "0" }],
		},
		containers: [container],
	};
	return spec;
}
