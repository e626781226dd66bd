import { isIP } from "node:net";
import { HealthStatus } from "@weft/xds/generated/envoy/config/core/v3/health_check.ts";
import { validateConstraints } from "@weft/xds";
import type { CircuitBreakers_Thresholds } from "@weft/xds/generated/envoy/config/cluster/v3/circuit_breaker.ts";
import type { Cluster as ClusterMessage, Cluster_TransportSocketMatch as TransportSocketMatch } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { BreakerLimits, Cluster, UpstreamTransport } from "../clusters.ts";
import type { ClusterHosts } from "../hosts.ts";
import type { ResourceReference } from "../resource-source.ts";
import { openAny } from "./any.ts";
import { decodeConfigSource } from "./config-source.ts";
import { type ProtocolChoice, decodeUpstreamProtocol } from "./cluster-protocol.ts";
import { decodeDynamicCluster } from "./dynamic-forward-proxy.ts";
import { decodeHosts } from "./endpoints.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { decodeHealthCheck } from "./health-check.ts";
import { type At, collect, type Decoded, durationMs, durationMsOr, onlySupports, report, under } from "./issues.ts";
import { decodeLoadBalancer } from "./load-balancer.ts";
import { decodeOutlier } from "./outlier.ts";
import { decodeSocketOptions } from "./socket-options.ts";
import { decodeUpstreamSocket, type SniOptions } from "./tls.ts";

const typeName = "envoy.config.cluster.v3.Cluster";

export interface DecodedCluster {
	/** With breaker slot 0: the main thread hands slots out when it applies the cluster. */
	readonly cluster: Cluster;
	/** Of EDS clusters. */
	readonly assignment: ResourceReference | undefined;
	/** Clusters with their own hosts; for DNS clusters the addresses may be names. */
	readonly hosts: ClusterHosts | undefined;
	readonly dns: DnsOptions | undefined;
}

export interface DnsOptions {
	readonly refreshMs: number;
	readonly failureRefreshMs: number;
	readonly family: "auto" | "v4" | "v6" | "v4Preferred" | "all";
	/** The answer's time to live counts, where it is known, instead of `refreshMs`. */
	readonly respectsTtl: boolean;
	/** At most so much is added at random. */
	readonly jitterMs: number;
}

// Of no effect here: names and rates that belong to c-ares, buffers, and Istio's TCP metadata
// exchange on the upstream side (`filters`), whose frames this proxy does not speak: a peer copes with their absence.
const supported = [
	"transportSocketMatches",
	"name",
	"altStatName",
	"type",
	"clusterType",
	"edsClusterConfig",
	"connectTimeout",
	"perConnectionBufferLimitBytes",
	"lbPolicy",
	"loadAssignment",
	"maxRequestsPerConnection",
	"circuitBreakers",
	"upstreamHttpProtocolOptions",
	"commonHttpProtocolOptions",
	"httpProtocolOptions",
	"http2ProtocolOptions",
	"typedExtensionProtocolOptions",
	"dnsRefreshRate",
	"dnsFailureRefreshRate",
	"respectDnsTtl",
	"dnsLookupFamily",
	"dnsJitter",
	"useTcpForDnsLookups",
	"typedDnsResolverConfig",
	"waitForWarmOnInit",
	"outlierDetection",
	"healthChecks",
	"cleanupInterval",
	"upstreamBindConfig",
	"ringHashLbConfig",
	"maglevLbConfig",
	"originalDstLbConfig",
	"leastRequestLbConfig",
	"lbSubsetConfig",
	"roundRobinLbConfig",
	"commonLbConfig",
	"transportSocket",
	"metadata",
	"protocolSelection",
	"upstreamConnectionOptions",
	"closeConnectionsOnHostHealthFailure",
	"ignoreHealthOnHostRemoval",
	"filters",
	"loadBalancingPolicy",
	"trackTimeoutBudgets",
	"trackClusterStats",
	"preconnectPolicy",
];

