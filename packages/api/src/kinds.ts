import type { TSchema } from "typebox";
import type { ObjectMeta, Origin } from "./metadata.ts";
import type { StaticOf } from "./schema/builders.ts";
import { authorizationPolicySchema } from "./schema/authorization-policy.ts";
import { destinationRuleSchema } from "./schema/destination-rule.ts";
import { envoyFilterSchema } from "./schema/envoy-filter.ts";
import { gatewaySchema } from "./schema/gateway.ts";
import {
	backendTlsPolicySchema,
	gatewayClassSchema,
	grpcRouteSpecSchema,
	httpRouteSpecSchema,
	kubernetesGatewaySchema,
	listenerSetSchema,
	referenceGrantSchema,
	tcpRouteSpecSchema,
	tlsRouteSpecSchema,
} from "./schema/gateway-api.ts";
import { ingressClassSchema, ingressSchema } from "./schema/ingress.ts";
import { configMapSchema, namespaceSchema, nodeSchema, nodeStatusSchema, secretSchema, serviceAccountSchema } from "./schema/kubernetes-core.ts";
import { endpointSliceSchema, endpointsSchema, kubeServiceSchema, serviceStatusSchema } from "./schema/kubernetes-network.ts";
import { deploymentSchema, jobSchema, podSpecSchema, podStatusSchema, replicaSetSchema, statefulSetSchema } from "./schema/kubernetes-workload.ts";
import { mutatingWebhookConfigurationSchema } from "./schema/kubernetes-admission.ts";
import { peerAuthenticationSchema } from "./schema/peer-authentication.ts";
import { proxyConfigResourceSchema } from "./schema/proxy-config-resource.ts";
import { trafficExtensionSchema, wasmPluginSchema } from "./schema/proxy-extension.ts";
import { rateLimitSchema } from "./schema/rate-limit.ts";
import { requestAuthenticationSchema } from "./schema/request-authentication.ts";
import { serviceEntrySchema, workloadEntrySchema } from "./schema/service-entry.ts";
import { sidecarSchema } from "./schema/sidecar.ts";
import { telemetrySchema } from "./schema/telemetry.ts";
import { virtualServiceSchema } from "./schema/virtual-service.ts";
import { workloadGroupSchema } from "./schema/workload-group.ts";

/** What is known of a kind besides its fields. */
export interface KindInfo {
	readonly group: string;
	/** What objects say in `kind`, where that is not the kind's name here: two groups have a Gateway. */
	readonly kind?: string;
	/** The stored version first. */
	readonly versions: readonly string[];
	readonly plural: string;
	readonly shortNames: readonly string[];
	readonly scope: "Namespaced" | "Cluster";
	/** `spec`: the content stands under `spec`; `root`: it is the object's other top-level fields. */
	readonly content: "spec" | "root";
	/** An Istio kind has a CRD, and unknown fields in it are errors. */
	readonly istio: boolean;
	/** May `spec` be absent? */
	readonly specOptional: boolean;
	readonly schema: TSchema;
	readonly status?: TSchema;
}

const networking = { group: "networking.istio.io", versions: ["v1", "v1beta1", "v1alpha3"], istio: true } as const;
const security = { group: "security.istio.io", versions: ["v1", "v1beta1"], istio: true } as const;
const telemetry = { group: "telemetry.istio.io", versions: ["v1", "v1alpha1"], istio: true } as const;
const extensions = { group: "extensions.istio.io", versions: ["v1alpha1"], istio: true } as const;
/** Weft's own; they are as Istio's in all else. */
const weft = { group: "weft.dev", versions: ["v1alpha1"], istio: true } as const;
const gatewayApi = { group: "gateway.networking.k8s.io", istio: false } as const;
const kubernetesNetworking = { group: "networking.k8s.io", versions: ["v1"], istio: false } as const;
const core = { group: "", versions: ["v1"], istio: false } as const;
const apps = { group: "apps", versions: ["v1"], istio: false } as const;
const namespaced = { scope: "Namespaced", content: "spec", specOptional: false } as const;
const rooted = { scope: "Namespaced", content: "root", specOptional: true } as const;
const cluster = { scope: "Cluster", content: "spec", specOptional: true } as const;

