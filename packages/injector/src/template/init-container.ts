import { isJsonObject, type Json, type JsonObject, type StringMap } from "../json.ts";
import { annotationsOf, type Container, initContainerName, validationContainerName } from "../pod/pod.ts";
import { metadataVariables } from "./environment.ts";
import { proxyImage } from "./image.ts";
import { annotationOr, InjectionError, interceptionModeOf, statusPortOf, type TemplateInput } from "./input.ts";
import { proxyResources } from "./resources.ts";

/** Sends the pod's traffic through the proxy: the only container that is root. With a CNI plugin it only looks whether that is so. */
export function initContainer(input: TemplateInput): Container & JsonObject {
	const { values } = input.settings;
	const env = metadataVariables(input);
	const user = values.cni.enabled ? 1337 : 0;
	return {
		name: values.cni.enabled ? validationContainerName : initContainerName,
		image: proxyImage(input, values.proxyInit.image),
		args: iptablesArguments(input),
		...(values.imagePullPolicy && { imagePullPolicy: values.imagePullPolicy }),
		...(env.length > 0 && { env }),
		resources: proxyResources(input),
		securityContext: {
			allowPrivilegeEscalation: values.proxy.privileged,
			privileged: values.proxy.privileged,
			capabilities: { ...(!values.cni.enabled && { add: ["NET_ADMIN", "NET_RAW"] }), drop: ["ALL"] },
			readOnlyRootFilesystem: values.cni.enabled,
			runAsGroup: user,
			runAsNonRoot: user !== 0,
			runAsUser: user,
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
		...(values.cni.enabled ? ["--run-validation", "--skip-rule-apply"] : values.proxyInit.forceApplyIptables ? ["--force-apply"] : []),
	];
}

/** What a CNI plugin reads of the pod: the same as the flags, but each only where it says something. */
export function captureAnnotations(input: TemplateInput): StringMap {
	const { cni, proxy } = input.settings.values;
	const own = annotationsOf(input.pod);
	const ifSaid = (name: string, value: string): StringMap => (value === "" ? {} : { [name]: value });
	const traffic = (name: string, fallback: string): string => annotationOr(input, `traffic.sidecar.istio.io/${name}`, fallback);
	const prefix = "traffic.sidecar.istio.io";
	return {
		...(cni.isMultus && { "k8s.v1.cni.cncf.io/networks": withMultusNetwork(own["k8s.v1.cni.cncf.io/networks"] ?? "") }),
		"sidecar.istio.io/interceptionMode": interceptionModeOf(input),
		...ifSaid(`${prefix}/includeOutboundIPRanges`, traffic("includeOutboundIPRanges", proxy.includeIPRanges)),
		...ifSaid(`${prefix}/excludeOutboundIPRanges`, traffic("excludeOutboundIPRanges", proxy.excludeIPRanges)),
		[`${prefix}/includeInboundPorts`]: traffic("includeInboundPorts", proxy.includeInboundPorts),
		[`${prefix}/excludeInboundPorts`]: excludedInboundPorts(input),
		...ifSaid(`${prefix}/includeOutboundPorts`, traffic("includeOutboundPorts", proxy.includeOutboundPorts)),
		...ifSaid(`${prefix}/excludeOutboundPorts`, traffic("excludeOutboundPorts", proxy.excludeOutboundPorts)),
	};
}

const multusNetwork = "default/istio-cni";

/** Multus takes a comma-separated list, or JSON. https://github.com/k8snetworkplumbingwg/multus-cni/blob/master/docs/how-to-use.md */
function withMultusNetwork(networks: string): string {
	if (networks.trim() === "") return multusNetwork;
	if (!networks.trim().startsWith("[")) {
		return networks.split(",").some((name) => name.trim() === multusNetwork) ? networks : `${networks}, ${multusNetwork}`;
	}
	let list: unknown;
	try {
		list = JSON.parse(networks);
	} catch (error) {
		throw new InjectionError(`annotation 'k8s.v1.cni.cncf.io/networks' is no JSON: ${error instanceof Error ? error.message : String(error)}`);
	}
	const entries = Array.isArray(list) ? (list as readonly Json[]) : [];
	const isThere = entries.some((entry) => isJsonObject(entry) && entry["name"] === multusNetwork);
	return isThere ? networks : JSON.stringify([...entries, { name: multusNetwork }]);
}

/** The kubelet's probes must reach the agent whatever the user excludes. */
function excludedInboundPorts(input: TemplateInput): string {
	const excluded = annotationOr(input, "traffic.sidecar.istio.io/excludeInboundPorts", input.settings.values.proxy.excludeInboundPorts);
	const statusPort = statusPortOf(input);
	const ports = excluded.split(",");
	if (statusPort === "" || statusPort === "0" || ports.includes(statusPort)) return excluded;
	return [...ports.map((port) => port.trim()).filter((port) => port !== ""), statusPort].join(",");
}
