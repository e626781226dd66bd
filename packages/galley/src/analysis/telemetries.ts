import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { labelsText, type MeshView, matchesLabels } from "./mesh-view.ts";

type Telemetry = ConfigObject<"Telemetry">;

const labelsOf = ({ spec }: Telemetry) => spec.selector?.matchLabels ?? {};
const hasTargets = ({ spec }: Telemetry) => Boolean(spec.targetRef || spec.targetRefs?.length);
const names = (telemetries: readonly Telemetry[]) => telemetries.map(({ metadata }) => metadata.name).join(" ");

/** A workload has one Telemetry of its own, a namespace one for all. */
export function analyzeTelemetries(view: MeshView): readonly Diagnostic[] {
	const found: Diagnostic[] = [];
	for (const [namespace, all] of Map.groupBy(view.snapshot.all("Telemetry"), ({ metadata }) => metadata.namespace)) {
		const telemetries = all.filter((telemetry) => !hasTargets(telemetry));
		const wide = telemetries.filter((telemetry) => Object.keys(labelsOf(telemetry)).length === 0);
		if (wide.length > 1) {
			const message = `The Telemetries [${names(wide)}] in namespace "${namespace}" have no workload selector, which can lead to undefined behavior; keep one`;
			for (const object of wide) found.push(diagnosticAt(object, "warning", diagnosticCodes.multipleTelemetriesWithoutSelectors, [], message));
		}
		for (const object of telemetries) {
			if (wide.includes(object) || view.workloadsIn(namespace).some(({ labels }) => matchesLabels(labels, labelsOf(object)))) continue;
			const message = `Referenced selector not found: "${labelsText(labelsOf(object))}"; no workload has these labels`;
			found.push(diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, ["spec", "selector"], message));
		}
		for (const workload of view.workloadsIn(namespace)) {
			const picking = telemetries.filter((telemetry) => !wide.includes(telemetry) && matchesLabels(workload.labels, labelsOf(telemetry)));
			if (picking.length < 2) continue;
			const message = `The Telemetries [${names(picking)}] in namespace "${namespace}" select the same workload pod "${workload.name}", which can lead to undefined behavior; make the selectors differ`;
			for (const object of picking) {
				found.push(diagnosticAt(object, "warning", diagnosticCodes.conflictingTelemetrySelectors, ["spec", "selector"], message));
			}
		}
	}
	return found;
}