export const kinds = {
	VirtualService: { ...networking, ...namespaced, plural: "virtualservices", shortNames: ["vs"], schema: virtualServiceSchema },
	DestinationRule: { ...networking, ...namespaced, plural: "destinationrules", shortNames: ["dr"], schema: destinationRuleSchema },
	ServiceEntry: { ...networking, ...namespaced, plural: "serviceentries", shortNames: ["se"], schema: serviceEntrySchema },
	WorkloadEntry: { ...networking, ...namespaced, plural: "workloadentries", shortNames: ["we"], schema: workloadEntrySchema },
	Gateway: { ...networking, ...namespaced, plural: "gateways", shortNames: ["gw"], schema: gatewaySchema },
	Sidecar: { ...networking, ...namespaced, specOptional: true, plural: "sidecars", shortNames: [], schema: sidecarSchema },
	PeerAuthentication: {
		...security,
		...namespaced,
		specOptional: true,
		plural: "peerauthentications",
		shortNames: ["pa"],
		schema: peerAuthenticationSchema,
	},
	RequestAuthentication: {
		...security,
		...namespaced,
		specOptional: true,
		plural: "requestauthentications",
		shortNames: ["ra"],
		schema: requestAuthenticationSchema,
	},
	AuthorizationPolicy: {
		...security,
		...namespaced,
		specOptional: true,
		plural: "authorizationpolicies",
		shortNames: ["ap"],
		schema: authorizationPolicySchema,
	},
	Telemetry: { ...telemetry, ...namespaced, specOptional: true, plural: "telemetries", shortNames: [], schema: telemetrySchema },
	EnvoyFilter: {
		...networking,
		...namespaced,
		versions: ["v1alpha3"],
		specOptional: true,
		plural: "envoyfilters",
		shortNames: [],
		schema: envoyFilterSchema,
	},
	ProxyConfig: {
		...networking,
		...namespaced,
		versions: ["v1beta1"],
		specOptional: true,
		plural: "proxyconfigs",
		shortNames: [],
		schema: proxyConfigResourceSchema,
	},
	WorkloadGroup: { ...networking, ...namespaced, plural: "workloadgroups", shortNames: ["wg"], schema: workloadGroupSchema },
	WasmPlugin: { ...extensions, ...namespaced, plural: "wasmplugins", shortNames: [], schema: wasmPluginSchema },
	TrafficExtension: { ...extensions, ...namespaced, plural: "trafficextensions", shortNames: [], schema: trafficExtensionSchema },
	RateLimit: { ...weft, ...namespaced, plural: "ratelimits", shortNames: [], schema: rateLimitSchema },
	GatewayClass: { ...gatewayApi, ...cluster, versions: ["v1", "v1beta1"], plural: "gatewayclasses", shortNames: ["gc"], schema: gatewayClassSchema },
	KubernetesGateway: {
		...gatewayApi,
		...namespaced,
		kind: "Gateway",
		versions: ["v1", "v1beta1"],
		plural: "gateways",
		shortNames: ["gtw"],
		schema: kubernetesGatewaySchema,
	},
	ListenerSet: { ...gatewayApi, ...namespaced, versions: ["v1"], plural: "listenersets", shortNames: ["lset"], schema: listenerSetSchema },
	HTTPRoute: { ...gatewayApi, ...namespaced, versions: ["v1", "v1beta1"], plural: "httproutes", shortNames: [], schema: httpRouteSpecSchema },
	GRPCRoute: { ...gatewayApi, ...namespaced, versions: ["v1", "v1alpha2"], plural: "grpcroutes", shortNames: [], schema: grpcRouteSpecSchema },
	TLSRoute: { ...gatewayApi, ...namespaced, versions: ["v1", "v1alpha3", "v1alpha2"], plural: "tlsroutes", shortNames: [], schema: tlsRouteSpecSchema },
	TCPRoute: { ...gatewayApi, ...namespaced, versions: ["v1", "v1alpha2"], plural: "tcproutes", shortNames: [], schema: tcpRouteSpecSchema },
	ReferenceGrant: {
		...gatewayApi,
		...namespaced,
		versions: ["v1beta1", "v1", "v1alpha2"],
		plural: "referencegrants",
		shortNames: ["refgrant"],
		schema: referenceGrantSchema,
	},
	BackendTLSPolicy: {
		...gatewayApi,
		...namespaced,
		versions: ["v1", "v1alpha3"],
		plural: "backendtlspolicies",
		shortNames: ["btlspolicy"],
		schema: backendTlsPolicySchema,
	},
	Ingress: { ...kubernetesNetworking, ...namespaced, plural: "ingresses", shortNames: ["ing"], schema: ingressSchema },
	IngressClass: { ...kubernetesNetworking, ...cluster, plural: "ingressclasses", shortNames: [], schema: ingressClassSchema },
	Namespace: { ...core, ...cluster, plural: "namespaces", shortNames: ["ns"], schema: namespaceSchema },
	Node: { ...core, ...cluster, plural: "nodes", shortNames: ["no"], schema: nodeSchema, status: nodeStatusSchema },
	Service: { ...core, ...namespaced, plural: "services", shortNames: ["svc"], schema: kubeServiceSchema, status: serviceStatusSchema },
	EndpointSlice: {
		...core,
		...rooted,
		group: "discovery.k8s.io",
		plural: "endpointslices",
		shortNames: [],
		schema: endpointSliceSchema,
	},
	Endpoints: { ...core, ...rooted, plural: "endpoints", shortNames: ["ep"], schema: endpointsSchema },
	Pod: { ...core, ...namespaced, plural: "pods", shortNames: ["po"], schema: podSpecSchema, status: podStatusSchema },
	ServiceAccount: { ...core, ...rooted, plural: "serviceaccounts", shortNames: ["sa"], schema: serviceAccountSchema },
	Deployment: { ...apps, ...namespaced, plural: "deployments", shortNames: ["deploy"], schema: deploymentSchema },
	ReplicaSet: { ...apps, ...namespaced, plural: "replicasets", shortNames: ["rs"], schema: replicaSetSchema },
	StatefulSet: { ...apps, ...namespaced, plural: "statefulsets", shortNames: ["sts"], schema: statefulSetSchema },
	Job: { ...apps, ...namespaced, group: "batch", plural: "jobs", shortNames: [], schema: jobSchema },
	ConfigMap: { ...core, ...rooted, plural: "configmaps", shortNames: ["cm"], schema: configMapSchema },
	Secret: { ...core, ...rooted, plural: "secrets", shortNames: [], schema: secretSchema },
	MutatingWebhookConfiguration: {
		...rooted,
		scope: "Cluster",
		group: "admissionregistration.k8s.io",
		versions: ["v1"],
		istio: false,
		plural: "mutatingwebhookconfigurations",
		shortNames: [],
		schema: mutatingWebhookConfigurationSchema,
	},
} as const satisfies Readonly<Record<string, KindInfo>>;

