import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Clock, Logger } from "@weft/runtime";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { Secret as SecretMessage } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import { typeUrls } from "@weft/xds";
import type { RejectedResource, XdsUpdate } from "@weft/xds/client";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import { fileOfSource } from "../config/decode/config-source.ts";
import type { DecodeEnvironment } from "../config/decode/index.ts";
import type { ClusterHosts, ConfigUpdate, Secret } from "../config/runtime-config.ts";
import { createBalanceBuffer, markWorker } from "../config/shared-balance.ts";
import { createBucketBuffer } from "../config/shared-buckets.ts";
import { createGrpcEnvironment, type GrpcEnvironment } from "../grpc/environment.ts";
import { createSlotAllocator, viewSharedWords } from "../config/shared-state.ts";
import type { FromWorker, ResourceError, WorkerInit } from "../config/worker-messages.ts";
import type { AdminContext, AdminReply } from "./admin/routes.ts";
import { startAdmin } from "./admin/server.ts";
import { showPrometheus } from "./admin/stats.ts";
import { compileStatsView } from "../data/stats/stats-view.ts";
import { startStatsSinks } from "./stats/sinks.ts";
import { ConfigStore } from "./config-store.ts";
import { serverTtl, systemLookup } from "../data/dns/lookup.ts";
import { DnsResolver } from "./dns.ts";
import { ExtensionStats } from "./extension-stats.ts";
import { followConfigFiles } from "./file-source.ts";
import { followSecretFiles } from "./file-secrets.ts";
import { transportKind } from "../data/transport/transport.ts";
import { createOverloadBuffer } from "../config/overload.ts";
import { OverloadManager } from "./overload/overload-manager.ts";
import { GrpcChannel } from "../grpc/channel.ts";
import { resolveGrpcTarget, type TargetSources } from "./grpc-target.ts";
import { mergeHostCounts } from "./host-counts.ts";
import type { LoadReporter } from "./load-reporter.ts";
import { HealthManager } from "./health/health-manager.ts";
import { trimMemory } from "../data/worker/heap-memory.ts";
import type { OnTrustRoots } from "./trust-updates.ts";
import { OutlierManager } from "./outlier-manager.ts";
import { referencesOfListener } from "./references.ts";
import { ResourceRecords, staticRecord } from "./resource-records.ts";
import { ServerState } from "./server-state.ts";
import { type WorkerEvents, WorkerPool, type WorkerPort } from "./worker-pool.ts";
import { spawnWorkerThread } from "./worker-thread.ts";
import type { XdsSource } from "./xds-source.ts";
import { applyUpdates } from "./xds-updates.ts";

export interface ServerOptions {
	readonly config: BootstrapConfig;
	/** Every secret that the static configuration refers to, with its source. */
	readonly secretSources: Map<string, ConfigSource | undefined>;
	readonly environment: DecodeEnvironment;
	readonly concurrency: number;
	readonly logLevel: string;
	/** How long lines of access logs may wait; one second where it is not said. */
	readonly accessLogFlushMs?: number | undefined;
	readonly version: string;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	/** Secrets of the workload identity, which this process obtains itself; they arrive by `setSecrets`. */
	readonly ownSecrets: ReadonlySet<string>;
	/** Those of them that are there already. */
	readonly initialSecrets: readonly Secret[];
	readonly secretsOverAds: boolean;
	/** The main thread's own, where there is one already. */
	readonly grpc?: GrpcEnvironment;
	/** Given the names of the mesh whenever they change; undefined: they are not asked for. */
	readonly onNames?: (table: NameTable) => void;
	/** Asks the control plane for the trusted roots, and takes them. */
	readonly onTrustRoots?: OnTrustRoots;
	/** Default: a thread that runs the data path. */
	readonly spawn?: (init: WorkerInit, events: WorkerEvents) => WorkerPort;
	/** Asked by the admin server to end the process. */
	readonly onQuit: () => void;
}

export interface Server {
	readonly adminAddress: string | undefined;
	readonly state: ServerState;
	/** Secrets that the process has itself: new ones take effect in new handshakes. Resolves when they do. */
	setSecrets(secrets: readonly Secret[], removed: readonly string[]): Promise<void>;
	/** What the admin server shows as `/stats/prometheus`. */
	metrics(query: URLSearchParams): Promise<AdminReply>;
	/** Closes what is quiet (`inboundOnly`: of others' connections to us), and resolves once nothing is under way, or at the deadline. */
	drain(deadlineMs: number, inboundOnly?: boolean): Promise<void>;
	/** Goes on accepting; more and more connections are closed as they answer, all by the deadline. */
	drainGradually(deadlineMs: number, inboundOnly: boolean): void;
	/** Tells the control plane of the workload's health: undefined is healthy, else why not. */
	reportHealth(problem: string | undefined): void;
	/** Not ready from now on, while everything is served as before. */
	markDraining(): void;
	reopenLogs(): void;
	stop(): Promise<void>;
}

