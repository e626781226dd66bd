import { type Diagnostic, isKind, type MeshConfig } from "@weft/api";
import type { StoreSnapshot } from "../store/snapshot.ts";
import { analyzers } from "./analyzers.ts";
import { createMeshView } from "./mesh-view.ts";

export interface AnalysisOptions {
	/** At least the findings of these objects: an admission webhook asks of one object in a large mesh. Default: of all. */
	readonly concerns?: (object: object) => boolean;
	/** False: the snapshot holds files alone, so analyzers that judge by what a cluster holds are left out. Default true. */
	readonly hasCluster?: boolean;
	readonly meshConfig?: MeshConfig;
}

/** https://istio.io/latest/docs/ops/diagnostic-tools/istioctl-analyze/: codes, or `*` for all. */
function isSuppressed(snapshot: StoreSnapshot, { kind, namespace = "", name = "", code }: Diagnostic): boolean {
	if (kind === undefined || !isKind(kind)) return false;
	const codes = snapshot.get(kind, namespace, name)?.metadata.annotations["galley.istio.io/analyze-suppress"];
	return codes !== undefined && codes.split(",").some((entry) => entry === "*" || entry === code);
}

/** What is odd about the configuration as a whole: warnings and remarks under Istio's codes. Pure. */
export function analyzeSnapshot(snapshot: StoreSnapshot, options: AnalysisOptions = {}): readonly Diagnostic[] {
	const { hasCluster = true, ...ofView } = options;
	const view = createMeshView(snapshot, ofView);
	const told = new Set<string>();
	return analyzers
		.filter(({ needsCluster }) => hasCluster || !needsCluster)
		.flatMap(({ analyze }) => analyze.flatMap((ask) => ask(view)))
		.filter((finding) => {
			// Of one object each thing is said once, at its first place.
			const key = `${finding.kind}/${finding.namespace ?? ""}/${finding.name} ${finding.code} ${finding.message}`;
			if (told.has(key) || isSuppressed(snapshot, finding)) return false;
			told.add(key);
			return true;
		});
}
