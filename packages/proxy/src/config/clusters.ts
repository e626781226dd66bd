/** Clusters: how their hosts are reached, and within which limits. */

import type { HealthCheck } from "./health-check.ts";
import type { Http2Options } from "./http2-options.ts";
import type { TlvChoice } from "./listeners.ts";
import type { LoadBalancer, SubsetConfig, ZoneAware } from "./load-balancing.ts";
import type { OutlierDetection } from "./outlier-detection.ts";
import type { SocketOptions } from "./sockets.ts";
import type { UpstreamTls } from "./tls.ts";

export interface Cluster {
	readonly name: string;
	readonly statName: string;
	readonly kind: "static" | "strictDns" | "logicalDns" | "eds" | "originalDst" | "dynamicForwardProxy";
	/** How a dynamic forward proxy resolves what requests name. */
	readonly dynamicHosts?: DynamicHosts | undefined;
	readonly connectTimeoutMs: number;
	readonly lb: LoadBalancer;
	readonly subsets?: SubsetConfig | undefined;
	readonly upstreamProtocol: "http1" | "http2" | "downstream" | "alpn";
	readonly http1: { readonly headerCase: "lower" | "proper" | "preserve"; readonly enableTrailers: boolean };
	readonly http2: Http2Options;
	/** 0: none. */
	readonly idleTimeoutMs: number;
	readonly maxConnectionDurationMs: number;
	/** Of one attempt; 0: no limit. */
	readonly maxStreamDurationMs: number;
	/** 0: no limit. */
	readonly maxRequestsPerConnection: number;
	readonly breakers: { readonly default: BreakerLimits; readonly high: BreakerLimits };
	readonly outlier: OutlierDetection | undefined;
	readonly healthChecks: readonly HealthCheck[];
	/** Hosts that no check has looked at yet count for nothing, rather than as unhealthy. */
	readonly ignoresNewHostsUntilChecked: boolean;
	/** A host that is no endpoint any more goes at once, though its checks are good. */
	readonly ignoresHealthOnRemoval: boolean;
	readonly closesConnectionsOnHealthFailure: boolean;
	readonly panicThresholdPercent: number;
	/** A session goes back to its host while that drains. */
	readonly sessionsOutliveDraining?: boolean;
	readonly overprovisioningFactor: number;
	readonly localityWeighted: boolean;
	/** How zone-aware routing is done where the proxy knows its local cluster; undefined: Envoy's defaults. */
	readonly zoneAware?: ZoneAware | undefined;
	/** In order; the first whose `match` is part of the host's `envoy.transport_socket_match` metadata; then `transport`. */
	readonly transportMatches: readonly { readonly name: string; readonly match: Readonly<Record<string, unknown>>; readonly transport: UpstreamTransport }[];
	readonly transport: UpstreamTransport;
	/** HTTP/1 connections are made ahead: as many as this for each request that is under way or waits; 1: none. */
	readonly preconnectRatio?: number;
	/** Connections of the cluster a request under way, made ahead to the hosts that come next; absent: none ahead. */
	readonly predictivePreconnectRatio?: number;
	/** Source addresses of upstream connections, e.g. 127.0.0.6 for inbound clusters; the first of the host's family counts, else the first. */
	readonly bindAddresses: readonly string[];
	readonly socketOptions: SocketOptions | undefined;
	readonly tcpKeepalive: { readonly timeSeconds: number } | undefined;
	/** undefined: nothing more is kept of requests. */
	readonly tracking?: ClusterTracking | undefined;
	/** metadata.filter_metadata.istio.services[0], for metrics. */
	readonly istioService: { readonly host: string; readonly name: string; readonly namespace: string } | undefined;
	readonly istioSubset: string | undefined;
	/** Slot of this cluster's shared counters: index into the shared Int32Array (see shared-state.ts). */
	readonly breakerSlot: number;
	readonly originalDst?: OriginalDstRules;
}

export type UpstreamTransport = ({ readonly kind: "raw" } | { readonly kind: "tls"; readonly tls: UpstreamTls }) & {
	/** Connections begin with a PROXY protocol header that names the client. */
	readonly proxyProtocol?: "v1" | "v2";
	/** Which of the client's TLVs it passes on (version 2); undefined: none. */
	readonly passedTlvs?: TlvChoice | undefined;
	/** Its own (version 2); they take the place of the client's of the same type. */
	readonly addedTlvs?: readonly { readonly type: number; readonly value: Uint8Array }[];
};

/** `track_cluster_stats`. */
export interface ClusterTracking {
	/** How much of their timeouts requests and attempts take. */
	readonly timeoutBudgets: boolean;
	/** Bytes of heads and bodies, both ways. */
	readonly sizes: boolean;
}

export interface BreakerLimits {
	readonly connectionsMax: number;
	readonly pendingRequestsMax: number;
	readonly requestsMax: number;
	/** To one host, over all workers; undefined: no limit. */
	readonly perHostConnectionsMax?: number | undefined;
	readonly retriesMax: number;
	readonly retryBudget: { readonly percent: number; readonly concurrencyMin: number } | undefined;
	/** Show how much of each limit is left. */
	readonly tracksRemaining: boolean;
}

/** `DnsCacheConfig`, every default filled in. */
export interface DynamicHosts {
	readonly family: "auto" | "v4" | "v6" | "v4Preferred" | "all";
	readonly refreshMs: number;
	readonly failureRefreshMs: number;
	readonly queryTimeoutMs: number;
	/** What nobody asked for during this long is forgotten. */
	readonly hostTtlMs: number;
	readonly hostsMax: number;
	/** Requests that may wait for a name at a time. */
	readonly pendingMax: number;
	/** `host:port`, resolved before anybody asks. */
	readonly preresolve: readonly string[];
}

/** What may stand for the original destination of an ORIGINAL_DST cluster's connections; undefined: nothing does. */
export interface OriginalDstRules {
	/** Lower case. */
	readonly header: string | undefined;
	/** Dynamic metadata; goes before the header. */
	readonly metadata: { readonly namespace: string; readonly path: readonly string[] } | undefined;
	/** Whatever the destination is, in place of its port. */
	readonly port: number | undefined;
}