const accessLogFlushMsDefault = 1_000;

/** Reads from top to bottom as the main thread: workers, configuration, control plane, admin. Rejects when the configuration cannot be served. */
export async function startServer(options: ServerOptions): Promise<Server> {
	const core = createCore(options);
	const stop = async () => {
		core.abort.abort();
		core.dns.stop();
		await core.pool.stop();
	};
	try {
		return await start(options, core, stop);
	} catch (error) {
		// A server that could not be started must not go on in part.
		await stop();
		throw error;
	}
}

async function start(options: ServerOptions, core: Core, stop: () => Promise<void>): Promise<Server> {
	const { config, clock } = options;
	const { abort, outliers, pool, refused, state, store } = core;
	const sources = await connectSources(options, core);
	await pool.start();
	recordStatic(core.records, config, clock.nowMs());
	const applied = store.apply(staticChange(config, options.initialSecrets));
	sources.follow();
	await applied;
	sources.run();
	const isIn = () => config.listeners.every(({ value }) => store.acknowledged.listeners.has(value.name));
	await Promise.race([until(isIn, startPollMs, clock, abort.signal), clock.sleep(startTimeoutMs, abort.signal)]);
	if (refused.length > 0) throw new Error(refused.map(({ resource, message }) => `${resource}: ${message}`).join("; "));
	const context = adminContext(options, core);
	const admin = config.admin && (await startAdmin({ address: config.admin, context }));
	void until(isIn, readyPollMs, clock, abort.signal).then(() => state.ready());
	void outliers.run(abort.signal);
	void core.overload?.run(abort.signal);
	if (config.message.clusterManager?.loadStatsConfig !== undefined) void (await createLoadReporter(options, core)).run(abort.signal);
	const flushStats = startStatsSinks(config.stats, context, core, abort.signal);
	trimMemory();
	if (config.message.dynamicResources !== undefined) void trimOnceConfigured(state, clock, abort.signal);
	return {
		adminAddress: admin?.address,
		state,
		setSecrets: async (upsert, remove) => void (await store.apply({ secrets: { upsert, remove } })),
		metrics: (query) => showPrometheus({ query, method: "GET" }, context),
		drain: async (deadlineMs, inboundOnly) => {
			state.drain();
			await pool.drain(deadlineMs, inboundOnly);
		},
		drainGradually: (deadlineMs, inboundOnly) => pool.broadcast({ kind: "drain", graceful: true, inboundOnly, deadlineMs }),
		reportHealth: sources.reportHealth,
		markDraining: () => state.drain(),
		reopenLogs: () => pool.broadcast({ kind: "reopenLogs" }),
		stop: async () => {
			await flushStats();
			await Promise.all([stop(), admin?.close()]);
		},
	};
}

/** The long-lived parts, wired to each other. */
interface Core {
	readonly abort: AbortController;
	readonly state: ServerState;
	readonly records: ResourceRecords;
	readonly pool: WorkerPool;
	readonly store: ConfigStore;
	readonly outliers: OutlierManager;
	readonly health: HealthManager;
	/** undefined: the bootstrap has none. */
	readonly overload: OverloadManager | undefined;
	readonly dns: DnsResolver;
	readonly extensionStats: ExtensionStats;
	/** Filled in where loads are reported. */
	readonly loads: { reporter?: LoadReporter };
	/** Filled in where there is a control plane. */
	readonly onDemand: { source?: XdsSource };
	/** Listeners of the static configuration that a worker could not open. */
	readonly refused: readonly ResourceError[];
}

