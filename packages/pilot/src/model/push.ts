import type {
	ConfigObject,
	DestinationRuleSpec,
	IstioIngressListener,
	MeshConfig,
	OutlierFailurePercentage,
	OwnLoadBalancer,
	ResolvedMeshConfig,
	Server,
	Subset,
	TrafficPolicy,
	VirtualServiceSpec,
} from "@weft/api";
import type { GatewayApiStatus } from "./gateway-api/status.ts";
import type { JwksIndex } from "./jwks.ts";
import type { Networks } from "./networks.ts";
import type { PolicyIndex } from "./policies.ts";
import type { Reuse } from "./reuse.ts";
import type { CertificateStore } from "./secrets.ts";
import type { Endpoint, Locality, Service, ServicePort } from "./service.ts";
import type { ConfigSnapshot } from "./snapshot.ts";

/**
 * One immutable, indexed view of the whole mesh. A newer snapshot keeps the identity of every part that did not change,
 * so whatever is memoised on such a part stays valid.
 */
export interface PushSnapshot {
	readonly version: number;
	/** The objects that it was built from. */
	readonly config: ConfigSnapshot;
	readonly meshConfig: MeshConfig;
	readonly mesh: Mesh;
	/** Oldest first; ties by name, then namespace. */
	readonly services: readonly Service[];
	readonly servicesByHost: ReadonlyMap<string, readonly Service[]>;
	/** Oldest first (ties by name, then namespace). Delegates are merged into their roots and do not appear. */
	readonly virtualServices: readonly VirtualService[];
	readonly destinationRules: DestinationRuleIndex;
	readonly sidecars: readonly ConfigObject<"Sidecar">[];
	readonly peerAuthentications: PeerAuthenticationIndex;
	readonly policies: Policies;
	/** Keys of token issuers, as far as they have been fetched. */
	readonly jwks: JwksIndex;
	/** Oldest first. */
	readonly gateways: readonly Gateway[];
	/** VirtualServices that are not in force as they are written (`namespace/name`), with the reason. */
	readonly heldVirtualServices: ReadonlyMap<string, string>;
	/** What the Gateway API's status fields of this mesh's objects should say. */
	readonly gatewayStatus: GatewayApiStatus;
	readonly endpoints: EndpointIndex;
	readonly workloads: WorkloadIndex;
	readonly certificates: CertificateStore;
	/** What the translator keeps for this snapshot and hands on to the next one. */
	readonly caches: TranslatorCaches;
}

/** The policies that say themselves which workloads they are for. Each index keeps its identity while nothing in it changes. */
export interface Policies {
	readonly authorization: PolicyIndex<"AuthorizationPolicy">;
	readonly requestAuthentication: PolicyIndex<"RequestAuthentication">;
	readonly telemetry: PolicyIndex<"Telemetry">;
	readonly wasmPlugins: PolicyIndex<"WasmPlugin">;
	readonly trafficExtensions: PolicyIndex<"TrafficExtension">;
	readonly rateLimits: PolicyIndex<"RateLimit">;
	readonly envoyFilters: PolicyIndex<"EnvoyFilter">;
}

/** What becomes of requests to hosts that no service has. With DYNAMIC_DNS the sidecar resolves what an HTTP request names. */
export type OutboundTrafficMode = "ALLOW_ANY" | "ALLOW_ANY_DYNAMIC_DNS" | "REGISTRY_ONLY";

/** MeshConfig with its defaults filled in, as far as the translator reads it. */
export interface Mesh {
	readonly clusterId: string;
	/** "cluster.local" */
	readonly domain: string;
	readonly trustDomain: string;
	/** The own one, then its aliases. */
	readonly trustDomains: readonly string[];
	readonly rootNamespace: string;
	readonly connectTimeoutMs: number;
	readonly dnsRefreshRateMs: number;
	readonly enableAutoMtls: boolean;
	readonly outboundTrafficPolicy: OutboundTrafficMode;
	readonly config: ResolvedMeshConfig;
	/** Undefined: one network. */
	readonly networks: Networks | undefined;
}

