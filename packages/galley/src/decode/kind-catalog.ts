import { kindInfo, kindNames, nearNames, objectKindOf, resolveKind } from "@weft/api";

/** Kinds that Istio or the Gateway API has and Weft does not translate yet: to ignore a policy silently would be a security hole. */
const notImplemented: Readonly<Record<string, readonly string[]>> = {
	"install.istio.io": ["IstioOperator"],
	"gateway.networking.k8s.io": ["UDPRoute"],
	"gateway.networking.x-k8s.io": ["XBackend", "XBackendTrafficPolicy", "XListenerSet", "XMesh"],
	"inference.networking.k8s.io": ["InferencePool"],
};

/** Kinds of Kubernetes that the mesh does not read. */
const ignored: Readonly<Record<string, readonly string[]>> = {
	"": ["Event", "LimitRange", "PersistentVolume", "PersistentVolumeClaim", "PodTemplate", "ReplicationController", "ResourceQuota"],
	apps: ["ControllerRevision", "DaemonSet"],
	batch: ["CronJob"],
	autoscaling: ["HorizontalPodAutoscaler"],
	policy: ["PodDisruptionBudget"],
	"rbac.authorization.k8s.io": ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"],
	"networking.k8s.io": ["IPAddress", "NetworkPolicy", "ServiceCIDR"],
	"apiextensions.k8s.io": ["CustomResourceDefinition"],
	"apiregistration.k8s.io": ["APIService"],
	"admissionregistration.k8s.io": ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration"],
	"storage.k8s.io": ["CSIDriver", "CSINode", "StorageClass", "VolumeAttachment"],
	"scheduling.k8s.io": ["PriorityClass"],
	"coordination.k8s.io": ["Lease"],
	"node.k8s.io": ["RuntimeClass"],
	"certificates.k8s.io": ["CertificateSigningRequest", "ClusterTrustBundle"],
	"events.k8s.io": ["Event"],
	"discovery.k8s.io": [],
};

export type KindVerdict =
	| { readonly verdict: "known" }
	| { readonly verdict: "ignored"; readonly message: string }
	| { readonly verdict: "not-implemented"; readonly message: string }
	| { readonly verdict: "unknown"; readonly message: string };

const groupOf = (apiVersion: string) => (apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "");

/** What galley does with an object of this apiVersion and kind. */
export function judgeKind(apiVersion: string, kind: string): KindVerdict {
	const group = groupOf(apiVersion);
	if (Object.hasOwn(notImplemented, group) && notImplemented[group]?.includes(kind)) {
		const message = `${kind} (${group}) is not implemented by Weft yet, so it is refused rather than silently ignored; remove it`;
		return { verdict: "not-implemented", message };
	}
	if (Object.hasOwn(ignored, group) && ignored[group]?.includes(kind)) {
		return { verdict: "ignored", message: `the mesh does not read ${kind}; it is accepted and ignored` };
	}
	// A known kind under a wrong group or version is the schema's business: it names the right ones.
	if (resolveKind(apiVersion, kind) !== undefined) return { verdict: "known" };
	return { verdict: "unknown", message: unknownKindMessage(apiVersion, kind) };
}

function unknownKindMessage(apiVersion: string, kind: string): string {
	const known = [...new Set(kindNames.map(objectKindOf))];
	const inGroup = [
		...kindNames.filter((name) => kindInfo(name).group === groupOf(apiVersion)).map(objectKindOf),
		...(Object.hasOwn(ignored, groupOf(apiVersion)) ? (ignored[groupOf(apiVersion)] ?? []) : []),
	];
	const near = nearNames(kind, [...new Set([...inGroup, ...known])]);
	const hint = near.length > 0 ? `; did you mean ${near.join(" or ")}?` : `; known kinds are ${known.join(", ")}`;
	return `unknown kind ${JSON.stringify(kind.slice(0, 80))} of apiVersion ${JSON.stringify(apiVersion.slice(0, 80))}${hint}`;
}
