import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels } from "./mesh-view.ts";

/** The proxy's own user: what runs as it is not captured. */
const proxyUid = 1337;

type PodSpec = ConfigObject<"Pod">["spec"];
type Deployment = ConfigObject<"Deployment">;
type Service = ConfigObject<"Service">;

/** Services that disagree about the ports of one Deployment. */
export function analyzeServicesOfDeployments(view: MeshView): readonly Diagnostic[] {
	const servicesIn = Map.groupBy(view.snapshot.all("Service"), ({ metadata }) => metadata.namespace);
	return view
		.concerned("Deployment")
		.filter((object) => isInMesh(view, object))
		.flatMap((object) => portConflicts(object, servicesOf(object, servicesIn)));
}

/** Applications that run as the proxy does. */
export function analyzeUsers(view: MeshView): readonly Diagnostic[] {
	return [
		...view.concerned("Deployment").flatMap((object) => userFinding(object, object.spec.template.spec)),
		...view.concerned("Pod").flatMap((object) => userFinding(object, object.spec)),
	];
}

function servicesOf({ metadata, spec }: Deployment, servicesIn: ReadonlyMap<string, readonly Service[]>): readonly Service[] {
	const labels = spec.template.metadata?.labels ?? {};
	return (servicesIn.get(metadata.namespace) ?? []).filter(
		({ spec: { selector } }) => selector && Object.keys(selector).length > 0 && matchesLabels(labels, selector),
	);
}

function isInMesh(view: MeshView, { metadata, spec }: Deployment): boolean {
	const { labels = {}, annotations = {} } = spec.template.metadata ?? {};
	if (spec.template.spec.containers.some(({ name, image }) => name === "istio-proxy" && image)) return true;
	const word = labels["sidecar.istio.io/inject"] ?? annotations["sidecar.istio.io/inject"];
	if (word !== undefined) return word === "true";
	return view.snapshot.get("Namespace", "", metadata.namespace)?.metadata.labels["istio-injection"] === "enabled";
}

function portConflicts(object: Deployment, services: readonly Service[]): readonly Diagnostic[] {
	const { name } = object.metadata;
	const ports = services.flatMap((service) =>
		(service.spec.ports ?? []).map((port) => ({ ...port, service: `${service.metadata.namespace}/${service.metadata.name}` })),
	);
	const warn = (code: string, message: string) => diagnosticAt(object, "warning", code, ["metadata", "name"], message);
	const found: Diagnostic[] = [];
	for (const [number, same] of Map.groupBy(ports, ({ port }) => port)) {
		if (new Set(same.map(({ protocol = "TCP" }) => protocol)).size < 2) continue;
		const names = same.map(({ service }) => service).sort();
		const message = `This deployment ${name} is associated with multiple services using port ${number} but different protocols: [${names.join(" ")}]; use one protocol a port`;
		found.push(warn(diagnosticCodes.servicesWithDifferentProtocols, message));
	}
	for (const [target, same] of Map.groupBy(ports, ({ port, targetPort }) => String(targetPort || port))) {
		const serviceOf = new Map(same.map(({ port, service }) => [port, service]));
		if (serviceOf.size < 2) continue;
		const numbers = [...serviceOf.keys()].sort((a, b) => a - b);
		const message = `This deployment ${name} is associated with multiple services [${[...serviceOf.values()].sort().join(" ")}] using targetPort "${target}" but different ports: [${numbers.join(" ")}]; use one port a targetPort`;
		found.push(warn(diagnosticCodes.servicesWithDifferentPorts, message));
	}
	return found;
}

function userFinding(object: Deployment | ConfigObject<"Pod">, spec: PodSpec): readonly Diagnostic[] {
	const applications = spec.containers.filter(({ name }) => name !== "istio-proxy");
	if (![spec, ...applications].some(({ securityContext }) => securityContext?.runAsUser === proxyUid)) return [];
	const path = object.kind === "Pod" ? ["spec"] : ["spec", "template", "spec"];
	return [
		diagnosticAt(
			object,
			"warning",
			diagnosticCodes.invalidApplicationUid,
			path,
			"User ID (UID) 1337 is reserved for the sidecar proxy. Run the application as another",
		),
	];
}
