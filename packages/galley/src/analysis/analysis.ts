import type { Diagnostic } from "@weft/api";
import type { StoreSnapshot } from "../store/snapshot.ts";
import { analyzeDestinationRules, analyzeDestinations } from "./destinations.ts";
import { analyzeEnvoyFilters } from "./envoy-filters.ts";
import { analyzeGatewayConflicts, analyzeGatewaySelectors } from "./gateways.ts";
import { createMeshView, type MeshView } from "./mesh-view.ts";
import { analyzeClaimRouting, analyzePolicyNamespaces } from "./policies.ts";
import { analyzePortNames } from "./services.ts";
import { analyzeSidecars } from "./sidecars.ts";
import { analyzeTelemetries } from "./telemetries.ts";
import { analyzeGatewayReferences, analyzeMeshHostConflicts } from "./virtual-services.ts";

/** Each answers one question about the whole mesh; none of them refuses anything. */
const analyzers: readonly ((view: MeshView) => readonly Diagnostic[])[] = [
	analyzeDestinations,
	analyzeDestinationRules,
	analyzeMeshHostConflicts,
	analyzeGatewayReferences,
	analyzeGatewaySelectors,
	analyzeGatewayConflicts,
	analyzeSidecars,
	analyzePortNames,
	analyzePolicyNamespaces,
	analyzeClaimRouting,
	analyzeTelemetries,
	analyzeEnvoyFilters,
];

/**
 * What is odd about the configuration as a whole: warnings and remarks under Istio's codes. Pure. With `concerns`, at least
 * those of the objects that it names: an admission webhook asks of one object in a large mesh.
 */
export function analyzeSnapshot(snapshot: StoreSnapshot, concerns?: (object: object) => boolean): readonly Diagnostic[] {
	const view = createMeshView(snapshot, concerns);
	return analyzers.flatMap((analyze) => analyze(view));
}
