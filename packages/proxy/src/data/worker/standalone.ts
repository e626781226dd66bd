import { http2Defaults } from "../../config/http2-defaults.ts";
import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts } from "../../config/hosts.ts";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import type { FilterChain, Listener } from "../../config/listeners.ts";
import { levelsBy } from "../../config/loggers.ts";
import type { Route, RouteTable } from "../../config/routes.ts";
import type { ConfigUpdate } from "../../config/runtime-config.ts";
import { createBucketBuffer } from "../../config/shared-buckets.ts";
import { createSharedBuffer } from "../../config/shared-state.ts";
import type { FromWorker, WorkerInit } from "../../config/worker-messages.ts";
import { type DataWorker, createDataWorker } from "./worker.ts";
import type { TransportKind } from "../transport/connection.ts";
import type { OriginalDst } from "../transport/original-dst.ts";

/** Test helper: literals with every field set, and a worker in this very thread. */

const noHeaders = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] } as const;
const breaker = { connectionsMax: 1024, pendingRequestsMax: 1024, requestsMax: 1024, retriesMax: 3, retryBudget: undefined, tracksRemaining: false } as const;

export function forwardTo(cluster: string): Extract<Route["action"], { kind: "route" }> {
	return {
		kind: "route",
		cluster: { kind: "cluster", name: cluster },
		clusterNotFoundStatus: 503,
		timeoutMs: 15_000,
		grpcTimeoutMaxMs: undefined,
		idleTimeoutMs: undefined,
		maxStreamDurationMs: undefined,
		grpcDeadline: undefined,
		prefixRewrite: undefined,
		regexRewrite: undefined,
		pathFormat: undefined,
		hostRewrite: undefined,
		appendXForwardedHost: false,
		retry: undefined,
		mirrors: [],
		hashPolicies: [],
		upgrades: {},
		terminatesConnect: false,
		priority: "default",
		rateLimits: [],
		includeVirtualHostRateLimits: false,
	};
}

export function routeOf(prefix: string, action: Route["action"], parts: Partial<Route> = {}): Route {
	return {
		name: prefix,
		path: { kind: "prefix", value: prefix, caseSensitive: true },
		headers: [],
		query: [],
		dynamicMetadata: [],
		grpcOnly: false,
		runtimeFraction: undefined,
		action,
		headerOperations: noHeaders,
		filters: {},
		metadata: undefined,
		decorator: undefined,
		tracing: undefined,
		...parts,
	};
}

export function tableOf(routes: readonly Route[], name = "table"): RouteTable {
	return {
		name,
		virtualHosts: [
			{
				name: "all",
				domains: ["*"],
				routes,
				requireTls: "none",
				headers: noHeaders,
				retry: undefined,
				filters: {},
				rateLimits: [],
				includeRequestAttemptCount: false,
				includeAttemptCountInResponse: false,
			},
		],
		headers: noHeaders,
		filters: {},
		mostSpecificHeaderMutationsWins: false,
		ignorePortInHostMatching: false,
		maxDirectResponseBodyBytes: 4096,
		vhds: false,
	};
}

export function managerOf(table: RouteTable, parts: Partial<HttpConnectionManager> = {}): HttpConnectionManager {
	return {
		kind: "http",
		statPrefix: "test",
		codec: "auto",
		routes: { kind: "inline", table },
		filters: [{ kind: "router", name: "router", suppressEnvoyHeaders: false }],
		serverName: "",
		serverHeader: "overwrite",
		useRemoteAddress: false,
		xffNumTrustedHops: 0,
		skipXffAppend: false,
		appendForwardedPort: false,
		via: "",
		generateRequestId: true,
		preserveExternalRequestId: false,
		alwaysSetRequestIdInResponse: false,
		forwardClientCert: "sanitize",
		clientCertDetails: { subject: false, cert: false, chain: false, dns: false, uri: false },
		normalizePath: false,
		mergeSlashes: false,
		escapedSlashes: "keep",
		stripPort: "none",
		stripTrailingHostDot: false,
		streamIdleTimeoutMs: 300_000,
		requestTimeoutMs: 0,
		requestHeadersTimeoutMs: 0,
		idleTimeoutMs: 3_600_000,
		maxConnectionDurationMs: 0,
		maxStreamDurationMs: 0,
		drainTimeoutMs: 5000,
		delayedCloseTimeoutMs: 1000,
		maxRequestsPerConnection: 0,
		requestHeadersBytesMax: 60 * 1024,
		headersCountMax: 100,
		underscoresInHeaders: "allow",
		upgrades: {},
		http1: { acceptHttp10: false, allowAbsoluteUrl: true, allowCustomMethods: false, defaultHostForHttp10: "", enableTrailers: false, headerCase: "lower" },
		http2: http2Defaults,
		proxy100Continue: false,
		accessLogs: [],
		localReplies: undefined,
		internalRanges: [],
		tracing: undefined,
		schemeOverwrite: undefined,
		...parts,
	};
}

export const matchesAll: FilterChain["match"] = {
	destinationPort: undefined,
	destinationRanges: [],
	serverNames: [],
	transportProtocol: "",
	applicationProtocols: [],
	directSourceRanges: [],
	sourceType: "any",
	sourceRanges: [],
	sourcePorts: [],
};

export function chainOf(filters: FilterChain["filters"], parts: Partial<FilterChain> = {}): FilterChain {
	return { name: "", match: matchesAll, tls: undefined, filters, transportSocketConnectTimeoutMs: 0, ...parts };
}

