import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { labelsText, type MeshView, matchesLabels } from "./mesh-view.ts";

type Sidecar = ConfigObject<"Sidecar">;

const hasSelector = ({ spec }: Sidecar) => Object.keys(spec.workloadSelector?.labels ?? {}).length > 0;
const names = (sidecars: readonly Sidecar[]) => sidecars.map(({ metadata }) => metadata.name).join(" ");

/** A workload has one Sidecar, a namespace one default. */
export function analyzeSidecars(view: MeshView): readonly Diagnostic[] {
	const found: Diagnostic[] = [];
	for (const [namespace, sidecars] of Map.groupBy(view.snapshot.all("Sidecar"), ({ metadata }) => metadata.namespace)) {
		const defaults = sidecars.filter((sidecar) => !hasSelector(sidecar));
		if (defaults.length > 1) {
			const message = `The Sidecars [${names(defaults)}] in namespace "${namespace}" have no workload selector, which can lead to undefined behavior; keep one`;
			for (const object of defaults) found.push(diagnosticAt(object, "warning", diagnosticCodes.multipleSidecarsWithoutSelectors, [], message));
		}
		for (const object of sidecars) {
			const selector = object.spec.workloadSelector?.labels ?? {};
			if (!hasSelector(object) || view.workloadsIn(namespace).some(({ labels }) => matchesLabels(labels, selector))) continue;
			const message = `Referenced selector not found: "${labelsText(selector)}"; no workload has these labels`;
			found.push(diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, ["spec", "workloadSelector"], message));
		}
		for (const workload of view.workloadsIn(namespace)) {
			const picking = sidecars.filter((sidecar) => hasSelector(sidecar) && matchesLabels(workload.labels, sidecar.spec.workloadSelector?.labels ?? {}));
			if (picking.length < 2) continue;
			const message = `The Sidecars [${names(picking)}] in namespace "${namespace}" select the same workload pod "${workload.name}", which can lead to undefined behavior; make the selectors differ`;
			for (const object of picking) {
				found.push(diagnosticAt(object, "warning", diagnosticCodes.conflictingSidecarSelectors, ["spec", "workloadSelector"], message));
			}
		}
	}
	return found;
}
