import type { HeaderMutation } from "./header-operations.ts";
import type { StringMatch } from "./matchers.ts";

/** An active health check of a cluster (`envoy.config.core.v3.HealthCheck`), every default filled in. */
export interface HealthCheck {
	readonly probe: HttpProbe | GrpcProbe | TcpProbe;
	readonly timeoutMs: number;
	readonly intervalMs: number;
	/** Before the first check, at random up to this. */
	readonly initialJitterMs: number;
	/** Added to each interval at random: up to this, and up to this share of it. */
	readonly intervalJitterMs: number;
	readonly intervalJitterPercent: number;
	/** Of a cluster that has had no connection yet. */
	readonly noTrafficIntervalMs: number;
	readonly noTrafficHealthyIntervalMs: number;
	/** Of an unhealthy host; of one that has just failed or succeeded without changing sides yet. */
	readonly unhealthyIntervalMs: number;
	readonly unhealthyEdgeIntervalMs: number;
	readonly healthyEdgeIntervalMs: number;
	readonly unhealthyThreshold: number;
	readonly healthyThreshold: number;
	readonly reuseConnection: boolean;
	/** "" : none. */
	readonly eventLogPath: string;
	readonly alwaysLogFailures: boolean;
	readonly alwaysLogSuccesses: boolean;
	/** undefined: the cluster's. */
	readonly alpn: readonly string[] | undefined;
	/** Instead of the host's own metadata, to choose a transport socket by. */
	readonly transportMatch: Readonly<Record<string, unknown>> | undefined;
}

/** `end` excluded. */
export interface StatusRange {
	readonly start: number;
	readonly end: number;
}

export interface HttpProbe {
	readonly kind: "http";
	readonly method: string;
	/** "" : the host's name, else the cluster's. */
	readonly host: string;
	readonly path: string;
	readonly body: Uint8Array | undefined;
	/** In order, each behind the one before. */
	readonly receive: readonly Uint8Array[];
	readonly responseBytesMax: number;
	readonly headersToAdd: readonly HeaderMutation[];
	readonly headersToRemove: readonly string[];
	readonly expected: readonly StatusRange[];
	readonly retriable: readonly StatusRange[];
	readonly codec: "http1" | "http2";
	readonly serviceName: StringMatch | undefined;
}

export interface GrpcProbe {
	readonly kind: "grpc";
	readonly service: string;
	/** "" : the host's name, else the cluster's. */
	readonly authority: string;
	readonly metadata: readonly HeaderMutation[];
}

export interface TcpProbe {
	readonly kind: "tcp";
	readonly send: Uint8Array;
	readonly receive: readonly Uint8Array[];
	readonly proxyProtocol: "v1" | "v2" | undefined;
}

/** What one probe found. */
export type ProbeResult =
	/** `isUnverified`: the name of the service was not looked at, as the runtime says. */
	| { readonly kind: "good"; readonly degraded: boolean; readonly isUnverified?: true }
	/** An answer that says no. `retriable`: counts up to the threshold instead of deciding at once. */
	| { readonly kind: "bad"; readonly retriable: boolean; readonly immediateFail: boolean; readonly detail: string; readonly isUnverified?: true }
	| { readonly kind: "network"; readonly timeout: boolean; readonly detail: string }
	/** Nothing was tried: the worker does not know the host (any more). */
	| { readonly kind: "unknown" };