const thresholdsType = "envoy.config.cluster.v3.CircuitBreakers.Thresholds";
const thresholdFields = ["priority", "maxConnections", "maxPendingRequests", "maxRequests", "maxRetries", "retryBudget", "trackRemaining"];

// Merging updates is a matter of pace.
const commonLbFields = [
	"healthyPanicThreshold",
	"localityWeightedLbConfig",
	"zoneAwareLbConfig",
	"consistentHashingLbConfig",
	"updateMergeWindow",
	"ignoreNewHostsUntilFirstHc",
	"overrideHostStatus",
];

const bindFields = ["sourceAddress", "freebind", "socketOptions", "extraSourceAddresses", "additionalSourceAddresses"];

const kinds = ["static", "strictDns", "logicalDns", "eds", "originalDst"] as const;
const families = ["auto", "v4", "v6", "v4Preferred", "all"] as const;

export function decodeCluster(message: ClusterMessage, environment: DecodeEnvironment): Decoded<DecodedCluster> {
	return collect("", (at) => {
		at.errors.push(...validateConstraints(typeName, message));
		return decodeClusterFields(at, message, environment);
	});
}

function decodeClusterFields(at: At, message: ClusterMessage, environment: DecodeEnvironment): DecodedCluster {
	onlySupports(at, typeName, message, supported);
	checkFilters(at, message);
	const dynamicHosts = decodeDynamicCluster(at, message);
	const kind = dynamicHosts === undefined ? (kinds[message.type ?? 0] ?? "static") : "dynamicForwardProxy";
	const hosts = message.loadAssignment && { ...decodeHosts(under(at, "loadAssignment"), message.loadAssignment), cluster: message.name };
	checkDiscovery(at, message, kind, hosts);
	const isDns = kind === "strictDns" || kind === "logicalDns";
	return {
		cluster: { ...decodeClusterValue(at, message, kind, environment), ...(dynamicHosts && { dynamicHosts }) },
		assignment: kind === "eds" ? decodeAssignmentSource(at, message, environment) : undefined,
		hosts: kind === "eds" ? undefined : (hosts ?? { cluster: message.name, overprovisioningFactor: undefined, priorities: [] }),
		dns: isDns ? decodeDns(message) : undefined,
	};
}

function decodeAssignmentSource(at: At, { edsClusterConfig, name }: ClusterMessage, environment: DecodeEnvironment): ResourceReference {
	const source = decodeConfigSource(under(at, "edsClusterConfig.edsConfig"), edsClusterConfig?.edsConfig, environment);
	return { name: edsClusterConfig?.serviceName || name, source };
}

/** HTTP/2 connections carry more requests than any ratio would ask more of them for. */
function decodePreconnect({ preconnectPolicy: policy }: ClusterMessage): Pick<DecodedCluster["cluster"], "preconnectRatio" | "predictivePreconnectRatio"> {
	const { perUpstreamPreconnectRatio: ratio = 1, predictivePreconnectRatio: predictive = 1 } = policy ?? {};
	return { ...(ratio > 1 && { preconnectRatio: ratio }), ...(predictive > 1 && { predictivePreconnectRatio: predictive }) };
}

function decodeDns(message: ClusterMessage): DnsOptions {
	const refreshMs = durationMsOr(message.dnsRefreshRate, 5_000);
	const failureRefreshMs = durationMs(message.dnsFailureRefreshRate?.baseInterval) ?? refreshMs;
	return {
		refreshMs,
		failureRefreshMs,
		family: families[message.dnsLookupFamily] ?? "auto",
		respectsTtl: message.respectDnsTtl,
		jitterMs: durationMsOr(message.dnsJitter, 0),
	};
}

