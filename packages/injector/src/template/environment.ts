import { labelsOf, type ContainerPort, type EnvVar } from "../pod/pod.ts";
import { renderProxyConfig } from "../proxy-config.ts";
import type { ProxyRole } from "./volumes.ts";
import { annotationOr, appContainersOf, interceptionModeOf, type TemplateInput } from "./input.ts";

/** The proxy's environment, which is where its agent finds out who it is; also read by people's scripts and dashboards. */
export function proxyEnvironment(input: TemplateInput, role: ProxyRole): readonly EnvVar[] {
	const { settings, proxyConfig, workload } = input;
	const { values, mesh } = settings;
	const trustDomain = mesh.trustDomain || values.trustDomain;
	const { apiVersion, kind, name, namespace } = workload;
	const limits = [fromResource("GOMEMLIMIT", "limits.memory"), fromResource("GOMAXPROCS", "limits.cpu")];
	const applications = variable("ISTIO_META_APP_CONTAINERS", appContainersOf(input).join(","));
	const hasBootstrap = annotationOr(input, "sidecar.istio.io/bootstrapOverride", "") !== "";
	return [
		...(mesh.inboundTrafficPolicy.mode === "LOCALHOST" ? [variable("REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION", "true")] : []),
		variable("PILOT_CERT_PROVIDER", values.pilotCertProvider),
		variable("CA_ADDR", values.caAddress || defaultCaAddress(input)),
		fromField("POD_NAME", "metadata.name"),
		fromField("POD_NAMESPACE", "metadata.namespace"),
		fromField("INSTANCE_IP", "status.podIP"),
		fromField("SERVICE_ACCOUNT", "spec.serviceAccountName"),
		fromField("HOST_IP", "status.hostIP"),
		fromResource("ISTIO_CPU_LIMIT", "limits.cpu"),
		variable("PROXY_CONFIG", `${renderProxyConfig(proxyConfig)}\n`),
		variable("ISTIO_META_POD_PORTS", podPorts(input)),
		...(role === "sidecar" ? [applications, ...limits] : [...limits, applications]),
		variable("ISTIO_META_CLUSTER_ID", values.clusterName || "Kubernetes"),
		fromField("ISTIO_META_NODE_NAME", "spec.nodeName"),
		variable("ISTIO_META_INTERCEPTION_MODE", (role === "sidecar" ? interceptionModeOf(input) : proxyConfig.interceptionMode) || "REDIRECT"),
		...(values.network ? [variable("ISTIO_META_NETWORK", values.network)] : []),
		...(name ? [variable("ISTIO_META_WORKLOAD_NAME", (role === "sidecar" && labelsOf(input.pod)["service.istio.io/workload-name"]) || name)] : []),
		...(name ? [variable("ISTIO_META_OWNER", `kubernetes://apis/${apiVersion}/namespaces/${namespace || "default"}/${kind.toLowerCase()}s/${name}`)] : []),
		...(hasBootstrap ? [variable("ISTIO_BOOTSTRAP_OVERRIDE", "/etc/istio/custom-bootstrap/custom_bootstrap.json")] : []),
		...(values.meshId || trustDomain ? [variable("ISTIO_META_MESH_ID", values.meshId || trustDomain)] : []),
		...(trustDomain ? [variable("TRUST_DOMAIN", trustDomain)] : []),
		...metadataVariables(input),
	];
}

/** proxyMetadata, for the proxy and for iptables (ISTIO_META_DNS_CAPTURE). */
export function metadataVariables({ proxyConfig }: TemplateInput): readonly EnvVar[] {
	return Object.entries(proxyConfig.proxyMetadata ?? {})
		.sort(([a], [b]) => (a < b ? -1 : 1))
		.map(([name, value]) => variable(name, value));
}

function defaultCaAddress({ settings: { values, revision } }: TemplateInput): string {
	const name = values.revision || (revision === "default" ? "" : revision);
	return `istiod${name === "" ? "" : `-${name}`}.${values.istioNamespace}.svc:15012`;
}

// An empty value is left out, as Kubernetes' own encoding does.
const variable = (name: string, value: string): EnvVar => (value === "" ? { name } : { name, value });
const fromField = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });
const fromResource = (name: string, resource: string): EnvVar => ({ name, valueFrom: { resourceFieldRef: { divisor: "1", resource } } });

/** The ports that the pod declares, as a JSON list with an entry a line. */
function podPorts({ pod }: TemplateInput): string {
	const ports = pod.spec.containers.flatMap((container) => container.ports ?? []).map(renderPort);
	return ["[", ...ports.map((port, i) => `    ${i === 0 ? "" : ","}${port}`), "]"].join("\n");
}

function renderPort({ name, hostPort, containerPort, protocol, hostIP }: ContainerPort): string {
	return JSON.stringify({
		name: name || undefined,
		hostPort: hostPort || undefined,
		containerPort,
		protocol: protocol || undefined,
		hostIP: hostIP || undefined,
	});
}
