import { type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { type MeshView, matchesLabels } from "./mesh-view.ts";

/** A DestinationRule's host must exist and each subset pick at least one workload, in whatever namespace. */
export function analyzeDestinationRules(view: MeshView): readonly Diagnostic[] {
	return view.concerned("DestinationRule").flatMap((object): readonly Diagnostic[] => {
		const { host, subsets = [] } = object.spec;
		const service = view.resolveHost(host, object.metadata.namespace);
		// A wildcard over hosts of their own is no host: only a ServiceEntry has one.
		if (!service || (host.startsWith("*") && !service.host.startsWith("*"))) {
			const message = `The host ${host} defined in the DestinationRule does not match any services in the mesh; mend the name, or add the service`;
			return [diagnosticAt(object, "warning", diagnosticCodes.destinationRuleHostNotFound, ["spec", "host"], message)];
		}
		const entrySelector = service.isKubernetes ? {} : (service.selector ?? {});
		return subsets.flatMap((subset, i) => {
			const wanted = { ...entrySelector, ...subset.labels };
			// Most are near: a large mesh is searched for the others only.
			const isPicked = [view.workloadsIn(service.namespace), view.workloads].some((workloads) => workloads.some(({ labels }) => matchesLabels(labels, wanted)));
			if (isPicked) return [];
			if (service.endpointLabels.some((labels) => matchesLabels(labels, subset.labels ?? {}))) return [];
			const message = `The Subset ${subset.name} defined in the DestinationRule does not select any pods. Which may lead to 503 UH (NoHealthyUpstream); mend its labels, or start such a workload`;
			return [diagnosticAt(object, "warning", diagnosticCodes.subsetSelectsNothing, ["spec", "subsets", i], message)];
		});
	});
}
