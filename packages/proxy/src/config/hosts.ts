/** The hosts of clusters, as endpoints say them. */

import type { SocketAddress } from "./sockets.ts";

/** The hosts of one cluster. Sent apart from the cluster, since endpoints change far more often. */
export interface ClusterHosts {
	readonly cluster: string;
	readonly overprovisioningFactor: number | undefined;
	/** Requests that are to be kept from all hosts; undefined: none. */
	readonly dropOverload?: DropOverload;
	/** By priority; inside, by locality. */
	readonly priorities: readonly (readonly LocalityHosts[])[];
}

/** `policy.drop_overloads`: the control plane sheds load. */
export interface DropOverload {
	/** What load reports call it. */
	readonly category: string;
	/** Share of the requests, above 0; 1: all. */
	readonly ratio: number;
}

export interface LocalityHosts {
	readonly region: string;
	readonly zone: string;
	readonly subZone: string;
	readonly weight: number;
	readonly hosts: readonly Host[];
}

export interface Host {
	readonly address: SocketAddress;
	readonly hostname: string;
	readonly weight: number;
	readonly health: "healthy" | "degraded" | "unhealthy" | "draining";
	/** `health_check_config`: where and as whom the host is checked; undefined: as it is used. */
	readonly healthCheck: HostHealthCheck | undefined;
	/** metadata `envoy.transport_socket_match`. */
	readonly transportMatch: Readonly<Record<string, unknown>>;
	/** metadata `envoy.lb`. */
	readonly lbMetadata: Readonly<Record<string, unknown>>;
	/** metadata `istio.workload`: name;namespace;canonical name;canonical revision;cluster. */
	readonly istioWorkload: string | undefined;
	/** Slot of this host's shared state (ejected flag, consecutive failures). */
	readonly slot: number;
}

export interface HostHealthCheck {
	readonly isDisabled: boolean;
	/** 0: the host's own. */
	readonly port: number;
	readonly hostname: string;
	readonly address: SocketAddress | undefined;
}
