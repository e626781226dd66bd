import type { Clock, Logger } from "@weft/runtime";
import { mergeMessages, typeUrls } from "@weft/xds";
import { type ApplyUpdate, createXdsClient, type OpenStream } from "@weft/xds/client";
import { Bootstrap } from "@weft/xds/generated/envoy/config/bootstrap/v3/bootstrap.ts";
import type { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";

/** Takes what the control plane lays over the bootstrap, a message of that type; gives the reason if it is refused. */
export type OnBootstrapPatch = (patch: Uint8Array) => string | undefined;

/** One resource without a name beside the proxy's own; no resource says nothing. */
export function applyBootstrapPatch(apply: ApplyUpdate, onBootstrapPatch: OnBootstrapPatch): ApplyUpdate {
	return async (update) => {
		if (update.typeUrl !== typeUrls.bootstrap) return apply(update);
		const [patch] = update.resources;
		const refusal = patch && onBootstrapPatch(patch.resource.value);
		return patch === undefined || refusal === undefined ? [] : [{ name: patch.name, message: refusal }];
	};
}

export interface FetchOptions {
	/** A delta stream to the control plane. */
	readonly open: OpenStream;
	readonly node: Node;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
	/** Names the control plane in logs. */
	readonly server: string;
	readonly signal: AbortSignal;
	/** Default 10 s. */
	readonly timeoutMs?: number;
}

/** What the control plane lays over the bootstrap; undefined: it did not answer in time, as one that does not know the type. */
export async function fetchBootstrapPatch(options: FetchOptions): Promise<Uint8Array | undefined> {
	const { clock, signal, timeoutMs = 10_000 } = options;
	const stop = new AbortController();
	const limit = AbortSignal.any([signal, stop.signal]);
	let patch: Uint8Array | undefined;
	const take: OnBootstrapPatch = (bytes) => {
		patch ??= bytes;
		stop.abort();
		return undefined;
	};
	const client = createXdsClient({ ...options, mode: "delta", apply: applyBootstrapPatch(async () => [], take) });
	client.subscribe(typeUrls.bootstrap, "*");
	const running = client.run(limit);
	await clock.sleep(timeoutMs, limit);
	stop.abort();
	await running;
	return patch;
}

/** The bootstrap with what the control plane lays over it. Throws when that is no bootstrap. */
export function mergeBootstrapPatch(bootstrap: Bootstrap, patch: Uint8Array): Bootstrap {
	return mergeMessages("envoy.config.bootstrap.v3.Bootstrap", bootstrap, Bootstrap.decode(patch));
}
