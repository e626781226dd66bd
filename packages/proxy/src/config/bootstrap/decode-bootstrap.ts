import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { ApiConfigSource_ApiType } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { type Cluster as ClusterMessage, Cluster_DiscoveryType } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { Listener as ListenerMessage } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { Secret as SecretMessage } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { decodeAddress } from "../decode/address.ts";
import { type DecodedCluster, decodeCluster } from "../decode/cluster.ts";
import { decodeConfigSource } from "../decode/config-source.ts";
import type { DecodeEnvironment } from "../decode/environment.ts";
import { type At, onlySupports, report, rootAt, under } from "../decode/issues.ts";
import { decodeListener } from "../decode/listener.ts";
import { decodeSecret } from "../decode/secret.ts";
import { decodeRuntime } from "../decode/runtime.ts";
import { decodeOverload } from "../decode/overload.ts";
import { findUnknownClustersOfListener } from "../unknown-clusters.ts";
import type { OverloadConfig } from "../overload.ts";
import { decodeStats } from "../decode/stats.ts";
import type { StatsSettings } from "../stats-config.ts";
import type { Listener } from "../listeners.ts";
import type { ResourceSource } from "../resource-source.ts";
import type { RuntimeLayer } from "../runtime-layers.ts";
import type { NodeInfo } from "../runtime-config.ts";
import type { SocketAddress } from "../sockets.ts";
import type { Secret } from "../tls.ts";

export interface StaticResource<M, T> {
	readonly message: M;
	readonly value: T;
}

/** What a bootstrap says, decoded. */
export interface BootstrapConfig {
	readonly message: Bootstrap;
	readonly node: NodeInfo;
	/** The static cluster that this proxy is a host of; "": unknown. */
	readonly localCluster: string;
	readonly stats: StatsSettings;
	/** undefined: there is none. */
	readonly overload: OverloadConfig | undefined;
	readonly runtime: readonly RuntimeLayer[];
	readonly admin: SocketAddress | undefined;
	/** Clusters that management servers may be in. */
	readonly managementClusters: ReadonlySet<string>;
	/** Where clusters and listeners come from beside the static ones; undefined: there are no others. */
	readonly dynamic: { readonly cds: ResourceSource | undefined; readonly lds: ResourceSource | undefined };
	readonly listeners: readonly StaticResource<ListenerMessage, Listener>[];
	readonly clusters: readonly StaticResource<ClusterMessage, DecodedCluster>[];
	readonly secrets: readonly StaticResource<SecretMessage, Secret>[];
}

// Of no effect here: there is no watchdog of Envoy's.
// They are named in one warning, since ordinary files carry them.
const inert = [
	"watchdog",
	"watchdogs",
	"statsFlushOnAdmin",
	"flagsPath",
	"useTcpForDnsLookups",
	"dnsResolutionConfig",
	"typedDnsResolverConfig",
	"enableDispatcherStats",
	"memoryAllocatorManager",
	"bootstrapExtensions",
	"deferredStatOptions",
	"perfTracingFilePath",
	"grpcAsyncClientManagerConfig",
	"applicationLogConfig",
	"defaultSocketInterface",
	"statsServerVersionOverride",
];
const inertOfClusterManager = ["outlierDetection", "upstreamBindConfig", "enableDeferredClusterCreation"];
const supported = [
	"node",
	"nodeContextParams",
	"staticResources",
	"dynamicResources",
	"admin",
	"clusterManager",
	"statsConfig",
	"statsSinks",
	"statsFlushInterval",
	"overloadManager",
	"layeredRuntime",
	...inert,
];