export function listenerOf(name: string, chains: readonly FilterChain[], parts: Partial<Listener> = {}): Listener {
	return {
		name,
		address: { kind: "ip", address: "127.0.0.1", port: 0 },
		additionalAddresses: [],
		bindToPort: true,
		useOriginalDst: false,
		direction: "unspecified",
		statPrefix: name,
		inspectTls: false,
		tlsInspectorDisabled: undefined,
		httpInspectorDisabled: undefined,
		inspectHttp: false,
		inspectsHttpFirst: false,
		originalDst: false,
		originalSrc: undefined,
		proxyProtocol: undefined,
		listenerFiltersTimeoutMs: 15_000,
		continueOnListenerFiltersTimeout: false,
		filterChains: chains,
		defaultFilterChain: undefined,
		bufferBytesMax: 1024 * 1024,
		backlog: 128,
		socketOptions: undefined,
		accessLogs: [],
		...parts,
	};
}

export function clusterOf(name: string, parts: Partial<Cluster> = {}): Cluster {
	return {
		name,
		statName: name,
		kind: "static",
		connectTimeoutMs: 1000,
		lb: { kind: "roundRobin", slowStart: undefined },
		upstreamProtocol: "http1",
		http1: { headerCase: "lower", enableTrailers: false },
		http2: http2Defaults,
		idleTimeoutMs: 3_600_000,
		maxConnectionDurationMs: 0,
		maxStreamDurationMs: 0,
		maxRequestsPerConnection: 0,
		breakers: { default: breaker, high: breaker },
		outlier: undefined,
		healthChecks: [],
		ignoresNewHostsUntilChecked: false,
		ignoresHealthOnRemoval: false,
		closesConnectionsOnHealthFailure: false,
		panicThresholdPercent: 50,
		overprovisioningFactor: 140,
		localityWeighted: false,
		transportMatches: [],
		transport: { kind: "raw" },
		bindAddresses: [],
		socketOptions: undefined,
		tcpKeepalive: undefined,
		istioService: undefined,
		istioSubset: undefined,
		breakerSlot: 0,
		...parts,
	};
}

export function hostsOf(cluster: string, ports: readonly number[]): ClusterHosts {
	const hosts = ports.map((port) => ({
		address: { kind: "ip", address: "127.0.0.1", port } as const,
		hostname: "",
		weight: 1,
		health: "healthy" as const,
		healthCheck: undefined,
		transportMatch: {},
		lbMetadata: {},
		istioWorkload: undefined,
		slot: 0,
	}));
	return { cluster, overprovisioningFactor: undefined, priorities: [[{ region: "", zone: "", subZone: "", weight: 0, hosts }]] };
}

let updates = 0;

export function updateOf(
	parts: Partial<
		{ -readonly [K in "listeners" | "clusters" | "routes" | "extensions" | "secrets"]: ConfigUpdate[K]["upsert"] } & { hosts: ConfigUpdate["hosts"] }
	>,
): ConfigUpdate {
	const upsert = <T>(values: readonly T[] | undefined) => ({ upsert: values ?? [], remove: [] });
	return {
		id: ++updates,
		listeners: upsert(parts.listeners),
		clusters: upsert(parts.clusters),
		hosts: parts.hosts ?? [],
		routes: upsert(parts.routes),
		virtualHosts: [],
		scopes: { upsert: [], remove: [] },
		extensions: upsert(parts.extensions),
		secrets: upsert(parts.secrets),
	};
}

export interface Standalone {
	readonly worker: DataWorker;
	/** Resolves once in force; throws what the worker reported. */
	apply(update: ConfigUpdate): Promise<void>;
	/** The bound port of a listener. */
	port(listener: string): number;
	readonly messages: FromWorker[];
	close(): Promise<void>;
}

export function workerInit(transport: TransportKind = "auto"): WorkerInit {
	return {
		kind: "init",
		workerIndex: 0,
		workers: 1,
		node: { id: "test", cluster: "test", metadata: {}, locality: { region: "", zone: "", subZone: "" } },
		shared: createSharedBuffer(),
		buckets: createBucketBuffer(),
		accessLogFlushMs: 50,
		options: { transport, logLevels: levelsBy(() => "warn"), reusePort: false, serverName: "envoy" },
	};
}

export async function startStandalone(transport: TransportKind = "auto", originalDst: OriginalDst = () => undefined): Promise<Standalone> {
	const messages: FromWorker[] = [];
	const waiting = new Map<number, (message: Extract<FromWorker, { kind: "updated" }>) => void>();
	const ports = new Map<string, number>();
	const post = (message: FromWorker) => {
		messages.push(message);
		if (message.kind === "listening") ports.set(message.listener, message.port);
		if (message.kind === "updated") waiting.get(message.id)?.(message);
	};
	const worker = await createDataWorker(workerInit(transport), post, originalDst);
	return {
		worker,
		messages,
		async apply(update) {
			const { errors } = await new Promise<Extract<FromWorker, { kind: "updated" }>>((resolve) => {
				waiting.set(update.id, resolve);
				worker.handle({ kind: "update", update });
			});
			if (errors.length > 0) throw new Error(errors.map((e) => `${e.resource}: ${e.message}`).join("; "));
		},
		port: (listener) => ports.get(listener) ?? 0,
		close: () => worker.close(),
	};
}