function createCore(options: ServerOptions): Core {
	const { config, clock, logger, random } = options;
	const allocator = createSlotAllocator();
	const state = new ServerState({ startedMs: clock.nowMs(), isXdsExpected: config.message.dynamicResources?.adsConfig !== undefined });
	const buckets = createBucketBuffer();
	const overloadBuffer = config.overload && createOverloadBuffer(options.concurrency);
	const balance = options.concurrency > 1 ? { id: randomUUID(), workers: options.concurrency, counts: createBalanceBuffer(options.concurrency) } : undefined;
	const shared = { shared: allocator.buffer, buckets, overload: overloadBuffer, balance };
	const pool = new WorkerPool({
		count: options.concurrency,
		spawn: (index, events) => {
			const exit = (reason: string) => {
				if (balance !== undefined) markWorker(balance.counts, balance.workers, index, false);
				events.exit(reason);
			};
			return (options.spawn ?? spawnWorkerThread)(workerInit(options, index, shared), { ...events, exit });
		},
		snapshot: () => store.snapshot(),
		logger,
		onMessage: (message) => receive(message),
	});
	const refused: ResourceError[] = [];
	const send = async (update: ConfigUpdate) => {
		const errors = await pool.update(update);
		refused.push(...errors.filter(({ resource }) => config.listeners.some(({ value }) => value.name === resource)));
		return errors;
	};
	const abort = new AbortController();
	const health = new HealthManager(
		{
			words: viewSharedWords(allocator.buffer),
			clusterOf: (name) => store.clusterOf(name),
			probe: (cluster, address, timeoutMs) => pool.probe(cluster, address, timeoutMs),
			onWarm: () => void store.apply({}),
			onHostsStale: (cluster) => store.refreshHosts(cluster),
			onFailed: (cluster, address) => pool.broadcast({ kind: "hostFailed", cluster, address }),
			onGoodCheck: (cluster, hostSlot) => outliers.onGoodCheck(cluster, hostSlot),
			clock,
			random,
			logger,
		},
		abort.signal,
	);
	const store = new ConfigStore({ send, allocator, health, logger });
	const outliers = new OutlierManager({
		words: viewSharedWords(allocator.buffer),
		clusterOf: (name) => store.clusterOf(name),
		hostsOf: (name) => store.hostsOf(name),
		clusterNames: () => store.clusterNames(),
		clock,
		random,
		logger,
	});
	const onHosts = (hosts: ClusterHosts) => void store.apply({ resolved: { upsert: [hosts], remove: [] } });
	const onDemand: { source?: XdsSource } = {};
	const wantHost = (name: string) => {
		if (onDemand.source?.wantHost(name) !== true) pool.broadcast({ kind: "hostsAnswered", names: [name] });
	};
	const receive = (message: FromWorker) => {
		if (message.kind === "eject") outliers.eject(message);
		else if (message.kind === "immediateFail") health.failImmediately(message.cluster, message.hostSlot);
		else if (message.kind === "wantHost") wantHost(message.name);
		else if (message.kind === "listening") state.listening(message.listener, message.address);
		else if (message.kind === "listenerError") logger.error("listener could not be opened", { listener: message.listener, error: message.message });
	};
	const overload =
		config.overload &&
		overloadBuffer &&
		new OverloadManager({
			config: config.overload,
			buffer: overloadBuffer,
			readFile: options.environment.readFile,
			memoryBytes: () => process.memoryUsage.rss(),
			onChange: () => pool.broadcast({ kind: "overload" }),
			onShrinkHeap: () => {
				pool.broadcast({ kind: "shrinkHeap" });
				trimMemory();
			},
			clock,
			logger,
		});
	const dns = new DnsResolver({ lookup: systemLookup, ttlOf: serverTtl, random, clock, logger, onHosts });
	return {
		abort,
		state,
		records: new ResourceRecords(),
		pool,
		store,
		outliers,
		health,
		overload,
		dns,
		extensionStats: new ExtensionStats(),
		loads: {},
		onDemand,
		refused,
	};
}

/** Where configuration comes from beside the bootstrap: DNS, secret files, the control plane. */
interface Sources {
	/** Looks at what is wanted and follows exactly that. */
	follow(): void;
	run(): void;
	reportHealth(problem: string | undefined): void;
}

