import { type Diagnostic, isKind } from "@weft/api";
import type { StoreSnapshot } from "../store/snapshot.ts";
import { analyzeDestinationRules } from "./destination-rules.ts";
import { analyzeDestinations, analyzeIngressSubsets } from "./destinations.ts";
import { analyzeEnvoyFilters } from "./envoy-filters.ts";
import { analyzeDuplicateCertificates, analyzeGatewayCredentials } from "./gateway-certificates.ts";
import { analyzeGatewayConflicts, analyzeGatewaySelectors } from "./gateways.ts";
import { analyzeInjection } from "./injection.ts";
import { createMeshView, type MeshView } from "./mesh-view.ts";
import { analyzeAnnotations } from "./annotations.ts";
import { analyzeClaimRouting } from "./claim-routing.ts";
import { analyzeDeployments } from "./deployments.ts";
import { analyzePolicyNamespaces, analyzePolicySelectors } from "./policies.ts";
import { analyzeServiceEntries } from "./service-entries.ts";
import { analyzePortNames } from "./services.ts";
import { analyzeSidecars } from "./sidecars.ts";
import { analyzeTelemetries } from "./telemetries.ts";
import { analyzeGatewayReferences, analyzeMeshHostConflicts } from "./virtual-services.ts";

/** Each answers one question about the whole mesh; none of them refuses anything. */
const analyzers: readonly ((view: MeshView) => readonly Diagnostic[])[] = [
	analyzeDestinations,
	analyzeIngressSubsets,
	analyzeDestinationRules,
	analyzeMeshHostConflicts,
	analyzeGatewayReferences,
	analyzeGatewaySelectors,
	analyzeGatewayConflicts,
	analyzeGatewayCredentials,
	analyzeDuplicateCertificates,
	analyzeServiceEntries,
	analyzeDeployments,
	analyzeInjection,
	analyzeAnnotations,
	analyzeSidecars,
	analyzePortNames,
	analyzePolicyNamespaces,
	analyzePolicySelectors,
	analyzeClaimRouting,
	analyzeTelemetries,
	analyzeEnvoyFilters,
];

/** https://istio.io/latest/docs/ops/diagnostic-tools/istioctl-analyze/: codes, or `*` for all. */
function isSuppressed(snapshot: StoreSnapshot, { kind, namespace = "", name = "", code }: Diagnostic): boolean {
	if (kind === undefined || !isKind(kind)) return false;
	const codes = snapshot.get(kind, namespace, name)?.metadata.annotations["galley.istio.io/analyze-suppress"];
	return codes !== undefined && codes.split(",").some((entry) => entry === "*" || entry === code);
}

/**
 * What is odd about the configuration as a whole: warnings and remarks under Istio's codes. Pure. With `concerns`, at least
 * those of the objects that it names: an admission webhook asks of one object in a large mesh.
 */
export function analyzeSnapshot(snapshot: StoreSnapshot, concerns?: (object: object) => boolean): readonly Diagnostic[] {
	const view = createMeshView(snapshot, concerns);
	const told = new Set<string>();
	return analyzers
		.flatMap((analyze) => analyze(view))
		.filter((finding) => {
			// Of one object each thing is said once, at its first place.
			const key = `${finding.kind}/${finding.namespace ?? ""}/${finding.name} ${finding.code} ${finding.message}`;
			if (told.has(key) || isSuppressed(snapshot, finding)) return false;
			told.add(key);
			return true;
		});
}