/** Servers of gateway proxies: an Istio Gateway, one listener of a Kubernetes Gateway, or an Ingress. */
export interface Gateway {
	readonly name: string;
	readonly namespace: string;
	readonly servers: readonly Server[];
	/** Labels of the proxies it is for; none: all gateway proxies. */
	readonly selector: Readonly<Record<string, string>> | undefined;
	/** Instead of a selector, the hosts of the Services of its own namespace whose proxies it is for. A port that they lack is not opened. */
	readonly services: readonly string[] | undefined;
	/** Where the proxies are, if not where the Gateway is: a ListenerSet's listeners are served by its Gateway's proxies. */
	readonly proxyNamespace?: string;
	readonly createdMs: number;
}

/** A VirtualService with every host written as a full name (destinations, mirrors, gateways as `ns/name`) and delegates merged in. */
export interface VirtualService {
	readonly name: string;
	readonly namespace: string;
	readonly spec: VirtualServiceSpec;
	/** Full host names. */
	readonly hosts: readonly string[];
	/** `mesh` or `namespace/name`; never empty. */
	readonly gateways: readonly string[];
	readonly exportTo: readonly string[];
	/** `/apis/networking.istio.io/v1/namespaces/<ns>/virtual-service/<name>` */
	readonly configPath: string;
	readonly createdMs: number;
	/** Which API it was written in: they differ in what a path prefix is, and in what becomes of a request without a backend. */
	readonly semantics: "istio" | "gateway" | "ingress";
}

/** One or more DestinationRules on one host, merged. */
export interface DestinationRule {
	/** Full host name or a wildcard. */
	readonly host: string;
	readonly namespace: string;
	readonly name: string;
	readonly trafficPolicy: TrafficPolicy | undefined;
	/** Of Weft's own annotations; the oldest rule that has one. */
	readonly failurePercentage: OutlierFailurePercentage | undefined;
	readonly ownLoadBalancer: OwnLoadBalancer | undefined;
	readonly subsets: readonly Subset[];
	readonly exportTo: readonly string[];
	readonly workloadSelector: Readonly<Record<string, string>> | undefined;
	/** `/apis/networking.istio.io/v1/namespaces/<ns>/destination-rule/<name>` of the rule that came first. */
	readonly configPath: string;
	/** The specs it was made of, oldest first. */
	readonly sources: readonly DestinationRuleSpec[];
}

/** Rules of one namespace, by host; a host has several only where a workloadSelector or exportTo keeps them apart. */
export interface HostRules {
	readonly exact: ReadonlyMap<string, readonly DestinationRule[]>;
	/** Most specific first. */
	readonly wildcard: readonly DestinationRule[];
}

export interface DestinationRuleIndex {
	readonly byNamespace: ReadonlyMap<string, HostRules>;
	/** Label keys that some workloadSelector reads: they are part of a proxy's class. */
	readonly selectorKeys: ReadonlySet<string>;
}

export type MtlsMode = "DISABLE" | "PERMISSIVE" | "STRICT";

export interface PeerAuthenticationIndex {
	readonly rootNamespace: string;
	readonly mesh: MtlsMode | undefined;
	readonly namespaces: ReadonlyMap<string, MtlsMode>;
	readonly workloads: ReadonlyMap<string, readonly WorkloadPeerAuthentication[]>;
}

export interface WorkloadPeerAuthentication {
	readonly selector: Readonly<Record<string, string>>;
	readonly mode: MtlsMode | undefined;
	readonly ports: ReadonlyMap<number, MtlsMode | undefined>;
}

export interface EndpointIndex {
	/** Endpoints of one service, by port name. The map keeps its identity while nothing in it changes. */
	of(service: Service): ReadonlyMap<string, readonly Endpoint[]>;
	/** The only services whose endpoints can differ from those of `earlier`, as far as that is known without a look at each; undefined: it may be every one. */
	changedSince(earlier: EndpointIndex): readonly Service[] | undefined;
	/** The services whose endpoints are not taken over from the index before; undefined: it may be every one. */
	readonly touched: readonly Service[] | undefined;
}

