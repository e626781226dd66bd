import type { ConfigObject, KubeServicePort, ObjectMeta } from "@weft/api";
import { createdMsOf } from "./age.ts";
import { isEmpty } from "./labels.ts";
import { kubernetesProtocol } from "./protocol.ts";
import type { Resolution, Service, ServicePort, TrafficDistribution } from "./service.ts";
import { trafficDistributionOf } from "./traffic-distribution.ts";

const exportToAnnotation = "networking.istio.io/exportTo";

const decoded = new WeakMap<ConfigObject<"Service">, Map<string, Service>>();

/** A Kubernetes Service as the mesh sees it; the same object gives the same service. */
export function kubernetesService(
	object: ConfigObject<"Service">,
	domain: string,
	defaultExportTo: readonly string[],
	trustDomain: string,
	inherited: TrafficDistribution | undefined,
): Service {
	const key = `${domain} ${defaultExportTo.join(",")} ${trustDomain} ${inherited ?? ""}`;
	let variants = decoded.get(object);
	if (!variants) {
		variants = new Map();
		decoded.set(object, variants);
	}
	let service = variants.get(key);
	if (!service) {
		service = decodeService(object, domain, defaultExportTo, trustDomain, inherited);
		variants.set(key, service);
	}
	return service;
}

function decodeService(
	{ metadata, spec }: ConfigObject<"Service">,
	domain: string,
	defaultExportTo: readonly string[],
	trustDomain: string,
	inherited: TrafficDistribution | undefined,
): Service {
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
		subjectAltNames: declaredIdentities(metadata, trustDomain),
		publishNotReady: spec.publishNotReadyAddresses === true,
		internalTrafficLocal: spec.internalTrafficPolicy === "Local",
		trafficDistribution: trafficDistributionOf(spec.trafficDistribution, metadata.annotations, inherited),
		createdMs: createdMsOf(metadata),
	};
}

/** Identities that servers of the service may have besides those of its endpoints. https://istio.io/latest/docs/reference/config/annotations/ */
function declaredIdentities({ annotations, namespace }: ObjectMeta, trustDomain: string): readonly string[] {
	const listed = (name: string): readonly string[] => (annotations[name] ? annotations[name].split(",") : []);
	const accounts = listed("alpha.istio.io/kubernetes-serviceaccounts").map((account) => `spiffe://${trustDomain}/ns/${namespace}/sa/${account}`);
	return [...listed("alpha.istio.io/canonical-serviceaccounts"), ...accounts];
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
