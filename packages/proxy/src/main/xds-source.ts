import type { Clock, Logger } from "@weft/runtime";
import { typeUrls } from "@weft/xds";
import { type ApplyUpdate, createXdsClient, openXdsStream, type XdsClient } from "@weft/xds/client";
import { type ApiConfigSource, ApiConfigSource_ApiType, type ConfigSource } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import type { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import type { CallHeaders } from "../agent/agent-variables.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import { endpointText } from "../grpc/target.ts";
import { openXdsBytes } from "../grpc/xds-stream.ts";
import type { ExtensionStats } from "./extension-stats.ts";
import type { ConfigStore } from "./config-store.ts";
import { tableOfHost } from "./discovered-hosts.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import { fileOfSource } from "../config/decode/config-source.ts";
import { OnDemand } from "./on-demand.ts";
import { resolveGrpcTarget, type TargetSources } from "./grpc-target.ts";
import { parseNamedFiles } from "./named-files.ts";
import type { ScopeStats } from "./scope-stats.ts";
import { applyBootstrapPatch, type OnBootstrapPatch } from "./bootstrap-patch.ts";
import { applyTrustRoots, type OnTrustRoots } from "./trust-updates.ts";
import { referencesOfCluster, referencesOfExtension, referencesOfListener } from "./references.ts";

export interface XdsSourceOptions {
	readonly bootstrap: Bootstrap;
	readonly node: Node;
	readonly store: ConfigStore;
	readonly targets: TargetSources;
	readonly grpc: GrpcEnvironment;
	readonly apply: ApplyUpdate;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	/** Where each secret comes from, by its name. */
	readonly secretSources: ReadonlyMap<string, ConfigSource | undefined>;
	/** Secrets that this process has itself: never asked for. */
	readonly ownSecrets: ReadonlySet<string>;
	/** Endpoints, routes or secrets that nothing refers to any more, and that are given up. */
	readonly onForgotten: (type: "eds" | "rds" | "vhds" | "srds" | "sds" | "ecds", name: string) => void;
	/** Whoever waits for these goes on: they are in force, or do not exist. */
	readonly onAnswered: (what: WantedKind, names: readonly string[]) => void;
	readonly extensionStats: ExtensionStats;
	readonly scopeStats: ScopeStats;
	/** Of the ADS stream. */
	readonly onConnection: (isConnected: boolean) => void;
	readonly isStaticSecret: (name: string) => boolean;
	/** In the sidecar, secrets that the agent's socket would give come over ADS. */
	readonly secretsOverAds: boolean;
	/** Is the table of names wanted, by which the application's DNS queries are answered? */
	readonly wantsNames: boolean;
	/** Asks the control plane for the trusted roots, and takes them. */
	readonly onTrustRoots?: OnTrustRoots;
	/** Asks the control plane what it lays over the bootstrap, which was asked for before the start, too. */
	readonly onBootstrapPatch?: OnBootstrapPatch;
	/** Goes with the ADS stream, beside what the bootstrap says; not in the bootstrap, which anybody at the admin interface may read. */
	readonly xdsHeaders?: CallHeaders;
}

const deltaApis = new Set<number>([ApiConfigSource_ApiType.DELTA_GRPC, ApiConfigSource_ApiType.AGGREGATED_DELTA_GRPC]);
const grpcApis = new Set<number>([...deltaApis, ApiConfigSource_ApiType.GRPC, ApiConfigSource_ApiType.AGGREGATED_GRPC]);
const typesWaiting = ["eds", "rds", "vhds", "srds", "sds", "ecds"] as const;
/** How long a listener waits for a route table, as Envoy's initial_fetch_timeout. */
const fetchTimeoutMs = 15_000;

/** The control plane, as the bootstrap names it: one ADS stream, and one stream a secret server. */
export class XdsSource {
	readonly #options: XdsSourceOptions;
	readonly #ads: XdsClient | undefined;
	/** What somebody asked for by name. */
	readonly #onDemand: OnDemand;
	#namesClusters = false;
	#asksForScopes = false;
	readonly #secretClients = new Map<string, XdsClient>();
	readonly #waits = new Map<string, NodeJS.Timeout>();
	/** Secrets that were ever asked of the control plane and are not forgotten. */
	readonly #overAds = new Set<string>();
	#signal: AbortSignal | undefined;

	constructor(options: XdsSourceOptions, ads: XdsClient | undefined) {
		this.#options = options;
		this.#ads = ads;
		this.#onDemand = new OnDemand({ ...options, ads, follow: () => this.follow() });
	}

	async run(signal: AbortSignal): Promise<void> {
		this.#signal = signal;
		this.follow();
		await this.#ads?.run(signal);
		for (const timer of this.#waits.values()) clearTimeout(timer);
	}

	/** Tells the control plane of the workload's health: undefined is healthy, else why not. */
	reportHealth(problem: string | undefined): void {
		this.#ads?.reportHealth(problem);
	}

	/** Somebody waits for this. False: it is in force, or cannot be asked for. */
	want(what: WantedKind, name: string): boolean {
		return this.#onDemand.want(what, name);
	}

	/** They do not exist: whoever waits goes on without, and the next who wants them asks anew. */
	absent(what: WantedKind, names: readonly string[]): void {
		this.#onDemand.absent(what, names);
	}

	/** Something came into force: whoever waited for it goes on. */
	settle(): void {
		this.#onDemand.settle();
	}

	/** Asks for exactly what the wanted clusters and listeners refer to. */
	follow(): void {
		const { wanted } = this.#options.store;
		const eds = new Map<string, number>();
		const rds = new Set<string>();
		const secrets = new Set<string>();
		const fromFiles = { eds: new Set<string>(), rds: new Set<string>() };
		for (const { cluster, assignmentFile, assignmentName, initialFetchTimeoutMs } of wanted.clusters.values()) {
			if (assignmentName !== undefined && assignmentFile !== undefined) fromFiles.eds.add(assignmentName);
			else if (assignmentName !== undefined) eds.set(assignmentName, initialFetchTimeoutMs);
			for (const name of referencesOfCluster(cluster).secrets) secrets.add(name);
		}
		for (const listener of wanted.listeners.values()) {
			const references = referencesOfListener(listener);
			for (const name of references.routes) (references.routeFiles.has(name) ? fromFiles.rds : rds).add(name);
			for (const name of references.secrets) secrets.add(name);
		}
		for (const extension of wanted.extensions.values()) {
			const references = referencesOfExtension(extension);
			for (const name of references.routes) (references.routeFiles.has(name) ? fromFiles.rds : rds).add(name);
		}
		this.#followScopes(rds);
		this.#ads?.subscribe(typeUrls.eds, [...eds.keys()]);
		this.#ads?.subscribe(typeUrls.rds, [...rds]);
		const vhds = new Set([...rds].filter((name) => wanted.routes.get(name)?.vhds));
		const { host } = this.#onDemand.names;
		host.forget([...host.names].filter((name) => !vhds.has(tableOfHost(name))));
		this.#ads?.subscribe(typeUrls.vhds, [...vhds, ...host.names]);
		this.#followClusters();
		this.#forget(new Set([...eds.keys(), ...fromFiles.eds]), new Set([...rds, ...fromFiles.rds]), vhds);
		this.#followSecrets(secrets);
		this.#followExtensions();
		const { assignments, routes, virtualHosts } = wanted;
		this.#wait("eds", eds, (name) => assignments.has(name));
		const own = [...secrets].filter((name) => !this.#options.ownSecrets.has(name) && !this.#options.isStaticSecret(name));
		this.#wait("sds", new Map(own.map((name) => [name, fetchTimeoutMs])), (name) => wanted.secrets.has(name));
		this.#wait("rds", new Map([...rds].map((name) => [name, fetchTimeoutMs])), (name) => routes.has(name));
		this.#wait("vhds", new Map([...vhds].map((name) => [name, fetchTimeoutMs])), (name) => virtualHosts.has(name));
	}

	/** Scopes: all there are, where a listener asks for any; and the tables that they name, unless they are fetched on demand and nobody did. */
	#followScopes(rds: Set<string>): void {
		const { onForgotten, scopeStats, store } = this.#options;
		const { extensions, listeners, scopes } = store.wanted;
		const references = [...[...listeners.values()].map(referencesOfListener), ...[...extensions.values()].map(referencesOfExtension)];
		const prefixes = new Set(references.flatMap((one) => [...one.scopes]));
		const isAsked = prefixes.size > 0;
		if (isAsked || this.#asksForScopes) this.#ads?.subscribe(typeUrls.srds, isAsked ? "*" : []);
		this.#asksForScopes = isAsked;
		if (!isAsked && scopes !== undefined) {
			for (const name of scopes.keys()) onForgotten("srds", name);
			void store.apply({ forgetsScopes: true, awaited: ["srds:*"] });
		}
		if (!isAsked) {
			clearTimeout(this.#waits.get("srds:*"));
			this.#waits.delete("srds:*");
		}
		const { routes } = this.#onDemand.names;
		const named = new Set<string>();
		for (const scope of isAsked ? (scopes?.values() ?? []) : []) {
			if (scope.routes.kind !== "rds") continue;
			named.add(scope.routes.name);
			if (!scope.onDemand) rds.add(scope.routes.name);
		}
		routes.forget([...routes.names].filter((name) => !named.has(name)));
		for (const name of routes.names) rds.add(name);
		scopeStats.follow(prefixes, scopes?.values() ?? [], (table) => routes.has(table));
		this.#wait("srds", new Map(isAsked ? [["*", fetchTimeoutMs]] : []), () => scopes !== undefined);
	}

	/** All that the control plane has for this node, where the bootstrap says so, and what somebody asked for by name. */
	#followClusters(): void {
		const names = [...this.#onDemand.names.cluster.names];
		const isWildcard = this.#options.bootstrap.dynamicResources?.cdsConfig?.ads !== undefined;
		if (names.length > 0) this.#namesClusters = true;
		// Beside names, all has to be named, too.
		if (isWildcard) this.#ads?.subscribe(typeUrls.cds, this.#namesClusters ? ["*", ...names] : "*");
		else if (this.#namesClusters) this.#ads?.subscribe(typeUrls.cds, names);
	}

	// Endpoints and routes go with what refers to them; the protocol has no removal of its own for them in state of the world.
	#forget(eds: ReadonlySet<string>, rds: ReadonlySet<string>, vhds: ReadonlySet<string>): void {
		const { onForgotten, store } = this.#options;
		const assignments = [...store.wanted.assignments.keys()].filter((name) => !eds.has(name));
		const routes = [...store.wanted.routes.keys()].filter((name) => !rds.has(name));
		for (const name of assignments) onForgotten("eds", name);
		for (const name of routes) onForgotten("rds", name);
		const forgottenTables = [...store.wanted.virtualHosts.keys()].filter((name) => !vhds.has(name));
		for (const table of forgottenTables) for (const name of store.wanted.virtualHosts.get(table)?.keys() ?? []) onForgotten("vhds", name);
		if (assignments.length + routes.length + forgottenTables.length > 0)
			void store.apply({ assignments: { upsert: [], remove: assignments }, routes: { upsert: [], remove: routes }, forgottenTables });
	}

	/** Configurations of filters: asked for while a listener has the filter, and kept as long as one in force does. */
	#followExtensions(): void {
		const { onForgotten, store } = this.#options;
		const overAds = new Map<string, number>();
		const all = new Set<string>();
		for (const listener of store.wanted.listeners.values()) {
			for (const { name, discovery } of referencesOfListener(listener).discovered) {
				all.add(name);
				if (discovery.file === undefined) overAds.set(name, discovery.initialFetchTimeoutMs);
			}
		}
		this.#ads?.subscribe(typeUrls.ecds, [...overAds.keys()]);
		const gone = [...store.wanted.extensions.keys()].filter((name) => !all.has(name));
		const unheard = [...store.wanted.expired].filter((key) => key.startsWith("ecds:") && !all.has(key.slice("ecds:".length)));
		for (const name of gone) onForgotten("ecds", name);
		if (gone.length + unheard.length > 0) void store.apply({ extensions: { upsert: [], remove: gone }, awaited: unheard });
		this.#wait("ecds", overAds, (name) => store.wanted.extensions.has(name));
	}

	/** Starts a timer for each name that is missing; when it fires, what waits is served without. 0: waits for ever. */
	#wait(type: (typeof typesWaiting)[number], names: ReadonlyMap<string, number>, isThere: (name: string) => boolean): void {
		for (const [name, timeoutMs] of names) {
			const key = `${type}:${name}`;
			if (isThere(name)) {
				clearTimeout(this.#waits.get(key));
				continue;
			}
			if (timeoutMs === 0 || this.#waits.has(key) || this.#signal?.aborted) continue;
			const timer = setTimeout(() => {
				this.#options.logger.warn("initial fetch timed out", { type, name });
				if (type === "ecds") this.#options.extensionStats.count(name, "init_fetch_timeout");
				if (type === "srds") this.#options.scopeStats.count("init_fetch_timeout");
				void this.#options.store.apply({ expired: [key] });
			}, timeoutMs);
			timer.unref();
			this.#waits.set(key, timer);
		}
	}

	#followSecrets(names: ReadonlySet<string>): void {
		const { secretSources, ownSecrets, isStaticSecret, secretsOverAds } = this.#options;
		const overAds: string[] = [];
		const byServer = new Map<string, { source: ApiConfigSource; names: string[] }>();
		for (const name of names) {
			if (ownSecrets.has(name) || isStaticSecret(name) || (secretsOverAds && parseNamedFiles(name))) continue;
			const source = secretSources.get(name);
			const api = source?.apiConfigSource;
			if (api === undefined || secretsOverAds) overAds.push(name);
			else {
				const key = JSON.stringify(api.grpcServices[0]?.envoyGrpc?.clusterName ?? api.grpcServices[0]?.googleGrpc?.targetUri ?? "");
				const group = byServer.get(key) ?? { source: api, names: [] };
				group.names.push(name);
				byServer.set(key, group);
			}
		}
		this.#ads?.subscribe(typeUrls.sds, overAds);
		this.#forgetSecrets(new Set(overAds));
		for (const [key, group] of byServer) this.#secretClient(key, group.source)?.subscribe(typeUrls.sds, group.names);
	}

	/** Keys of the control plane's secrets are not kept longer than something in force uses them. */
	#forgetSecrets(wanted: ReadonlySet<string>): void {
		const { store, onForgotten } = this.#options;
		for (const name of wanted) this.#overAds.add(name);
		if ([...this.#overAds].every((name) => wanted.has(name))) return;
		const { clusters, listeners } = store.inForce;
		const used = new Set([
			...[...listeners.values()].flatMap((listener) => [...referencesOfListener(listener).secrets]),
			...[...clusters.values()].flatMap(({ cluster }) => [...referencesOfCluster(cluster).secrets]),
		]);
		const gone = [...this.#overAds].filter((name) => !wanted.has(name) && !used.has(name));
		if (gone.length === 0) return;
		for (const name of gone) {
			this.#overAds.delete(name);
			onForgotten("sds", name);
		}
		void store.apply({ secrets: { upsert: [], remove: gone } });
	}

	#secretClient(key: string, source: ApiConfigSource): XdsClient | undefined {
		const known = this.#secretClients.get(key);
		if (known || this.#signal === undefined) return known;
		const client = createClient(source, "secrets", { ...this.#options, onConnection: () => {} });
		if (typeof client === "string") {
			this.#options.logger.error("secrets cannot be fetched", { error: client });
			return undefined;
		}
		this.#secretClients.set(key, client);
		void client.run(this.#signal);
		return client;
	}
}

/** An error is a text: what the bootstrap asks for and is not to be had. */
export function createXdsSource(options: XdsSourceOptions): XdsSource | string {
	const dynamic = options.bootstrap.dynamicResources;
	for (const [name, source] of Object.entries({ lds_config: dynamic?.ldsConfig, cds_config: dynamic?.cdsConfig })) {
		if (source !== undefined && source.ads === undefined && fileOfSource(source) === undefined)
			return `dynamic_resources.${name}: only ads and path_config_source are implemented`;
	}
	if (dynamic?.adsConfig === undefined) {
		return dynamic?.ldsConfig?.ads || dynamic?.cdsConfig?.ads ? "dynamic_resources: ads without ads_config" : new XdsSource(options, undefined);
	}
	const { onBootstrapPatch, onTrustRoots } = options;
	const trusting = onTrustRoots ? applyTrustRoots(options.apply, onTrustRoots) : options.apply;
	const apply = onBootstrapPatch ? applyBootstrapPatch(trusting, onBootstrapPatch) : trusting;
	const ads = createAdsClient(dynamic.adsConfig, { ...options, apply });
	if (typeof ads === "string") return `dynamic_resources.ads_config: ${ads}`;
	if (onBootstrapPatch) ads.subscribe(typeUrls.bootstrap, "*");
	if (onTrustRoots) ads.subscribe(typeUrls.pcds, "*");
	if (dynamic.ldsConfig?.ads) ads.subscribe(typeUrls.lds, "*");
	if (options.wantsNames) ads.subscribe(typeUrls.nds, "*");
	return new XdsSource(options, ads);
}

function createAdsClient(api: ApiConfigSource, options: XdsSourceOptions): XdsClient | string {
	if (!grpcApis.has(api.apiType)) return "only GRPC and DELTA_GRPC are implemented";
	return createClient(api, deltaApis.has(api.apiType) ? "delta" : "sotw", options, options.xdsHeaders);
}

function createClient(api: ApiConfigSource, kind: "delta" | "sotw" | "secrets", options: XdsSourceOptions, headers: CallHeaders = {}): XdsClient | string {
	const service = resolveGrpcTarget(api.grpcServices[0], options.targets);
	if (typeof service === "string") return service;
	const open = openXdsStream(kind, openXdsBytes(service.target, { ...headers, ...service.metadata }, options.grpc));
	return createXdsClient({ ...options, mode: kind === "delta" ? "delta" : "sotw", open, server: service.target.endpoints.map(endpointText).join(",") });
}
