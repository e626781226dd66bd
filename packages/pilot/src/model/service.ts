/** The mesh's services as the translator sees them, whichever kind of object they came from. */

export type Protocol = "HTTP" | "HTTP2" | "GRPC" | "GRPC-Web" | "TCP" | "TLS" | "HTTPS" | "Mongo" | "MySQL" | "Redis" | "UDP" | "Auto";

export interface ServicePort {
	readonly name: string;
	readonly port: number;
	/** What istiod calls it; `Auto` means sniffing. */
	readonly protocol: Protocol;
	/** Number or name of the container port; 0 for a ServiceEntry port without one. */
	readonly targetPort: number | string;
}

export type Resolution = "ClientSide" | "DNS" | "DNSRoundRobin" | "DynamicDNS" | "Passthrough" | "Alias";

export type TrafficDistribution = "PreferSameZone" | "PreferSameNode";

export interface Service {
	/** FQDN, or the host of a ServiceEntry as written. */
	readonly hostname: string;
	/** `name` of metadata.filter_metadata.istio.services. */
	readonly name: string;
	readonly namespace: string;
	readonly registry: "Kubernetes" | "External";
	readonly ports: readonly ServicePort[];
	/** VIPs or CIDRs; empty for a headless Service; `0.0.0.0` never appears. */
	readonly addresses: readonly string[];
	/** An address allotted from 240.240.0.0/16 where the entry has none. */
	readonly autoAddress: string | undefined;
	readonly headless: boolean;
	readonly resolution: Resolution;
	readonly meshExternal: boolean;
	/** Namespaces that may see it: `*`, `.`, `~` or names; empty: the mesh's default. */
	readonly exportTo: readonly string[];
	readonly labels: Readonly<Record<string, string>>;
	readonly selector: Readonly<Record<string, string>> | undefined;
	readonly externalName: string | undefined;
	readonly subjectAltNames: readonly string[];
	readonly publishNotReady: boolean;
	readonly internalTrafficLocal: boolean;
	readonly trafficDistribution: TrafficDistribution | undefined;
	/** Epoch ms; decides which of two wins. */
	readonly createdMs: number;
}

/** One endpoint of one service port. */
export interface Endpoint {
	/** IP, unix path (`unix:///…`) or DNS name. */
	readonly address: string;
	readonly port: number;
	/** The service port's name, by which it is found. */
	readonly portName: string;
	readonly labels: Readonly<Record<string, string>>;
	readonly namespace: string;
	/** Pod, WorkloadEntry or "" when unknown. */
	readonly workloadName: string;
	readonly podName: string;
	readonly nodeName: string;
	readonly serviceAccount: string;
	readonly locality: Locality;
	readonly network: string;
	/** 0: unset (1). */
	readonly weight: number;
	readonly health: "HEALTHY" | "UNHEALTHY" | "DRAINING" | "TERMINATING";
	readonly tlsMode: "istio" | "disabled";
	/** Name of its cluster; undefined: the one that the mesh is read from. */
	readonly clusterId?: string;
	readonly registry: "Kubernetes" | "External";
}

export interface Locality {
	readonly region: string;
	readonly zone: string;
	readonly subZone: string;
	/** As an entry wrote it, where that is not `region/zone/subZone`. */
	readonly text?: string;
}

const sessionLabel = "istio.io/persistent-session";
const sessionLabels = [sessionLabel, `${sessionLabel}-header`];

/** Clients of the service come back to the host that they know, as long as it can serve. */
export const keepsSessions = ({ labels }: Service): boolean => sessionLabels.some((label) => Boolean(labels[label]));

/** Are such hosts told to them while they drain? By cookie only, as in istiod. */
export const sendsDraining = ({ labels }: Service): boolean => Boolean(labels[sessionLabel]);
