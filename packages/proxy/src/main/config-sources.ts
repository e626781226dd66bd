import { typeUrls } from "@weft/xds";
import { resourceKey } from "../config/resource-source.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import { namesInTables, tablesOf } from "./discovered-hosts.ts";
import { FetchWaits, timerMsMax } from "./fetch-waits.ts";
import { followSecretFiles } from "./file-secrets.ts";
import { followConfigFiles } from "./file-source.ts";
import { Forgetting } from "./forgotten.ts";
import { ManagementServers } from "./management-servers.ts";
import { referencesOfListener } from "./references.ts";
import { applyRuntime } from "./runtime/runtime-discovery.ts";
import type { Core } from "./server-core.ts";
import type { ServerOptions } from "./server-options.ts";
import { scopePrefixes, wantedNames } from "./wanted-names.ts";
import { applyUpdates } from "./xds-updates.ts";

/** Where configuration comes from beside the bootstrap: DNS, files, management servers. */
export interface Sources {
	/** Looks at what is wanted and follows exactly that. */
	follow(): void;
	run(): void;
	reportHealth(problem: string | undefined): void;
}

export async function connectSources(options: ServerOptions, core: Core): Promise<Sources> {
	const { abort, extensionStats, onDemand, pool, records, runtime, scopeStats, state, store } = core;
	const { clock, config, logger } = options;
	const environment = { ...options.environment, managementClusters: config.managementClusters };
	const nowMs = () => clock.nowMs();
	const inFiles = { store, records, environment, logger, nowMs, signal: abort.signal };
	const isOwn = ownSecrets(options);
	const secretFiles = followSecretFiles({ ...inFiles, readsNamedFiles: options.secretsOverAds });
	const forgetting = new Forgetting(store, records);
	const waits = createWaits(options, core, isOwn);
	const isFetched = (table: string) => onDemand.source?.isFetched(table) === true;
	const follow = () => {
		followHosts(core);
		const names = wantedNames(store.wanted, isFetched);
		forgetting.follow(names, isOwn);
		secretFiles.follow(names.sds);
		extensionStats.follow(
			[...store.wanted.listeners.values()].flatMap((listener) => referencesOfListener(listener).discovered),
			store.wanted.extensions,
		);
		scopeStats.follow(scopePrefixes(store.wanted), store.wanted.scopes?.values() ?? [], isFetched);
		servers.follow(names);
		waits.follow(names);
		// Last: what is read asks for more at once.
		resources.follow(names);
	};
	const onAnswered = (what: WantedKind, keys: readonly string[]) => {
		const names = what === "host" ? namesInTables(keys, tablesOf(store.wanted)) : keys;
		if (names.length > 0) pool.broadcast({ kind: "answered", what, names });
	};
	const onAbsent = (what: WantedKind, keys: readonly string[]) => onDemand.source?.absent(what, keys);
	const apply = applyRuntime(applyUpdates({ store, records, environment, extensionStats, scopeStats, nowMs, onWanted: follow, onAnswered, onAbsent }), runtime);
	let areClustersHere = false;
	const resources = followConfigFiles({
		...inFiles,
		dynamic: config.dynamic,
		runtime: config.runtime,
		apply,
		takesListeners: () => areClustersHere,
		onRefused(type, names, file) {
			if (type === "rtds") for (const name of names ?? []) runtime.giveUp(name, file);
		},
	});
	const servers = new ManagementServers({ options, core, apply, follow, onAnswered, isOwn });
	await servers.connectIfNamed();
	state.whenHeard(typeUrls.cds, () => (areClustersHere = true));
	const run = () => {
		if (!areClustersHere) state.whenHeard(typeUrls.cds, follow);
		servers.run();
		waitForFirst(options, core, "cds");
		state.whenHeard(typeUrls.cds, () => waitForFirst(options, core, "lds"));
	};
	return { follow, run, reportHealth: (problem) => onDemand.source?.reportHealth(problem) };
}

/** Names of hosts are resolved while a cluster has them. */
function followHosts({ dns, store }: Core): void {
	dns.follow(store.wanted.clusters.values());
	const stale = [...store.wanted.resolved.keys()].filter((name) => store.wanted.clusters.get(name)?.dns === undefined);
	if (stale.length > 0) void store.apply({ resolved: { upsert: [], remove: stale } });
}

/** Secrets that this process has itself, by their keys: never asked for. */
function ownSecrets({ config, ownSecrets }: ServerOptions): (key: string) => boolean {
	const inBootstrap = new Set(config.secrets.map(({ value }) => value.name));
	return (key) => ownSecrets.has(key) || inBootstrap.has(key);
}

function createWaits({ logger }: ServerOptions, { abort, extensionStats, scopeStats, store }: Core, isOwn: (key: string) => boolean): FetchWaits {
	const { assignments, extensions, routes, secrets, virtualHosts } = store.wanted;
	const held = { eds: assignments, rds: routes, vhds: virtualHosts, sds: secrets, ecds: extensions };
	const waits = new FetchWaits({
		logger,
		isThere: (type, key) => (type === "srds" ? store.wanted.scopes !== undefined : held[type].has(key)),
		isAsked: (type, { name, source }) => source?.kind !== "file" && (type !== "sds" || !isOwn(resourceKey(name, source))),
		onTimeout(type, key, name) {
			if (type === "ecds") extensionStats.count(name, "init_fetch_timeout");
			if (type === "srds") scopeStats.count("init_fetch_timeout");
			void store.apply({ expired: [`${type}:${key}`] });
		},
	});
	abort.signal.addEventListener("abort", () => waits.stop());
	return waits;
}

/** The server is ready without clusters and listeners of which nothing was heard in time. */
function waitForFirst({ config }: ServerOptions, { abort, state }: Core, type: "cds" | "lds"): void {
	const timeoutMs = config.dynamic[type]?.initialFetchTimeoutMs ?? 0;
	if (timeoutMs === 0) return;
	const timer = setTimeout(() => state.giveUp(typeUrls[type]), Math.min(timeoutMs, timerMsMax));
	timer.unref();
	abort.signal.addEventListener("abort", () => clearTimeout(timer));
}
