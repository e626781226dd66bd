import { type ConfigObject, type Diagnostic, diagnosticCodes } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import { labelsText, type MeshView, matchesLabels } from "./mesh-view.ts";

type Telemetry = ConfigObject<"Telemetry">;

const labelsOf = ({ spec }: Telemetry) => spec.selector?.matchLabels ?? {};
const hasTargets = ({ spec }: Telemetry) => Boolean(spec.targetRef || spec.targetRefs?.length);
const names = (telemetries: readonly Telemetry[]) => telemetries.map(({ metadata }) => metadata.name).join(" ");

const isWide = (telemetry: Telemetry) => Object.keys(labelsOf(telemetry)).length === 0;

/** Those of a namespace that are not for named targets. */
function byNamespace(view: MeshView): ReadonlyMap<string, readonly Telemetry[]> {
	return Map.groupBy(
		view.snapshot.all("Telemetry").filter((telemetry) => !hasTargets(telemetry)),
		({ metadata }) => metadata.namespace,
	);
}

/** A namespace has one Telemetry for all its workloads. */
export function analyzeDefaultTelemetries(view: MeshView): readonly Diagnostic[] {
	return [...byNamespace(view)].flatMap(([namespace, telemetries]) => {
		const wide = telemetries.filter(isWide);
		if (wide.length < 2) return [];
		const message = `The Telemetries [${names(wide)}] in namespace "${namespace}" have no workload selector, which can lead to undefined behavior; keep one`;
		return wide.map((object) => diagnosticAt(object, "warning", diagnosticCodes.multipleTelemetriesWithoutSelectors, [], message));
	});
}

/** A workload has one Telemetry of its own, and each picks one. */
export function analyzeTelemetrySelectors(view: MeshView): readonly Diagnostic[] {
	const found: Diagnostic[] = [];
	for (const [namespace, all] of byNamespace(view)) {
		const telemetries = all.filter((telemetry) => !isWide(telemetry));
		for (const object of telemetries) {
			if (view.workloadsIn(namespace).some(({ labels }) => matchesLabels(labels, labelsOf(object)))) continue;
			const message = `Referenced selector not found: "${labelsText(labelsOf(object))}"; no workload has these labels`;
			found.push(diagnosticAt(object, "warning", diagnosticCodes.referenceNotFound, ["spec", "selector"], message));
		}
		for (const workload of view.workloadsIn(namespace)) {
			const picking = telemetries.filter((telemetry) => matchesLabels(workload.labels, labelsOf(telemetry)));
			if (picking.length < 2) continue;
			const message = `The Telemetries [${names(picking)}] in namespace "${namespace}" select the same workload pod "${workload.name}", which can lead to undefined behavior; make the selectors differ`;
			for (const object of picking) {
				found.push(diagnosticAt(object, "warning", diagnosticCodes.conflictingTelemetrySelectors, ["spec", "selector"], message));
			}
		}
	}
	return found;
}

/** Access logging that names no provider is left out where the mesh has none by default. Without a mesh configuration nothing is known of that. */
export function analyzeTelemetryProviders(view: MeshView): readonly Diagnostic[] {
	if (!view.meshConfig || view.meshConfig.defaultProviders?.accessLogging?.length) return [];
	return view.concerned("Telemetry").flatMap((object) =>
		(object.spec.accessLogging ?? []).flatMap(({ disabled, providers }, i) => {
			if (disabled || providers?.length) return [];
			const { name, namespace } = object.metadata;
			const message = `The Telemetry ${name} in namespace "${namespace}" with empty providers will be ignored; name a provider, or one in meshConfig.defaultProviders.accessLogging`;
			return [diagnosticAt(object, "warning", diagnosticCodes.telemetryWithoutProviders, ["spec", "accessLogging", i], message)];
		}),
	);
}
