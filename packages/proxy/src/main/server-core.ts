import { randomUUID } from "node:crypto";
import { typeUrls } from "@weft/xds";
import type { ClusterHosts } from "../config/hosts.ts";
import { createOverloadBuffer } from "../config/overload.ts";
import type { ConfigUpdate } from "../config/runtime-config.ts";
import { workerLoggers } from "../config/loggers.ts";
import { createBalanceBuffer, markWorker } from "../config/shared-balance.ts";
import { createBucketBuffer } from "../config/shared-buckets.ts";
import { RuntimeValues } from "../config/runtime-values.ts";
import { createSlotAllocator, viewSharedWords } from "../config/shared-state.ts";
import type { FromWorker, ResourceError, WantedKind } from "../config/worker-messages.ts";
import { serverTtl, systemLookup } from "../data/dns/lookup.ts";
import { trimMemory } from "../data/worker/heap-memory.ts";
import { ConfigStore } from "./config-store.ts";
import { DnsResolver } from "./dns.ts";
import { ExtensionStats } from "./extension-stats.ts";
import { HealthManager } from "./health/health-manager.ts";
import type { LoadReporter } from "./load-reporter.ts";
import { setComponentLevels } from "./loggers.ts";
import { OutlierManager } from "./outlier-manager.ts";
import { OverloadManager } from "./overload/overload-manager.ts";
import { ResourceRecords } from "./resource-records.ts";
import { RuntimeLoader } from "./runtime/runtime-loader.ts";
import { ScopeStats } from "./scope-stats.ts";
import type { ServerOptions } from "./server-options.ts";
import { ServerState } from "./server-state.ts";
import { workerInit } from "./worker-init.ts";
import { WorkerPool } from "./worker-pool.ts";
import { spawnWorkerThread } from "./worker-thread.ts";
import type { XdsSource } from "./xds-source.ts";

/** The long-lived parts, wired to each other. */
export interface Core {
	readonly abort: AbortController;
	readonly state: ServerState;
	readonly records: ResourceRecords;
	readonly pool: WorkerPool;
	readonly store: ConfigStore;
	readonly outliers: OutlierManager;
	readonly health: HealthManager;
	/** undefined: the bootstrap has none. */
	readonly overload: OverloadManager | undefined;
	readonly runtime: RuntimeLoader;
	readonly dns: DnsResolver;
	readonly extensionStats: ExtensionStats;
	readonly scopeStats: ScopeStats;
	/** Filled in where loads are reported. */
	readonly loads: { reporter?: LoadReporter };
	/** Filled in where there is a management server. */
	readonly onDemand: { source?: XdsSource };
	/** Listeners of the static configuration that a worker could not open. */
	readonly refused: readonly ResourceError[];
}

export function createCore(options: ServerOptions): Core {
	const { config, clock, logger, random } = options;
	const allocator = createSlotAllocator();
	const onDemand: { source?: XdsSource } = {};
	const expected = (["cds", "lds"] as const).filter((type) => config.dynamic[type] !== undefined && config.dynamic[type].kind !== "file");
	const state = new ServerState({ startedMs: clock.nowMs(), expected: expected.map((type) => typeUrls[type]) });
	const buckets = createBucketBuffer();
	const overloadBuffer = config.overload && createOverloadBuffer(options.concurrency);
	const balance = options.concurrency > 1 ? { id: randomUUID(), workers: options.concurrency, counts: createBalanceBuffer(options.concurrency) } : undefined;
	const shared = { shared: allocator.buffer, buckets, overload: overloadBuffer, balance };
	setLevels(options);
	const pool = new WorkerPool({
		count: options.concurrency,
		onDemand: options.workersOnDemand === true,
		spawn: (index, events) => {
			const exit = (reason: string) => {
				if (balance !== undefined) markWorker(balance.counts, balance.workers, index, false);
				events.exit(reason);
			};
			return (options.spawn ?? spawnWorkerThread)(workerInit(options, index, shared), { ...events, exit });
		},
		join: (begin) => store.join(begin),
		clock,
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
	const values = new RuntimeValues();
	const runtime = new RuntimeLoader({
		layers: config.runtime,
		values,
		publish: (state) => void store.apply({ runtime: state }),
		logger: logger.child("runtime"),
	});
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
			runtime: values,
			logger,
		},
		abort.signal,
	);
	const store = new ConfigStore({ send, allocator, health, onCommitted: () => onDemand.source?.settle(), logger });
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
	const want = (what: WantedKind, name: string) => {
		if (onDemand.source?.want(what, name) !== true) pool.broadcast({ kind: "answered", what, names: [name] });
	};
	const receive = (message: FromWorker) => {
		if (message.kind === "eject") outliers.eject(message);
		else if (message.kind === "immediateFail") health.failImmediately(message.cluster, message.hostSlot);
		else if (message.kind === "want") want(message.what, message.name);
		else if (message.kind === "listening") state.listening(message.listener, message.address);
		else if (message.kind === "listenerError") logger.error("listener could not be opened", { listener: message.listener, error: message.message });
	};
	const overload = overloadBuffer && createOverload(options, overloadBuffer, pool);
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
		runtime,
		dns,
		extensionStats: new ExtensionStats(),
		scopeStats: new ScopeStats(),
		loads: {},
		onDemand,
		refused,
	};
}

/** What every injected pod says, and Envoy has: to be told of it would help nobody. */
const envoysAlone = "misc";

function setLevels({ logger, logLevel, componentLevels = new Map() }: ServerOptions): void {
	for (const name of workerLoggers) if (name !== "main") logger.child(name).level = logLevel;
	const unknown = setComponentLevels(logger, componentLevels).filter((name) => name !== envoysAlone);
	if (unknown.length > 0) logger.warn("there are no such loggers to set a level of", { loggers: unknown.join(",") });
}

function createOverload({ clock, config, environment, logger }: ServerOptions, buffer: SharedArrayBuffer, pool: WorkerPool): OverloadManager | undefined {
	return (
		config.overload &&
		new OverloadManager({
			config: config.overload,
			buffer,
			readFile: environment.readFile,
			memoryBytes: () => process.memoryUsage.rss(),
			onChange: () => pool.broadcast({ kind: "overload" }),
			onShrinkHeap: () => {
				pool.broadcast({ kind: "shrinkHeap" });
				trimMemory();
			},
			clock,
			logger,
		})
	);
}