function checkDiscovery(at: At, message: ClusterMessage, kind: Cluster["kind"], hosts: ClusterHosts | undefined): void {
	const provided = message.lbPolicy === 6;
	if (kind === "originalDst") {
		if (!provided && message.loadBalancingPolicy === undefined)
			report(at, `cluster: LB policy is not valid for Cluster type ORIGINAL_DST. Only 'CLUSTER_PROVIDED' is allowed with cluster type 'ORIGINAL_DST'`);
		if (hosts !== undefined) report(at, "ORIGINAL_DST clusters must have no load assignment configured");
	} else if (provided && message.clusterType === undefined) report(at, `cluster: LB policy CLUSTER_PROVIDED requires a cluster type that provides one`);
	if (kind === "eds" && message.edsClusterConfig === undefined) report(at, "cannot create an EDS cluster without an EDS config");
	if (kind === "logicalDns") checkLogicalDns(at, message);
	if (kind !== "static") return;
	// Static clusters do not resolve: a name among them never gets a connection, so it is refused here.
	for (const { address } of hosts?.priorities.flat().flatMap((locality) => locality.hosts) ?? []) {
		if (address.kind === "ip" && !isIp(address.address))
			report(
				under(at, "loadAssignment"),
				`malformed IP address: ${address.address}. Consider setting resolver_name or setting cluster type to 'STRICT_DNS' or 'LOGICAL_DNS'`,
			);
	}
}

/** It has the one name that its connections are made to. */
function checkLogicalDns(at: At, { loadAssignment }: ClusterMessage): void {
	const [locality, ...others] = loadAssignment?.endpoints ?? [];
	if (locality?.lbEndpoints.length === 1 && others.length === 0) return;
	report(under(at, "loadAssignment"), "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint");
}

function isIp(text: string): boolean {
	return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) || (text.includes(":") && /^[0-9a-fA-F:.%\w]+$/.test(text));
}

function checkFilters(at: At, message: ClusterMessage): void {
	message.filters.forEach((filter, i) => {
		const here = under(at, `filters[${i}]`);
		const opened = openAny(here, filter.typedConfig, `upstream filter ${filter.name}`);
		if (opened && opened.typeName !== "envoy.tcp.metadataexchange.config.MetadataExchange")
			report(here, `upstream filter ${filter.name} of type ${opened.typeName} is not implemented`);
	});
}

function decodeClusterValue(at: At, message: ClusterMessage, kind: Cluster["kind"], environment: DecodeEnvironment): Cluster {
	const protocol = decodeUpstreamProtocol(at, message);
	const { autoSni, autoSanValidation } = protocol;
	// Names come from requests: so do those that certificates are checked for, unless somebody says otherwise.
	const followsRequests = kind === "dynamicForwardProxy" && !protocol.hasNameOptions;
	const sni = { autoSni: autoSni || followsRequests, autoSanValidation: autoSanValidation || followsRequests };
	const thresholds = message.circuitBreakers?.thresholds ?? [];
	for (const [i, threshold] of thresholds.entries()) onlySupports(under(at, `circuitBreakers.thresholds[${i}]`), thresholdsType, threshold, thresholdFields);
	const perHost = message.circuitBreakers?.perHostThresholds ?? [];
	for (const [i, threshold] of perHost.entries())
		onlySupports(under(at, `circuitBreakers.perHostThresholds[${i}]`), thresholdsType, threshold, ["priority", "maxConnections"]);
	const stat = message.altStatName === "" ? message.name : message.altStatName;
	return {
		name: message.name,
		statName: stat,
		kind,
		connectTimeoutMs: durationMsOr(message.connectTimeout, 5_000),
		...decodeLoadBalancer(at, message),
		...connectionLimits(protocol),
		breakers: { default: decodeLimits(thresholds, perHost, 0), high: decodeLimits(thresholds, perHost, 1) },
		outlier: message.outlierDetection && decodeOutlier(under(at, "outlierDetection"), message.outlierDetection),
		...decodeHealth(at, message, kind, protocol),
		...decodeCommonLb(at, message),
		transportMatches: message.transportSocketMatches.map((match, i) => ({
			name: match.name,
			match: match.match ?? {},
			transport: decodeMatchedSocket(under(at, `transportSocketMatches[${i}].transportSocket`), match, sni, environment),
		})),
		transport: decodeUpstreamSocket(under(at, "transportSocket"), message.transportSocket, sni, environment),
		...decodeBinding(at, message),
		...decodeTracking(at, message),
		...decodeIstio(message),
		breakerSlot: 0,
		...decodeOriginalDst(at, message),
	};
}

