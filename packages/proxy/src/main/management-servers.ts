import { typeUrls } from "@weft/xds";
import type { RejectedResource, XdsUpdate } from "@weft/xds/client";
import { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import type { ResourceReference } from "../config/resource-source.ts";
import { transportKind } from "../data/transport/transport.ts";
import { createGrpcEnvironment } from "../grpc/environment.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import { targetSources } from "./grpc-target.ts";
import { parseNamedFiles } from "./named-files.ts";
import type { Core } from "./server-core.ts";
import type { ServerOptions } from "./server-options.ts";
import { type NamedType, namedTypes, type WantedNames, wantedNames } from "./wanted-names.ts";
import { nodeOf } from "./xds-node.ts";
import type { ApplyFrom } from "./xds-updates.ts";

export interface ManagementServersOptions {
	readonly options: ServerOptions;
	readonly core: Core;
	readonly apply: ApplyFrom;
	/** Has everything follow what is wanted. */
	readonly follow: () => void;
	readonly onAnswered: (what: WantedKind, names: readonly string[]) => void;
	/** Secrets that this process has itself. */
	readonly isOwn: (key: string) => boolean;
}

/** As in Envoy. */
const statPrefixes = { ads: "", cds: "cluster_manager.cds.", lds: "listener_manager.lds." } as const;

/** The client of management servers, which is loaded once something comes from one. */
export class ManagementServers {
	readonly #options: ManagementServersOptions;
	#isConnecting = false;
	#isRunning = false;

	constructor(options: ManagementServersOptions) {
		this.#options = options;
	}

	/** Rejects with what is wrong with what the bootstrap names. */
	async connectIfNamed(): Promise<void> {
		const { dynamic, message, runtime } = this.#options.options.config;
		const sources = [dynamic.cds, dynamic.lds, ...runtime.map((layer) => (layer.kind === "discovered" ? layer.source : undefined))];
		const isNamed = message.dynamicResources?.adsConfig !== undefined || sources.some((source) => source?.kind === "stream");
		if (isNamed) await this.#connect();
	}

	run(): void {
		const { abort, onDemand } = this.#options.core;
		this.#isRunning = true;
		onDemand.source?.run(abort.signal);
	}

	follow(names: WantedNames): void {
		const { core, options } = this.#options;
		if (core.onDemand.source !== undefined) return core.onDemand.source.follow(names);
		const isWanted = namedTypes.some((type) => [...names[type].values()].some(({ source }) => source?.kind === "stream"));
		if (isWanted && !this.#isConnecting) void this.#connect().catch((error) => options.logger.error("management servers cannot be asked", { error }));
	}

	async #connect(): Promise<void> {
		this.#isConnecting = true;
		const { apply, core, follow, onAnswered, options } = this.#options;
		const { abort, onDemand, state, store } = core;
		const { config, logger } = options;
		const [{ createXdsSource }, grpc] = await Promise.all([
			import("./xds-source.ts"),
			options.grpc ?? createGrpcEnvironment({ ...options, transport: transportKind(process.env) }),
		]);
		const created = createXdsSource({
			...options,
			grpc,
			node: nodeOf(options),
			store,
			targets: targetSources(config, store),
			wantsNames: options.onNames !== undefined,
			apply: async (update, source) => {
				const rejected = update.typeUrl === typeUrls.nds ? applyNames(update, options.onNames) : await apply(update, source);
				state.received(update.typeUrl);
				return rejected;
			},
			logger: logger.child("xds"),
			follow,
			onAnswered,
			whenClustersCame: (callback) => state.whenHeard(typeUrls.cds, callback),
			onConnection: (stream, isConnected) => void state.connected.set(statPrefixes[stream], isConnected),
			isOfAds: (type, reference) => this.#isOfAds(type, reference),
		});
		if (typeof created === "string") throw new Error(created);
		onDemand.source = created;
		if (this.#isRunning) created.run(abort.signal);
		else created.follow(wantedNames(store.wanted, () => false));
	}

	#isOfAds(type: NamedType, { name, source }: ResourceReference): boolean {
		if (source !== undefined && source.kind !== "ads") return false;
		const { isOwn, options } = this.#options;
		return type !== "sds" || (!isOwn(name) && !(options.secretsOverAds && parseNamedFiles(name)));
	}
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
