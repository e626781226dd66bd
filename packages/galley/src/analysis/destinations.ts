import { type ConfigObject, type Destination, type Diagnostic, diagnosticCodes, type Path } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels, qualifyHost } from "./mesh-view.ts";

interface Placed {
	readonly destination: Destination;
	readonly path: Path;
}

function destinationsOf(spec: ConfigObject<"VirtualService">["spec"]): readonly Placed[] {
	const found: Placed[] = [];
	for (const list of ["http", "tls", "tcp"] as const) {
		for (const [i, route] of (spec[list] ?? []).entries()) {
			for (const [j, { destination }] of (route.route ?? []).entries()) found.push({ destination, path: ["spec", list, i, "route", j, "destination"] });
		}
	}
	for (const [i, route] of (spec.http ?? []).entries()) {
		if (route.mirror) found.push({ destination: route.mirror, path: ["spec", "http", i, "mirror"] });
		for (const [j, { destination }] of (route.mirrors ?? []).entries()) found.push({ destination, path: ["spec", "http", i, "mirrors", j, "destination"] });
	}
	return found;
}

/** Destinations of a VirtualService: the host must exist, the subset be defined, the port be clear. */
export function analyzeDestinations(view: MeshView): readonly Diagnostic[] {
	const subsets = subsetsByHost(view);
	return view.concerned("VirtualService").flatMap((object) => {
		const { namespace } = object.metadata;
		return destinationsOf(object.spec).flatMap(({ destination, path }) => {
			const warn = (code: string, at: Path, message: string) => [diagnosticAt(object, "warning", code, at, message)];
			const service = view.resolveHost(destination.host, namespace);
			if (!service) {
				const message = `Referenced host not found: "${destination.host}"; add its Service or ServiceEntry, or mend the name`;
				return warn(diagnosticCodes.referenceNotFound, [...path, "host"], message);
			}
			if (destination.subset !== undefined && !subsets.get(qualifyHost(destination.host, namespace))?.has(destination.subset)) {
				const message = `Referenced host+subset in destinationrule not found: "${destination.host}+${destination.subset}"; requests there get 503 until a DestinationRule defines the subset`;
				return warn(diagnosticCodes.referenceNotFound, [...path, "subset"], message);
			}
			if (destination.port?.number === undefined && service.isKubernetes && service.ports.length > 1) {
				const message = `This VirtualService routes to a service "${destination.host}" that exposes multiple ports [${service.ports.join(" ")}]. Specifying a port in the destination is required to disambiguate; add port.number`;
				return warn(diagnosticCodes.virtualServicePortRequired, path, message);
			}
			return [];
		});
	});
}

function subsetsByHost(view: MeshView): ReadonlyMap<string, ReadonlySet<string>> {
	const byHost = new Map<string, Set<string>>();
	for (const rule of view.snapshot.all("DestinationRule")) {
		const host = qualifyHost(rule.spec.host, rule.metadata.namespace);
		const names = byHost.get(host) ?? new Set<string>();
		for (const subset of rule.spec.subsets ?? []) names.add(subset.name);
		byHost.set(host, names);
	}
	return byHost;
}

/** A DestinationRule's host must exist and each subset pick at least one workload. */
export function analyzeDestinationRules(view: MeshView): readonly Diagnostic[] {
	return view.concerned("DestinationRule").flatMap((object): readonly Diagnostic[] => {
		const { host, subsets = [] } = object.spec;
		const service = view.resolveHost(host, object.metadata.namespace);
		if (!service) {
			const message = `The host ${host} defined in the DestinationRule does not match any services in the mesh; mend the name, or add the service`;
			return [diagnosticAt(object, "warning", diagnosticCodes.destinationRuleHostNotFound, ["spec", "host"], message)];
		}
		const behind = [
			...view
				.workloadsIn(service.namespace)
				.filter(({ labels }) => service.selector && matchesLabels(labels, service.selector))
				.map(({ labels }) => labels),
			...service.endpointLabels,
		];
		if (!service.selector && service.endpointLabels.length === 0) return [];
		return subsets.flatMap((subset, i) => {
			if (behind.some((labels) => matchesLabels(labels, subset.labels ?? {}))) return [];
			const message = `The Subset ${subset.name} defined in the DestinationRule does not select any pods. Which may lead to 503 UH (NoHealthyUpstream); mend its labels, or start such a workload`;
			return [diagnosticAt(object, "warning", diagnosticCodes.subsetSelectsNothing, ["spec", "subsets", i], message)];
		});
	});
}