async function connectSources(options: ServerOptions, { abort, dns, extensionStats, onDemand, pool, records, state, store }: Core): Promise<Sources> {
	const { clock, config, environment, logger, secretSources } = options;
	const nowMs = () => clock.nowMs();
	const files = followSecretFiles({
		sources: secretSources,
		store,
		records,
		environment,
		readsNamedFiles: options.secretsOverAds,
		logger,
		nowMs,
		signal: abort.signal,
	});
	let xds: XdsSource | undefined;
	const follow = () => {
		dns.follow(store.wanted.clusters.values());
		const stale = [...store.wanted.resolved.keys()].filter((name) => store.wanted.clusters.get(name)?.dns === undefined);
		if (stale.length > 0) void store.apply({ resolved: { upsert: [], remove: stale } });
		files.follow();
		const uses = [...store.wanted.listeners.values()].flatMap((listener) => referencesOfListener(listener).discovered);
		extensionStats.follow(uses, store.wanted.extensions);
		resources.follow();
		xds?.follow();
	};
	const onHostsAnswered = (present: readonly string[], absent: readonly string[]) => {
		pool.broadcast({ kind: "hostsAnswered", names: [...present, ...absent] });
		xds?.hostsAbsent(absent);
	};
	const apply = applyUpdates({ store, records, environment, extensionStats, nowMs, onWanted: follow, onHostsAnswered });
	const resources = followConfigFiles({ bootstrap: config.message, store, apply, readFile: environment.readFile, logger, signal: abort.signal });
	if (needsControlPlane(config, options)) {
		const staticSecrets = new Set(config.secrets.map(({ value }) => value.name));
		const { createXdsSource } = await import("./xds-source.ts");
		const created = createXdsSource({
			...options,
			grpc: await (options.grpc ?? createGrpcEnvironment({ ...options, transport: transportKind(process.env) })),
			bootstrap: config.message,
			node: nodeOf(options),
			store,
			targets: targetSources(config, store),
			wantsNames: options.onNames !== undefined,
			apply: async (update) => {
				const rejected = update.typeUrl === typeUrls.nds ? applyNames(update, options.onNames) : await apply(update);
				state.received(update.typeUrl);
				return rejected;
			},
			logger: logger.child("xds"),
			onConnection: (isConnected) => void (state.isControlPlaneConnected = isConnected),
			isStaticSecret: (name) => staticSecrets.has(name),
			extensionStats,
			onForgotten: (type, name) => records.remove(type, name),
		});
		if (typeof created === "string") throw new Error(created);
		xds = onDemand.source = created;
	}
	return { follow, run: () => void xds?.run(abort.signal), reportHealth: (problem) => xds?.reportHealth(problem) };
}

function applyNames({ resources }: XdsUpdate, onNames: ServerOptions["onNames"]): readonly RejectedResource[] {
	for (const { name, resource } of resources) {
		try {
			onNames?.(NameTable.decode(resource.value));
		} catch (error) {
			return [{ name, message: `undecodable: ${error instanceof Error ? error.message : String(error)}` }];
		}
	}
	return [];
}

/** Where the bootstrap says so: `cluster_manager.load_stats_config`. */
async function createLoadReporter(options: ServerOptions, core: Core): Promise<LoadReporter> {
	const { LoadReporter: Reporter } = await import("./load-reporter.ts");
	const { config, clock, random } = options;
	const { pool, store } = core;
	const environment = await (options.grpc ?? createGrpcEnvironment({ ...options, transport: transportKind(process.env) }));
	const service = config.message.clusterManager?.loadStatsConfig?.grpcServices[0];
	const target = () => resolveGrpcTarget(service, targetSources(config, store));
	const reporter = new Reporter({
		openChannel: () => {
			const found = target();
			return typeof found === "string" ? found : new GrpcChannel(found.target, environment);
		},
		metadata: () => {
			const found = target();
			return typeof found === "string" ? {} : found.metadata;
		},
		node: nodeOf(options),
		countHosts: async () => mergeHostCounts(await pool.countHosts()),
		clusterNames: () => store.clusterNames(),
		hostsOf: (name) => store.hostsOf(name),
		serviceNameOf: (name) => {
			const assignment = store.inForce.clusters.get(name)?.assignmentName;
			return assignment === undefined || assignment === name ? "" : assignment;
		},
		clock,
		random,
		logger: options.logger.child("lrs"),
	});
	core.loads.reporter = reporter;
	return reporter;
}

function targetSources(config: BootstrapConfig, store: ConfigStore): TargetSources {
	return {
		cluster: (name) => store.wanted.clusters.get(name) ?? config.clusters.find(({ value }) => value.cluster.name === name)?.value,
		secret: (name) => store.wanted.secrets.get(name),
		readFile: readFileSync,
	};
}

const vhdsFeature = "weft.xds.vhds";

/** What control planes ask about before they rely on it. */
const extensions = [
	{ name: "envoy.clusters.dynamic_forward_proxy", category: "envoy.clusters" },
	{ name: "envoy.filters.http.dynamic_forward_proxy", category: "envoy.filters.http" },
	{ name: "envoy.filters.network.sni_dynamic_forward_proxy", category: "envoy.filters.network" },
	{ name: "istio.alpn", category: "envoy.filters.http" },
	{ name: "istio.stats", category: "envoy.filters.http" },
	{ name: "istio.peer_metadata", category: "envoy.filters.http" },
];

