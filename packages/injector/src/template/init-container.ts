import type { JsonObject } from "../json.ts";
import { annotationsOf, type Container, initContainerName } from "../pod/pod.ts";
import { metadataVariables } from "./environment.ts";
import { proxyImage } from "./image.ts";
import { annotationOr, interceptionModeOf, statusPortOf, type TemplateInput } from "./input.ts";
import { proxyResources } from "./resources.ts";

/** Sends the pod's traffic through the proxy: the only container that is root. */
export function initContainer(input: TemplateInput): Container & JsonObject {
	const { values } = input.settings;
	const env = metadataVariables(input);
	return {
		name: initContainerName,
		image: proxyImage(input, values.proxyInit.image),
		args: iptablesArguments(input),
		...(values.imagePullPolicy && { imagePullPolicy: values.imagePullPolicy }),
		...(env.length > 0 && { env }),
		resources: proxyResources(input),
		securityContext: {
			allowPrivilegeEscalation: values.proxy.privileged,
			privileged: values.proxy.privileged,
			capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: ["ALL"] },
			readOnlyRootFilesystem: false,
			runAsGroup: 0,
			runAsNonRoot: false,
			runAsUser: 0,
			...(Object.keys(values.proxy.seccompProfile).length > 0 && { seccompProfile: values.proxy.seccompProfile }),
		},
	};
}

/** Flags of istio-iptables. */
function iptablesArguments(input: TemplateInput): readonly string[] {
	const { values, mesh } = input.settings;
	const { proxy } = values;
	const annotations = annotationsOf(input.pod);
	const traffic = (name: string, fallback: string): string => annotationOr(input, `traffic.sidecar.istio.io/${name}`, fallback);
	const isSaid = (name: string, fallback: string): boolean => Object.hasOwn(annotations, `traffic.sidecar.istio.io/${name}`) || fallback !== "";
	const virtualInterfaces = annotations["istio.io/reroute-virtual-interfaces"] ?? annotations["traffic.sidecar.istio.io/kubevirtInterfaces"];
	const excludeInterfaces = annotations["traffic.sidecar.istio.io/excludeInterfaces"];
	return [
		"istio-iptables",
		...["-p", String(mesh.proxyListenPort || 15001)],
		...["-z", String(mesh.proxyInboundListenPort || 15006)],
		...["-u", "1337"],
		...["-m", interceptionModeOf(input)],
		...["-i", traffic("includeOutboundIPRanges", proxy.includeIPRanges)],
		...["-x", traffic("excludeOutboundIPRanges", proxy.excludeIPRanges)],
		...["-b", traffic("includeInboundPorts", proxy.includeInboundPorts)],
		...["-d", ["15090", "15021", excludedInboundPorts(input)].filter((ports) => ports !== "").join(",")],
		...(isSaid("includeOutboundPorts", proxy.includeOutboundPorts) ? ["-q", traffic("includeOutboundPorts", proxy.includeOutboundPorts)] : []),
		...(isSaid("excludeOutboundPorts", proxy.excludeOutboundPorts) ? ["-o", traffic("excludeOutboundPorts", proxy.excludeOutboundPorts)] : []),
		...(virtualInterfaces === undefined ? [] : ["-k", virtualInterfaces]),
		...(excludeInterfaces === undefined ? [] : ["-c", excludeInterfaces]),
		`--log_output_level=${annotationOr(input, "sidecar.istio.io/agentLogLevel", values.logLevel)}`,
		...(values.logAsJson ? ["--log_as_json"] : []),
		...(values.proxyInit.forceApplyIptables ? ["--force-apply"] : []),
	];
}

/** The kubelet's probes must reach the agent whatever the user excludes. */
function excludedInboundPorts(input: TemplateInput): string {
	const excluded = annotationOr(input, "traffic.sidecar.istio.io/excludeInboundPorts", input.settings.values.proxy.excludeInboundPorts);
	const statusPort = statusPortOf(input);
	const ports = excluded.split(",");
	if (statusPort === "" || statusPort === "0" || ports.includes(statusPort)) return excluded;
	return [...ports.map((port) => port.trim()).filter((port) => port !== ""), statusPort].join(",");
}