export function decodeBootstrap(
	message: Bootstrap,
	given: DecodeEnvironment,
): { readonly value: BootstrapConfig | undefined; readonly errors: readonly string[]; readonly warnings: readonly string[] } {
	const at = rootAt();
	onlySupports(at, "envoy.config.bootstrap.v3.Bootstrap", message, supported);
	const resources = message.staticResources;
	const errors = at.errors;
	checkLoadStats(under(at, "clusterManager"), message);
	const all = <M extends { readonly name: string }, T>(
		kind: string,
		messages: readonly M[],
		decode: (message: M) => { value: T | undefined; errors: readonly string[] },
	) => {
		const seen = new Set<string>();
		return messages.flatMap((one, i) => {
			const result = decode(one);
			const label = one.name === "" ? `${kind}[${i}]` : `${kind} '${one.name}'`;
			errors.push(...result.errors.map((error) => `${label}: ${error}`));
			if (one.name !== "" && seen.has(one.name)) errors.push(`${label}: duplicate name`);
			seen.add(one.name);
			return result.value === undefined ? [] : [{ message: one, value: result.value }];
		});
	};
	const named = (resources?.listeners ?? []).map((listener, i) => (listener.name === "" ? { ...listener, name: `listener_${i}` } : listener));
	const managementClusters = new Set(resources?.clusters.filter(({ type }) => type !== Cluster_DiscoveryType.EDS).map(({ name }) => name));
	const environment = { ...given, managementClusters };
	const value: BootstrapConfig = {
		message,
		managementClusters,
		dynamic: decodeDynamic(under(at, "dynamicResources"), message, environment),
		node: decodeNode(message),
		stats: decodeStats(at, message),
		overload: decodeOverload(under(at, "overloadManager"), message),
		runtime: decodeRuntime(under(at, "layeredRuntime"), message, environment),
		localCluster: decodeLocalCluster(under(at, "clusterManager"), message),
		admin: message.admin?.address && decodeAddress(under(at, "admin.address"), message.admin.address),
		listeners: all("listener", named, (listener) => decodeListener(listener, environment)),
		clusters: all("cluster", resources?.clusters ?? [], (cluster) => decodeCluster(cluster, environment)),
		secrets: all("secret", resources?.secrets ?? [], (secret) => decodeSecret(secret, environment)),
	};
	const clusters = new Set(resources?.clusters.map(({ name }) => name));
	for (const { value: listener } of value.listeners)
		errors.push(...findUnknownClustersOfListener(listener, (cluster) => clusters.has(cluster)).map((error) => `listener '${listener.name}': ${error}`));
	const fields = message as unknown as Readonly<Record<string, unknown>>;
	const manager = message.clusterManager as unknown as Readonly<Record<string, unknown>> | undefined;
	const ignored = [
		...inert.filter((name) => isPresent(fields[name])),
		...inertOfClusterManager.filter((name) => isPresent(manager?.[name])).map((name) => `clusterManager.${name}`),
	];
	const warnings = ignored.length === 0 ? [] : [`these bootstrap fields have no effect here: ${ignored.join(", ")}`];
	return { value: errors.length === 0 ? value : undefined, errors, warnings };
}

function isPresent(value: unknown): boolean {
	return value !== undefined && value !== "" && value !== false && !(Array.isArray(value) && value.length === 0);
}

/** The management server that loads are reported to is asked over gRPC. */
function checkLoadStats(at: At, { clusterManager }: Bootstrap): void {
	const config = clusterManager?.loadStatsConfig;
	if (config !== undefined && config.apiType !== ApiConfigSource_ApiType.GRPC) report(under(at, "loadStatsConfig"), "api_type must be GRPC");
	if (config !== undefined && config.grpcServices.length !== 1) report(under(at, "loadStatsConfig"), "exactly one gRPC service must be named");
}

function decodeDynamic(at: At, { dynamicResources }: Bootstrap, environment: DecodeEnvironment): BootstrapConfig["dynamic"] {
	const { adsConfig, cdsConfig, ldsConfig } = dynamicResources ?? {};
	const cds = cdsConfig && decodeConfigSource(under(at, "cdsConfig"), cdsConfig, environment);
	const lds = ldsConfig && decodeConfigSource(under(at, "ldsConfig"), ldsConfig, environment);
	if (adsConfig === undefined && (cds?.kind === "ads" || lds?.kind === "ads")) report(at, "ads without ads_config");
	return { cds, lds };
}

function decodeLocalCluster(at: At, { clusterManager, staticResources }: Bootstrap): string {
	const name = clusterManager?.localClusterName ?? "";
	if (name !== "" && staticResources?.clusters.some((cluster) => cluster.name === name) !== true) report(at, `local cluster '${name}' must be defined`);
	return name;
}

function decodeNode(message: Bootstrap): NodeInfo {
	const node = message.node;
	const { region = "", zone = "", subZone = "" } = node?.locality ?? {};
	return { id: node?.id ?? "", cluster: node?.cluster ?? "", metadata: node?.metadata ?? {}, locality: { region, zone, subZone } };
}