/** No socket would mean another than that of the cluster, and Envoy does not take it for plain text. */
function decodeMatchedSocket(at: At, { transportSocket }: TransportSocketMatch, sni: SniOptions, environment: DecodeEnvironment): UpstreamTransport {
	if (transportSocket === undefined) report(at, "transport_socket is missing");
	return decodeUpstreamSocket(at, transportSocket, sni, environment);
}

function decodeTracking(at: At, { trackClusterStats, trackTimeoutBudgets }: ClusterMessage): Pick<Cluster, "tracking"> {
	if (trackClusterStats?.perEndpointStats === true) report(under(at, "trackClusterStats"), "per_endpoint_stats is not implemented");
	const timeoutBudgets = trackTimeoutBudgets || trackClusterStats?.timeoutBudgets === true;
	const sizes = trackClusterStats?.requestResponseSizes === true;
	return timeoutBudgets || sizes ? { tracking: { timeoutBudgets, sizes } } : {};
}

type Health = Pick<Cluster, "healthChecks" | "ignoresNewHostsUntilChecked" | "ignoresHealthOnRemoval" | "closesConnectionsOnHealthFailure">;

function decodeHealth(at: At, message: ClusterMessage, kind: Cluster["kind"], { upstreamProtocol }: ProtocolChoice): Health {
	if (message.healthChecks.length > 1) report(under(at, "healthChecks"), "multiple health checks not supported");
	if (message.healthChecks.length > 0 && (kind === "originalDst" || kind === "dynamicForwardProxy"))
		report(under(at, "healthChecks"), "health checks of a cluster without hosts of its own are not implemented");
	if (upstreamProtocol === "http1" && message.healthChecks.some((check) => check.grpcHealthCheck !== undefined))
		report(under(at, "healthChecks"), "grpc cluster must support HTTP/2 for gRPC healthchecking");
	return {
		healthChecks: message.healthChecks.map((check, i) => decodeHealthCheck(under(at, `healthChecks[${i}]`), check)),
		ignoresNewHostsUntilChecked: message.commonLbConfig?.ignoreNewHostsUntilFirstHc ?? false,
		ignoresHealthOnRemoval: message.ignoreHealthOnHostRemoval,
		closesConnectionsOnHealthFailure: message.closeConnectionsOnHostHealthFailure,
	};
}

function connectionLimits({
	upstreamProtocol,
	http1,
	http2,
	idleTimeoutMs,
	maxConnectionDurationMs,
	maxStreamDurationMs,
	maxRequestsPerConnection,
}: ProtocolChoice) {
	return { upstreamProtocol, http1, http2, idleTimeoutMs, maxConnectionDurationMs, maxStreamDurationMs, maxRequestsPerConnection };
}

function decodeLimits(thresholds: readonly CircuitBreakers_Thresholds[], perHost: readonly CircuitBreakers_Thresholds[], priority: number): BreakerLimits {
	// The first of a priority counts.
	const found = thresholds.find((threshold) => threshold.priority === priority);
	const budget = found?.retryBudget;
	return {
		connectionsMax: found?.maxConnections ?? 1024,
		pendingRequestsMax: found?.maxPendingRequests ?? 1024,
		requestsMax: found?.maxRequests ?? 1024,
		perHostConnectionsMax: perHost.find((threshold) => threshold.priority === priority)?.maxConnections,
		retriesMax: found?.maxRetries ?? 3,
		retryBudget: budget && { percent: budget.budgetPercent?.value ?? 20, concurrencyMin: budget.minRetryConcurrency ?? 3 },
		tracksRemaining: found?.trackRemaining ?? false,
	};
}