export type Kind = keyof typeof kinds;

/** The content of each kind: `spec`, or for kinds without one their other top-level fields. */
export type SpecOf = { readonly [K in Kind]: StaticOf<(typeof kinds)[K]["schema"]> };

export interface ConfigObject<K extends Kind = Kind> {
	readonly apiVersion: string;
	readonly kind: K;
	readonly metadata: ObjectMeta;
	/** For kinds without `spec` (EndpointSlice, Endpoints, ConfigMap, Secret, ServiceAccount, MutatingWebhookConfiguration): the object's other top-level fields. */
	readonly spec: SpecOf[K];
	readonly status?: unknown;
	readonly origin?: Origin;
}

/** Any object, discriminated by `kind`. */
export type AnyConfig = { [K in Kind]: ConfigObject<K> }[Kind];

export interface ObjectRef {
	readonly kind: Kind;
	readonly namespace: string;
	readonly name: string;
}

export const kindNames: readonly Kind[] = Object.keys(kinds).filter(isKind);

export function isKind(name: string): name is Kind {
	return Object.hasOwn(kinds, name);
}

export function kindInfo(kind: Kind): KindInfo {
	return kinds[kind];
}

/** What objects of the kind say in `kind`: `Gateway` for a KubernetesGateway. */
export function objectKindOf(kind: Kind): string {
	return kindInfo(kind).kind ?? kind;
}

/** The kind of an object, by its apiVersion's group and what it says in `kind`; in another group, the kind of that name. */
export function resolveKind(apiVersion: string, name: string): Kind | undefined {
	const group = apiVersion.includes("/") ? apiVersion.slice(0, apiVersion.indexOf("/")) : "";
	const named = kindNames.filter((kind) => objectKindOf(kind) === name);
	return named.find((kind) => kindInfo(kind).group === group) ?? named[0];
}

/** `networking.istio.io/v1`, or `v1` in the core group. */
export function apiVersionsOf(kind: Kind): readonly string[] {
	const { group, versions } = kindInfo(kind);
	return versions.map((version) => (group === "" ? version : `${group}/${version}`));
}

/** Is `object` of this kind? Narrows an AnyConfig. */
export function isKindOf<K extends Kind>(object: AnyConfig, kind: K): object is Extract<AnyConfig, { kind: K }> {
	return object.kind === kind;
}