export interface Workload {
	readonly name: string;
	readonly namespace: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly ips: readonly string[];
	readonly serviceAccount: string;
	readonly nodeName: string;
	/** Its own name under a headless service: `hostname.subdomain.namespace.svc.domain`. Both "" without. */
	readonly hostname: string;
	readonly subdomain: string;
	readonly workloadName: string;
	/** Container port name → number. */
	readonly namedPorts: Readonly<Record<string, number>>;
	/** Its phase is Succeeded or Failed: its address may belong to another pod by now. */
	readonly terminal: boolean;
}

export interface WorkloadIndex {
	readonly podByName: ReadonlyMap<string, Workload>;
	readonly podByIp: ReadonlyMap<string, Workload>;
	readonly podsByNamespace: ReadonlyMap<string, readonly Workload[]>;
	/** Of WorkloadEntries that proxies registered for themselves, by `namespace/name`. */
	readonly registeredLabels: ReadonlyMap<string, Readonly<Record<string, string>>>;
	readonly localityOfNode: (nodeName: string) => Locality | undefined;
}

export interface TranslatorCaches {
	/** Scopes by class key; kept while nothing that they are made of changes (endpoints are no part of them). */
	readonly scopes: Map<string, Scope>;
	/** Lists by name, each with the identity it had in the last snapshot while its members are the same. */
	readonly lists: Reuse<readonly unknown[]>;
	/** What a builder derives for a whole class of proxies, by its own key; kept over snapshots while the inputs named are the same. */
	readonly shared: Reuse<object>;
}

/** One `egress` listener of a Sidecar, or the catch-all one that stands for "no Sidecar". */
export interface EgressListener {
	/** Undefined: every port that no other listener names. */
	readonly port: { readonly number: number; readonly protocol: string; readonly name: string } | undefined;
	readonly bind: string;
	readonly captureMode: "DEFAULT" | "IPTABLES" | "NONE";
	/** What this listener's hosts let through, oldest first. A service may be narrowed to some of its ports. */
	readonly services: readonly Service[];
	/** VirtualServices for `mesh`, oldest first. */
	readonly virtualServices: readonly VirtualService[];
}

/** What all proxies of one class see. Two proxies with one scope get the same outbound resources. */
export interface Scope {
	/** The class key. */
	readonly key: string;
	readonly namespace: string;
	readonly sidecar: ConfigObject<"Sidecar"> | undefined;
	/** Union over all egress listeners (and the destinations of their VirtualServices), sorted by hostname. */
	readonly services: readonly Service[];
	readonly serviceByHost: ReadonlyMap<string, Service>;
	readonly egress: readonly EgressListener[];
	readonly outboundTrafficPolicy: {
		readonly mode: OutboundTrafficMode;
		readonly egressProxy: { host: string; subset: string; port: number } | undefined;
	};
	/** The merged rule for a host as this class sees it (see destinationRuleFor). Memoised. */
	readonly destinationRule: (host: string) => DestinationRule | undefined;
	/** The rule as it shapes the server's own side: without regard to workloadSelector. */
	readonly inboundDestinationRule: (host: string) => DestinationRule | undefined;
}

/** One port that a workload serves: what its inbound listener, route and cluster are made of. */
export interface InboundPort {
	/** Container port; for a Sidecar ingress listener its port. */
	readonly targetPort: number;
	/** The service (the oldest, if several share the port) and its port; decides protocol and metadata. */
	readonly service: Service;
	readonly port: ServicePort;
	/** All services of the workload on this target port, `service` first. */
	readonly services: readonly Service[];
	/** The same with the port that each has there. */
	readonly targets: readonly { readonly service: Service; readonly port: ServicePort }[];
	/** Set where a Sidecar's `ingress` describes this port. */
	readonly ingress: IstioIngressListener | undefined;
}
