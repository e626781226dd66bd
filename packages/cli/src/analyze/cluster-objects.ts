import { type AnyConfig, type Diagnostic, formatDiagnostic, hasErrors, type Kind, kindInfo, kindNames, type MeshConfig } from "@weft/api";
import { decodeMeshConfig, injectorConfigMap } from "@weft/galley";
import { KubeError, type KubeClient, type KubeObject, KubeUnreachable, readKind, resources } from "@weft/kube";
import { CommandError } from "../output/errors.ts";
import { type AnalyzedObjects, sortOut } from "./objects.ts";

export interface ClusterObjects extends AnalyzedObjects {
	readonly meshConfig: MeshConfig;
	/** What is wrong with the mesh configuration: then the defaults count. */
	readonly problems: readonly string[];
}

export interface ClusterReading {
	/** Configuration that is labelled for another revision is another control plane's. */
	readonly revision: string;
	readonly istioNamespace: string;
	readonly signal: AbortSignal;
}

/** What configuration is judged by; the pods are the workloads, so their owners but Deployments are not read. */
const coreKinds: readonly Kind[] = ["Namespace", "Service", "Pod", "Deployment", "Secret", "ConfigMap", "MutatingWebhookConfiguration"];

/** What is written, of Istio's kinds and those of the Gateway API. */
const configurationKinds: readonly Kind[] = kindNames.filter((kind) => kindInfo(kind).istio || kindInfo(kind).group === "gateway.networking.k8s.io");

/** Releases of Helm and tokens are the most and the largest Secrets, and no credentials of gateways. */
const secretSelector = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token";

/** All that a cluster holds of what is analyzed, as it is now. Rejects with a CommandError where the cluster does not tell. */
export async function objectsOfCluster(client: KubeClient, { revision, istioNamespace, signal }: ClusterReading): Promise<ClusterObjects> {
	try {
		const { meshConfig, problems } = await readMeshConfig(client, istioNamespace, signal);
		const objects: AnyConfig[] = [];
		const diagnostics: Diagnostic[] = [];
		// One after the other: a large cluster's answers are large.
		for (const kind of [...coreKinds, ...configurationKinds]) {
			const isConfiguration = !coreKinds.includes(kind);
			const found = await readKind(client, kind, {
				signal,
				...(kind === "Secret" && { fieldSelector: secretSelector }),
				...(kind === "ConfigMap" && { namespace: istioNamespace, ignore: isNoInjectors }),
				...(isConfiguration && { ignore: isOfAnother(revision) }),
			});
			for (const object of found.objects) objects.push(object);
			for (const diagnostic of found.diagnostics) diagnostics.push(diagnostic);
		}
		return { ...sortOut({ objects, diagnostics }), meshConfig, problems };
	} catch (error) {
		if (signal.aborted) throw new CommandError("the cluster did not tell all within --timeout");
		if (!(error instanceof KubeError || error instanceof KubeUnreachable)) throw error;
		throw new CommandError(`the cluster cannot be analyzed: ${error.message}; files alone can: --use-kube=false`);
	}
}

async function readMeshConfig(client: KubeClient, namespace: string, signal: AbortSignal): Promise<Pick<ClusterObjects, "meshConfig" | "problems">> {
	const found = await client.get(resources.configMaps, namespace, "istio", signal);
	const text = (found?.["data"] as Readonly<Record<string, unknown>> | undefined)?.["mesh"];
	if (typeof text !== "string") return { meshConfig: {}, problems: [] };
	const { value, diagnostics } = decodeMeshConfig(text, `ConfigMap ${namespace}/istio`, { injectsPods: true });
	return hasErrors(diagnostics) ? { meshConfig: {}, problems: diagnostics.map(formatDiagnostic) } : { meshConfig: value, problems: [] };
}

const isNoInjectors = ({ metadata }: KubeObject): boolean => !metadata.name.startsWith(injectorConfigMap);

/** https://istio.io/latest/docs/setup/upgrade/canary/: what has no label is everybody's. */
function isOfAnother(revision: string): (object: KubeObject) => boolean {
	return ({ metadata }) => (metadata.labels?.["istio.io/rev"] ?? revision) !== revision;
}
