import type { ConfigObject, KubeServicePort } from "@weft/api";
import { createdMsOf } from "./age.ts";
import { isEmpty } from "./labels.ts";
import { kubernetesProtocol } from "./protocol.ts";
import type { Resolution, Service, ServicePort } from "./service.ts";

const exportToAnnotation = "networking.istio.io/exportTo";
const trafficDistributionAnnotation = "networking.istio.io/traffic-distribution";

const decoded = new WeakMap<ConfigObject<"Service">, Map<string, Service>>();

/** A Kubernetes Service as the mesh sees it; the same object gives the same service. */
export function kubernetesService(object: ConfigObject<"Service">, domain: string, defaultExportTo: readonly string[]): Service {
	const key = `${domain} ${defaultExportTo.join(",")}`;
	let variants = decoded.get(object);
	if (!variants) {
		variants = new Map();
		decoded.set(object, variants);
	}
	let service = variants.get(key);
	if (!service) {
		service = decodeService(object, domain, defaultExportTo);
		variants.set(key, service);
	}
	return service;
}

function decodeService({ metadata, spec }: ConfigObject<"Service">, domain: string, defaultExportTo: readonly string[]): Service {
	const external = spec.type === "ExternalName" && spec.externalName !== undefined && spec.externalName !== "";
	const headless = spec.clusterIP === "None";
	const exportTo = metadata.annotations[exportToAnnotation];
	return {
		hostname: `${metadata.name}.${metadata.namespace}.svc.${domain}`,
		name: metadata.name,
		namespace: metadata.namespace,
		registry: "Kubernetes",
		ports: (spec.ports ?? []).map(decodePort),
		addresses: clusterIps(spec.clusterIPs, spec.clusterIP),
		autoAddress: undefined,
		headless,
		resolution: resolutionOf(external, headless),
		meshExternal: false,
		exportTo: exportTo === undefined || exportTo === "" ? defaultExportTo : exportTo.split(",").map((entry) => entry.trim()),
		labels: metadata.labels,
		selector: isEmpty(spec.selector) ? undefined : spec.selector,
		externalName: external ? spec.externalName : undefined,
		subjectAltNames: [],
		publishNotReady: spec.publishNotReadyAddresses === true,
		internalTrafficLocal: spec.internalTrafficPolicy === "Local",
		trafficDistribution: distributionOf(metadata.annotations[trafficDistributionAnnotation] ?? spec.trafficDistribution),
		createdMs: createdMsOf(metadata),
	};
}

function resolutionOf(external: boolean, headless: boolean): Resolution {
	if (external) return "Alias";
	return headless ? "Passthrough" : "ClientSide";
}

function clusterIps(ips: readonly string[] | undefined, ip: string | undefined): readonly string[] {
	const all = ips !== undefined && ips.length > 0 ? ips : ip === undefined ? [] : [ip];
	return all.filter((address) => address !== "" && address !== "None");
}

function decodePort(port: KubeServicePort): ServicePort {
	const name = port.name ?? "";
	return {
		name,
		port: port.port,
		protocol: kubernetesProtocol(port.port, name, port.protocol ?? "TCP", port.appProtocol),
		targetPort: port.targetPort === undefined || port.targetPort === 0 || port.targetPort === "" ? port.port : port.targetPort,
	};
}

/** https://kubernetes.io/docs/concepts/services-networking/service/#traffic-distribution */
function distributionOf(text: string | undefined): Service["trafficDistribution"] {
	switch (text) {
		case "PreferClose":
		case "PreferSameZone":
		case "PreferSameNode":
			return text;
		default:
			return undefined;
	}
}
