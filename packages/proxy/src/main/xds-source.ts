import type { Clock, Logger } from "@weft/runtime";
import { fromJson, typeUrls } from "@weft/xds";
import { type ApplyUpdate, createXdsClient, type DiscoveryService, openXdsStream, type OwnServiceType, paceRequests, type XdsClient } from "@weft/xds/client";
import type { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { type ApiConfigSource, ApiConfigSource_ApiType } from "@weft/xds/generated/envoy/config/core/v3/config_source.ts";
import { GrpcService } from "@weft/xds/generated/envoy/config/core/v3/grpc_service.ts";
import type { CallHeaders } from "../agent/agent-variables.ts";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import { decodeRequestRate } from "../config/decode/config-source.ts";
import { keyOf, type ResourceReference, type StreamSource } from "../config/resource-source.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import type { GrpcEnvironment } from "../grpc/environment.ts";
import { endpointText } from "../grpc/target.ts";
import { openXdsBytes } from "../grpc/xds-stream.ts";
import { applyBootstrapPatch, type OnBootstrapPatch } from "./bootstrap-patch.ts";
import type { ConfigStore } from "./config-store.ts";
import { tableOfHost, tablesOf } from "./discovered-hosts.ts";
import { type AskedOfSource, DiscoveryStreams } from "./discovery-streams.ts";
import { OnDemand } from "./on-demand.ts";
import { resolveGrpcTarget, type TargetSources } from "./grpc-target.ts";
import { applyTrustRoots, type OnTrustRoots } from "./trust-updates.ts";
import { type NamedType, type WantedNames, wantedNames } from "./wanted-names.ts";
import type { ApplyFrom } from "./xds-updates.ts";

export interface XdsSourceOptions {
	readonly config: BootstrapConfig;
	readonly node: Node;
	readonly store: ConfigStore;
	readonly targets: TargetSources;
	readonly grpc: GrpcEnvironment;
	readonly apply: ApplyFrom;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	/** Is it to be asked for over ADS, as all that is in no file and comes by no other stream? */
	readonly isOfAds: (type: NamedType, reference: ResourceReference) => boolean;
	/** Calls back once the clusters that come from elsewhere are there, or are waited for no longer. */
	readonly whenClustersCame: (callback: () => void) => void;
	/** Has everything follow what is wanted. */
	readonly follow: () => void;
	/** Whoever waits for these goes on: they are in force, or do not exist. */
	readonly onAnswered: (what: WantedKind, names: readonly string[]) => void;
	/** Of those that carry clusters and listeners. */
	readonly onConnection: (stream: "ads" | "cds" | "lds", isConnected: boolean) => void;
	/** Is the table of names wanted, by which the application's DNS queries are answered? */
	readonly wantsNames: boolean;
	/** Asks the control plane for the trusted roots, and takes them. */
	readonly onTrustRoots?: OnTrustRoots;
	/** Asks the control plane what it lays over the bootstrap, which was asked for before the start, too. */
	readonly onBootstrapPatch?: OnBootstrapPatch;
	/** Goes with the ADS stream, beside what the bootstrap says; not in the bootstrap, which anybody at the admin interface may read. */
	readonly xdsHeaders?: CallHeaders;
}

/** In the order in which a proxy comes up. */
const byName = ["eds", "rds", "vhds", "sds", "ecds"] as const;

/** Management servers: the ADS stream that the bootstrap names, and streams of their own for what comes from elsewhere. */
export class XdsSource {
	readonly #options: XdsSourceOptions;
	readonly #ads: XdsClient | undefined;
	/** What somebody asked for by name. */
	readonly #onDemand: OnDemand;
	#namesClusters = false;
	#asksForScopes = false;
	#streams: DiscoveryStreams | undefined;

	constructor(options: XdsSourceOptions, ads: XdsClient | undefined) {
		this.#options = options;
		this.#ads = ads;
		this.#onDemand = new OnDemand({ ...options, ads, askAgain: (what, key) => this.#askAgain(what, key) });
	}

	run(signal: AbortSignal): void {
		const { config, logger, store, whenClustersCame } = this.#options;
		this.#streams = new DiscoveryStreams({ createClient: (type, source) => this.#createClient(type, source), logger }, signal);
		if (config.dynamic.cds?.kind === "stream") this.#streams.follow("cds", [{ source: config.dynamic.cds, names: "*" }]);
		this.#askForRuntime();
		// Listeners that come before the clusters that they name are refused. On one stream the server sees to the order.
		if (config.dynamic.cds?.kind === "ads" && config.dynamic.lds?.kind === "ads") this.#askForListeners();
		else whenClustersCame(() => this.#askForListeners());
		this.follow(wantedNames(store.wanted, (table) => this.isFetched(table)));
		void this.#ads?.run(signal);
	}

	/** Layers that have management servers of their own. */
	#askForRuntime(): void {
		const bySource = new Map<string, AskedOfSource & { readonly names: string[] }>();
		for (const { resource, source } of discoveredLayers(this.#options.config)) {
			if (source.kind !== "stream") continue;
			const asked = bySource.get(source.id) ?? { source, names: [] };
			asked.names.push(resource);
			bySource.set(source.id, asked);
		}
		this.#streams?.follow("rtds", [...bySource.values()]);
	}

	#askForListeners(): void {
		const source = this.#options.config.dynamic.lds;
		if (source?.kind === "stream") this.#streams?.follow("lds", [{ source, names: "*" }]);
		if (source?.kind === "ads") this.#ads?.subscribe(typeUrls.lds, "*");
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
	absent(what: WantedKind, keys: readonly string[]): void {
		this.#onDemand.absent(what, keys);
	}

	/** Something came into force: whoever waited for it goes on. */
	settle(): void {
		this.#onDemand.settle();
	}

	/** Did somebody want this table, which is a scope's on demand? */
	isFetched(table: string): boolean {
		return this.#onDemand.names.routes.has(table);
	}

	/** Asks each source for exactly this. */
	follow(names: WantedNames): void {
		const { host, routes } = this.#onDemand.names;
		host.forget([...host.names].filter((key) => !names.vhds.has(tableOfHost(key))));
		routes.forget([...routes.names].filter((name) => !names.rds.has(name)));
		this.#followScopes(names);
		this.#followClusters();
		for (const type of byName) {
			const overAds: string[] = [];
			const bySource = new Map<string, AskedOfSource & { readonly names: string[] }>();
			for (const [reference, name] of type === "vhds" ? this.#hostNames(names) : plainNames(names[type])) {
				const { source } = reference;
				if (source?.kind === "stream") {
					const asked = bySource.get(source.id) ?? { source, names: [] };
					asked.names.push(name);
					bySource.set(source.id, asked);
				} else if (this.#options.isOfAds(type, reference)) overAds.push(name);
			}
			this.#ads?.subscribe(typeUrls[type], overAds);
			this.#streams?.follow(type, [...bySource.values()]);
		}
	}

	/** All that there are, where a listener wants any. */
	#followScopes({ srds }: WantedNames): void {
		const isAsked = srds.size > 0;
		if (isAsked || this.#asksForScopes) this.#ads?.subscribe(typeUrls.srds, isAsked ? "*" : []);
		this.#asksForScopes = isAsked;
	}

	/** All that the control plane has for this node, where the bootstrap says so, and what somebody asked for by name. */
	#followClusters(): void {
		const names = [...this.#onDemand.names.cluster.names];
		const isWildcard = this.#options.config.dynamic.cds?.kind === "ads";
		if (names.length > 0) this.#namesClusters = true;
		// Beside names, all has to be named, too.
		if (isWildcard) this.#ads?.subscribe(typeUrls.cds, this.#namesClusters ? ["*", ...names] : "*");
		else if (this.#namesClusters) this.#ads?.subscribe(typeUrls.cds, names);
	}

	#askAgain(what: WantedKind, key: string): void {
		if (what !== "host") return this.#ads?.askAgain(typeUrls[what === "cluster" ? "cds" : "rds"], [key]);
		const table = tableOfHost(key);
		const vhds = [...tablesOf(this.#options.store.wanted).values()].map((one) => one.vhds).find((one) => one !== false && keyOf(one) === table);
		if (!vhds) return;
		const name = `${vhds.name}${key.slice(table.length)}`;
		if (vhds.source?.kind === "stream") this.#streams?.askAgain("vhds", vhds.source, [name]);
		else this.#ads?.askAgain(typeUrls.vhds, [name]);
	}

	#hostNames({ vhds }: WantedNames): readonly (readonly [ResourceReference, string])[] {
		const single = [...this.#onDemand.names.host.names].flatMap((key) => {
			const table = tableOfHost(key);
			const reference = vhds.get(table);
			return reference === undefined ? [] : [[reference, `${reference.name}${key.slice(table.length)}`] as const];
		});
		return [...plainNames(vhds), ...single];
	}

	#createClient(type: OwnServiceType, source: StreamSource): XdsClient | string {
		const server = GrpcService.fromPartial(fromJson("envoy.config.core.v3.GrpcService", JSON.parse(source.service)) as object);
		const apply: ApplyUpdate = (update) => this.#options.apply(update, source);
		const stream = type === "cds" || type === "lds" ? type : undefined;
		return createClient({ service: type, mode: source.mode, rate: source.rate, server, stream }, { ...this.#options, apply });
	}
}

function plainNames(references: ReadonlyMap<string, ResourceReference>): readonly (readonly [ResourceReference, string])[] {
	return [...references.values()].map((reference) => [reference, reference.name] as const);
}

function discoveredLayers({ runtime }: BootstrapConfig) {
	return runtime.flatMap((layer) => (layer.kind === "discovered" ? [layer] : []));
}

/** An error is a text: what the bootstrap asks for and is not to be had. */
export function createXdsSource(options: XdsSourceOptions): XdsSource | string {
	const { config, onBootstrapPatch, onTrustRoots, wantsNames } = options;
	const api = config.message.dynamicResources?.adsConfig;
	if (api === undefined) return new XdsSource(options, undefined);
	const own: ApplyUpdate = (update) => options.apply(update, undefined);
	const trusting = onTrustRoots ? applyTrustRoots(own, onTrustRoots) : own;
	const apply = onBootstrapPatch ? applyBootstrapPatch(trusting, onBootstrapPatch) : trusting;
	const ads = createAdsClient(api, { ...options, apply });
	if (typeof ads === "string") return `dynamic_resources.ads_config: ${ads}`;
	if (onBootstrapPatch) ads.subscribe(typeUrls.bootstrap, "*");
	if (onTrustRoots) ads.subscribe(typeUrls.pcds, "*");
	const layers = discoveredLayers(config).flatMap(({ resource, source }) => (source.kind === "ads" ? [resource] : []));
	if (layers.length > 0) ads.subscribe(typeUrls.rtds, layers);
	if (wantsNames) ads.subscribe(typeUrls.nds, "*");
	return new XdsSource(options, ads);
}

type ClientOptions = Omit<XdsSourceOptions, "apply"> & { readonly apply: ApplyUpdate };

function createAdsClient(api: ApiConfigSource, options: ClientOptions): XdsClient | string {
	const { DELTA_GRPC, GRPC } = ApiConfigSource_ApiType;
	if (api.apiType !== GRPC && api.apiType !== DELTA_GRPC) return "only GRPC and DELTA_GRPC are implemented";
	const mode = api.apiType === DELTA_GRPC ? "delta" : "sotw";
	const parts = { service: "aggregated", mode, rate: decodeRequestRate(api), server: api.grpcServices[0], stream: "ads", headers: options.xdsHeaders } as const;
	return createClient(parts, options);
}

interface ClientParts {
	readonly service: DiscoveryService;
	readonly mode: "delta" | "sotw";
	readonly server: GrpcService | undefined;
	/** Those whose connection is told of. */
	readonly stream: "ads" | "cds" | "lds" | undefined;
	readonly rate: StreamSource["rate"];
	readonly headers?: CallHeaders | undefined;
}

function createClient({ headers, mode, rate, server, service, stream }: ClientParts, options: ClientOptions): XdsClient | string {
	const { apply, clock, grpc, logger, node, random, targets } = options;
	const found = resolveGrpcTarget(server, targets);
	if (typeof found === "string") return found;
	const atOnce = openXdsStream(mode, openXdsBytes(found.target, { ...headers, ...found.metadata }, grpc), service);
	const open = rate === undefined ? atOnce : paceRequests(atOnce, rate, clock);
	const onConnection = (isConnected: boolean) => void (stream !== undefined && options.onConnection(stream, isConnected));
	onConnection(false);
	const address = found.target.endpoints.map(endpointText).join(",");
	return createXdsClient({ mode, open, node, apply, clock, random, logger, onConnection, server: address });
}