function decodeCommonLb(at: At, message: ClusterMessage): Pick<Cluster, "panicThresholdPercent" | "overprovisioningFactor" | "sessionsOutliveDraining"> {
	const common = message.commonLbConfig;
	if (common !== undefined) onlySupports(under(at, "commonLbConfig"), "envoy.config.cluster.v3.Cluster.CommonLbConfig", common, commonLbFields);
	return {
		panicThresholdPercent: common?.healthyPanicThreshold?.value ?? 50,
		...(common?.overrideHostStatus?.statuses.includes(HealthStatus.DRAINING) && { sessionsOutliveDraining: true }),
		overprovisioningFactor: message.loadAssignment?.policy?.overprovisioningFactor ?? 140,
	};
}

function decodeBinding(at: At, message: ClusterMessage): Pick<Cluster, "bindAddresses" | "socketOptions" | "tcpKeepalive"> {
	const bind = message.upstreamBindConfig;
	if (bind !== undefined) onlySupports(under(at, "upstreamBindConfig"), "envoy.config.core.v3.BindConfig", bind, bindFields);
	if ((bind?.sourceAddress?.portValue ?? 0) !== 0) report(under(at, "upstreamBindConfig.sourceAddress"), "a source port is not implemented");
	const keepalive = message.upstreamConnectionOptions?.tcpKeepalive;
	const extra = [...(bind?.extraSourceAddresses ?? []), ...(bind?.additionalSourceAddresses ?? []).map((address) => ({ address }))];
	const bindAddresses = [bind?.sourceAddress?.address ?? "", ...extra.map(({ address }) => address?.address ?? "")].filter(Boolean);
	for (const address of bindAddresses) if (isIP(address) === 0) report(under(at, "upstreamBindConfig"), `malformed IP address: ${address}`);
	return {
		...decodePreconnect(message),
		bindAddresses,
		socketOptions: bind && decodeSocketOptions(under(at, "upstreamBindConfig"), bind.socketOptions, { freebind: bind.freebind }),
		tcpKeepalive: keepalive && { timeSeconds: keepalive.keepaliveTime ?? 7200 },
	};
}

function decodeOriginalDst(at: At, { originalDstLbConfig: config }: ClusterMessage): Pick<Cluster, "originalDst"> {
	if (config === undefined) return {};
	const { httpHeaderName, metadataKey, upstreamPortOverride, useHttpHeader } = config;
	if (!useHttpHeader && httpHeaderName !== "") {
		const rule = `invalid config http_header_name=${httpHeaderName} and use_http_header is false.`;
		report(under(at, "originalDstLbConfig"), `ORIGINAL_DST cluster: ${rule} Set use_http_header to true if http_header_name is desired.`);
	}
	if (!useHttpHeader && metadataKey === undefined && upstreamPortOverride === undefined) return {};
	return {
		originalDst: {
			header: useHttpHeader ? httpHeaderName.toLowerCase() || "x-envoy-original-dst-host" : undefined,
			metadata: metadataKey && { namespace: metadataKey.key, path: metadataKey.path.map(({ key }) => key ?? "") },
			port: upstreamPortOverride,
		},
	};
}

function decodeIstio(message: ClusterMessage): Pick<Cluster, "istioService" | "istioSubset"> {
	const istio: Readonly<Record<string, unknown>> | undefined = message.metadata?.filterMetadata["istio"];
	const services = istio?.["services"];
	const first: unknown = Array.isArray(services) ? services[0] : undefined;
	const subset = istio?.["subset"];
	return {
		istioService: isService(first) ? { host: first.host, name: first.name, namespace: first.namespace } : undefined,
		istioSubset: typeof subset === "string" ? subset : undefined,
	};
}

function isService(value: unknown): value is { host: string; name: string; namespace: string } {
	if (typeof value !== "object" || value === null) return false;
	const { host, name, namespace } = value as Readonly<Record<string, unknown>>;
	return typeof host === "string" && typeof name === "string" && typeof namespace === "string";
}
