/** What network filters are told; the HTTP connection manager has a file of its own. */

import type { AccessLog } from "./access-logs.ts";
import type { ConfigDiscovery } from "./discovered-filters.ts";
import type { GrpcService } from "./grpc-service.ts";
import type { HeaderMutation } from "./header-operations.ts";
import type { HttpConnectionManager } from "./http-connection-manager.ts";
import type { Rbac } from "./http-filters.ts";
import type { LbMetadata } from "./load-balancing.ts";
import type { MetadataMatch } from "./matchers.ts";
import type { OnDemandClusters } from "./on-demand-clusters.ts";
import type { TokenBucket } from "./rate-limits.ts";
import type { RuntimeFlag } from "./runtime-values.ts";
import type { ClusterSelector, HashPolicy } from "./routes.ts";
import type { FilterStateWrite } from "./stream-data.ts";
import type { IstioStats } from "./telemetry.ts";

export type NetworkFilter =
	| HttpConnectionManager
	| TcpProxy
	| { readonly kind: "echo" }
	| { readonly kind: "directResponse"; readonly body: Uint8Array }
	| { readonly kind: "sniCluster" }
	/** TCP connections go to the name of their SNI, at this port. */
	| { readonly kind: "sniDynamicForwardProxy"; readonly port: number }
	| { readonly kind: "connectionLimit"; readonly enabled: RuntimeFlag; readonly connectionsMax: number; readonly delayMs: number; readonly statPrefix: string }
	| { readonly kind: "rbac"; readonly statPrefix: string; readonly rbac: Rbac }
	| {
			readonly kind: "localRateLimit";
			readonly enabled: RuntimeFlag;
			readonly statPrefix: string;
			readonly bucket: TokenBucket;
			readonly shareKey: string;
	  }
	| {
			readonly kind: "extAuthz";
			readonly statPrefix: string;
			readonly service: GrpcService;
			readonly failureModeAllow: boolean;
			readonly enabledMetadata: MetadataMatch | undefined;
			readonly sendsPeerCertificate: boolean;
			readonly sendsServerName: boolean;
	  }
	/** Objects for the filter state of a connection: when it comes, and when its TLS handshake is done, or there is none. */
	| { readonly kind: "setFilterState"; readonly onConnection: readonly FilterStateWrite[]; readonly onHandshake: readonly FilterStateWrite[] }
	/** Istio's own: accounted for TCP metrics; the peers' metadata exchange is accepted and its frames are not spoken. */
	| { readonly kind: "metadataExchange" }
	| { readonly kind: "istioStats"; readonly stats: IstioStats }
	/** What it is comes by itself, under this name. */
	| { readonly kind: "discovered"; readonly name: string; readonly discovery: ConfigDiscovery<NetworkFilter> };

export interface TcpProxy {
	readonly kind: "tcpProxy";
	readonly statPrefix: string;
	readonly cluster: ClusterSelector;
	/** undefined: a cluster that is not there ends the connection. */
	readonly onDemand?: OnDemandClusters | undefined;
	/** Which subset of the cluster's hosts; a weighted cluster's own keys go before. */
	readonly metadataMatch: LbMetadata | undefined;
	/** A line is logged when the upstream has been reached, and one at each interval (ms; 0: none), beside the last. */
	readonly logsWhenConnected: boolean;
	readonly logIntervalMs: number;
	/** 0: none. */
	readonly idleTimeoutMs: number;
	readonly connectAttemptsMax: number;
	/** 0: none. */
	readonly maxDownstreamConnectionDurationMs: number;
	readonly hashPolicies: readonly HashPolicy[];
	/** undefined: bytes go to the host as they come. */
	readonly tunnel: TcpTunnel | undefined;
	readonly accessLogs: readonly AccessLog[];
}

/** Bytes go through the host, which is asked for that by CONNECT or POST. */
export interface TcpTunnel {
	/** Access-log style format string: whom the host is to connect to. */
	readonly hostname: string;
	readonly usePost: boolean;
	/** Of a POST. */
	readonly postPath: string;
	readonly headers: readonly HeaderMutation[];
	/** The answer's head, and trailers, go into the filter state. */
	readonly propagatesHeaders: boolean;
	readonly propagatesTrailers: boolean;
}
