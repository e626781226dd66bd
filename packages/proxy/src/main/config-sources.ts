import { typeUrls } from "@weft/xds";
import type { RejectedResource, XdsUpdate } from "@weft/xds/client";
import { NameTable } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";
import { fileOfSource } from "../config/decode/config-source.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import { transportKind } from "../data/transport/transport.ts";
import { createGrpcEnvironment } from "../grpc/environment.ts";
import { followSecretFiles } from "./file-secrets.ts";
import { followConfigFiles } from "./file-source.ts";
import { targetSources } from "./grpc-target.ts";
import { nodeOf } from "./xds-node.ts";
import { referencesOfListener } from "./references.ts";
import type { Core } from "./server-core.ts";
import type { ServerOptions } from "./server-options.ts";
import type { XdsSource } from "./xds-source.ts";
import { applyUpdates } from "./xds-updates.ts";

/** Where configuration comes from beside the bootstrap: DNS, secret files, the control plane. */
export interface Sources {
	/** Looks at what is wanted and follows exactly that. */
	follow(): void;
	run(): void;
	reportHealth(problem: string | undefined): void;
}

export async function connectSources(
	options: ServerOptions,
	{ abort, dns, extensionStats, onDemand, pool, records, scopeStats, state, store }: Core,
): Promise<Sources> {
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
	const onAnswered = (what: WantedKind, names: readonly string[]) => {
		if (names.length > 0) pool.broadcast({ kind: "answered", what, names });
	};
	const onAbsent = (what: WantedKind, names: readonly string[]) => xds?.absent(what, names);
	const apply = applyUpdates({ store, records, environment, extensionStats, scopeStats, nowMs, onWanted: follow, onAnswered, onAbsent });
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
			scopeStats,
			onForgotten: (type, name) => records.remove(type, name),
			onAnswered,
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

function needsControlPlane({ message }: BootstrapConfig, { secretSources }: ServerOptions): boolean {
	const { adsConfig, cdsConfig, ldsConfig } = message.dynamicResources ?? {};
	const isAsked = [cdsConfig, ldsConfig].some((source) => source !== undefined && fileOfSource(source) === undefined);
	return adsConfig !== undefined || isAsked || [...secretSources.values()].some((source) => source?.apiConfigSource !== undefined);
}
