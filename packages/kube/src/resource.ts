import { type Kind, kindInfo } from "@weft/api";

/** An object as the API server sends it. */
export interface KubeObject {
	readonly apiVersion?: string;
	readonly kind?: string;
	readonly metadata: KubeMeta;
	readonly [field: string]: unknown;
}

export interface KubeMeta {
	readonly name: string;
	readonly namespace?: string;
	readonly uid?: string;
	readonly resourceVersion?: string;
	readonly labels?: Readonly<Record<string, string>>;
	readonly annotations?: Readonly<Record<string, string>>;
	readonly deletionTimestamp?: string;
	readonly [field: string]: unknown;
}

/** Where a kind is served. */
export interface ResourceType {
	/** Empty: the core group. */
	readonly group: string;
	readonly version: string;
	readonly plural: string;
	readonly kind: string;
	readonly namespaced: boolean;
}

export function resourceOf(kind: Kind): ResourceType {
	const info = kindInfo(kind);
	// Two groups have a Gateway: what objects say in `kind` may differ from the kind's name here.
	const said = (info as { readonly kind?: string }).kind ?? kind;
	return { group: info.group, version: info.versions[0] ?? "v1", plural: info.plural, kind: said, namespaced: info.scope === "Namespaced" };
}

/** The versions of a kind that are served where the first is not. */
export const otherVersionsOf = (kind: Kind): readonly string[] => kindInfo(kind).versions.slice(1);

const core = { group: "", version: "v1" } as const;
const admission = { group: "admissionregistration.k8s.io", version: "v1", namespaced: false } as const;

/** Kinds that the control plane works with and that are no configuration of the mesh. */
export const resources = {
	configMaps: { ...core, plural: "configmaps", kind: "ConfigMap", namespaced: true },
	secrets: { ...core, plural: "secrets", kind: "Secret", namespaced: true },
	namespaces: { ...core, plural: "namespaces", kind: "Namespace", namespaced: false },
	horizontalPodAutoscalers: { group: "autoscaling", version: "v2", plural: "horizontalpodautoscalers", kind: "HorizontalPodAutoscaler", namespaced: true },
	podDisruptionBudgets: { group: "policy", version: "v1", plural: "poddisruptionbudgets", kind: "PodDisruptionBudget", namespaced: true },
	leases: { group: "coordination.k8s.io", version: "v1", plural: "leases", kind: "Lease", namespaced: true },
	mutatingWebhooks: { ...admission, plural: "mutatingwebhookconfigurations", kind: "MutatingWebhookConfiguration" },
	validatingWebhooks: { ...admission, plural: "validatingwebhookconfigurations", kind: "ValidatingWebhookConfiguration" },
	certificateSigningRequests: {
		group: "certificates.k8s.io",
		version: "v1",
		plural: "certificatesigningrequests",
		kind: "CertificateSigningRequest",
		namespaced: false,
	},
	tokenReviews: { group: "authentication.k8s.io", version: "v1", plural: "tokenreviews", kind: "TokenReview", namespaced: false },
	subjectAccessReviews: { group: "authorization.k8s.io", version: "v1", plural: "subjectaccessreviews", kind: "SubjectAccessReview", namespaced: false },
} as const satisfies Readonly<Record<string, ResourceType>>;

export const apiVersionOf = ({ group, version }: ResourceType): string => (group === "" ? version : `${group}/${version}`);

/** `/apis/GROUP/VERSION[/namespaces/NS]/PLURAL[/NAME[/SUBRESOURCE]]`; names are encoded. */
export function pathOf(type: ResourceType, namespace?: string, name?: string, subresource?: string): string {
	const root = type.group === "" ? `/api/${type.version}` : `/apis/${type.group}/${type.version}`;
	const scope = type.namespaced && namespace ? `/namespaces/${encodeURIComponent(namespace)}` : "";
	const object = name === undefined ? "" : `/${encodeURIComponent(name)}`;
	return `${root}${scope}/${type.plural}${object}${subresource === undefined ? "" : `/${subresource}`}`;
}