function nodeOf({ config, version }: ServerOptions): Node {
	const { id, cluster } = config.node;
	// Virtual hosts one by one, from a Pilot that knows the word; to any other it says nothing.
	const clientFeatures = [...(config.message.node?.clientFeatures ?? []), vhdsFeature];
	return Node.fromPartial({ ...config.message.node, id, cluster, userAgentName: "weft-proxy", userAgentVersion: version, clientFeatures, extensions });
}

/** Names may take a while to resolve; beyond this the rest is served without what waits for them. */
const startTimeoutMs = 5_000;
const startPollMs = 5;
const readyPollMs = 100;

async function until(isTrue: () => boolean, pollMs: number, clock: Clock, signal: AbortSignal): Promise<void> {
	while (!isTrue() && !signal.aborted) await clock.sleep(pollMs, signal);
}

/** Endpoints, routes and secrets follow clusters and listeners within that. */
const settleMs = 3_000;

/** What the control plane sends first is all of it, and takes as much room to read as the bootstrap does. */
async function trimOnceConfigured(state: ServerState, clock: Clock, signal: AbortSignal): Promise<void> {
	await until(() => state.live === "LIVE", readyPollMs, clock, signal);
	await clock.sleep(settleMs, signal);
	if (!signal.aborted) trimMemory();
}

function needsControlPlane({ message }: BootstrapConfig, { secretSources }: ServerOptions): boolean {
	const { adsConfig, cdsConfig, ldsConfig } = message.dynamicResources ?? {};
	const isAsked = [cdsConfig, ldsConfig].some((source) => source !== undefined && fileOfSource(source) === undefined);
	return adsConfig !== undefined || isAsked || [...secretSources.values()].some((source) => source?.apiConfigSource !== undefined);
}

/** What all workers count in. */
interface SharedMemory {
	readonly shared: SharedArrayBuffer;
	readonly buckets: SharedArrayBuffer;
	readonly overload: SharedArrayBuffer | undefined;
	readonly balance: WorkerInit["balance"];
}

function workerInit(
	{ config, concurrency, logLevel, accessLogFlushMs = accessLogFlushMsDefault }: ServerOptions,
	workerIndex: number,
	{ shared, buckets, overload, balance }: SharedMemory,
): WorkerInit {
	return {
		kind: "init",
		workerIndex,
		workers: concurrency,
		node: config.node,
		shared,
		buckets,
		balance,
		overload: overload && {
			buffer: overload,
			timers: config.overload?.actions.flatMap(({ timers }) => timers) ?? [],
			shedPoints: config.overload?.shedPoints.map(({ name }) => name) ?? [],
			connectionsMax: config.overload?.connectionsMax,
		},
		accessLogFlushMs,
		options: {
			transport: transportKind(process.env),
			logLevel,
			reusePort: concurrency > 1,
			localCluster: config.localCluster,
			histogramBounds: config.stats.config.histogramBounds,
			serverName: "envoy",
		},
	};
}

function staticChange(config: BootstrapConfig, own: readonly Secret[]) {
	const all = <T>(resources: readonly { readonly value: T }[]) => ({ upsert: resources.map(({ value }) => value), remove: [] });
	return {
		listeners: all(config.listeners),
		clusters: all(config.clusters),
		secrets: { upsert: [...config.secrets.map(({ value }) => value), ...own], remove: [] },
	};
}

function recordStatic(records: ResourceRecords, config: BootstrapConfig, nowMs: number): void {
	for (const { message } of config.listeners) records.set("lds", staticRecord("lds", message.name, Listener.encode(message).finish(), nowMs));
	for (const { message } of config.clusters) records.set("cds", staticRecord("cds", message.name, Cluster.encode(message).finish(), nowMs));
	for (const { message } of config.secrets) records.set("sds", staticRecord("sds", message.name, SecretMessage.encode(message).finish(), nowMs));
}

function adminContext(options: ServerOptions, { pool, store, records, state, outliers, health, overload, extensionStats, loads }: Core): AdminContext {
	const { message, node, stats } = options.config;
	const { clock, logger, version, concurrency, onQuit } = options;
	const bootstrap = Bootstrap.encode(message).finish();
	const statsView = compileStatsView(stats.config).value;
	const core = { pool, store, records, state, outliers, health, overload, extensionStats, loads };
	return { ...core, bootstrap, node, statsView, version, concurrency, clock, logger, onQuit };
}
