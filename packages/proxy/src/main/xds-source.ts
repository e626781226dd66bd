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
import type { GrpcEnvironment } from "../grpc/environment.ts";
import { endpointText } from "../grpc/target.ts";
import { openXdsBytes } from "../grpc/xds-stream.ts";
import { applyBootstrapPatch, type OnBootstrapPatch } from "./bootstrap-patch.ts";
import type { ConfigStore } from "./config-store.ts";
import { tableOfHost } from "./discovered-hosts.ts";
import { type AskedOfSource, DiscoveryStreams } from "./discovery-streams.ts";
import { resolveGrpcTarget, type TargetSources } from "./grpc-target.ts";
import { applyTrustRoots, type OnTrustRoots } from "./trust-updates.ts";
import { type NamedType, namedTypes, type WantedNames, wantedNames } from "./wanted-names.ts";
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

const onDemandMax = 10_000;

/** Management servers: the ADS stream that the bootstrap names, and streams of their own for what comes from elsewhere. */
export class XdsSource {
	readonly #options: XdsSourceOptions;
	readonly #ads: XdsClient | undefined;
	/** Virtual hosts that requests asked for by name: `table/host`, with the key that the hosts of the table have. */
	readonly #onDemand = new Set<string>();
	#streams: DiscoveryStreams | undefined;

	constructor(options: XdsSourceOptions, ads: XdsClient | undefined) {
		this.#options = options;
		this.#ads = ads;
	}

	run(signal: AbortSignal): void {
		const { config, logger, store, whenClustersCame } = this.#options;
		this.#streams = new DiscoveryStreams({ createClient: (type, source) => this.#createClient(type, source), logger }, signal);
		this.#askForAll("cds");
		// Listeners that come before the clusters that they name are refused. On one stream the server sees to the order.
		if (config.dynamic.cds?.kind === "ads" && config.dynamic.lds?.kind === "ads") this.#askForAll("lds");
		else whenClustersCame(() => this.#askForAll("lds"));
		this.follow(wantedNames(store.wanted));
		void this.#ads?.run(signal);
	}

	#askForAll(type: "cds" | "lds"): void {
		const source = this.#options.config.dynamic[type];
		if (source?.kind === "stream") this.#streams?.follow(type, [{ source, names: "*" }]);
		if (source?.kind === "ads") this.#ads?.subscribe(typeUrls[type], "*");
	}

	/** Tells the control plane of the workload's health: undefined is healthy, else why not. */
	reportHealth(problem: string | undefined): void {
		this.#ads?.reportHealth(problem);
	}

	/** A request waits for this virtual host, `table/host`. False: it has come before, or there is nobody to ask. */
	wantHost(name: string): boolean {
		const { routes, virtualHosts } = this.#options.store.wanted;
		const table = tableOfHost(name);
		const vhds = routes.get(table)?.vhds;
		if (!vhds || (this.#ads === undefined && vhds.source?.kind !== "stream")) return false;
		const key = `${keyOf(vhds)}${name.slice(table.length)}`;
		if (virtualHosts.get(keyOf(vhds))?.has(key) === true) return false;
		// Names come from clients: the oldest are given up.
		const [oldest] = this.#onDemand;
		if (this.#onDemand.size >= onDemandMax && oldest !== undefined) this.#onDemand.delete(oldest);
		this.#onDemand.add(key);
		this.follow(wantedNames(this.#options.store.wanted));
		return true;
	}

	/** They do not exist: to be asked for anew by the next request. */
	hostsAbsent(keys: readonly string[]): void {
		let isKnown = false;
		for (const key of keys) isKnown = this.#onDemand.delete(key) || isKnown;
		if (isKnown) this.follow(wantedNames(this.#options.store.wanted));
	}

	/** Asks each source for exactly this. */
	follow(names: WantedNames): void {
		for (const key of this.#onDemand) if (!names.vhds.has(tableOfHost(key))) this.#onDemand.delete(key);
		for (const type of namedTypes) {
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

	#hostNames({ vhds }: WantedNames): readonly (readonly [ResourceReference, string])[] {
		const single = [...this.#onDemand].flatMap((key) => {
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
