import { isIP } from "node:net";
import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { GatewayAddresses } from "../model/networks.ts";
import type { PushSnapshot } from "../model/push.ts";
import { createSlots, type Slots } from "./slots.ts";

/** Addresses of a name, and for how long they hold; undefined: nobody says. Rejects with what went wrong. */
export type ResolveGateway = (name: string, signal: AbortSignal) => Promise<{ readonly addresses: readonly string[]; readonly ttlMs: number | undefined }>;

export interface GatewayNamesOptions {
	readonly resolve: ResolveGateway;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly signal: AbortSignal;
	/** Some name stands for other addresses now. */
	readonly onChange: () => void;
	/** In [0, 1); for tests. */
	readonly random?: () => number;
}

export interface GatewayNames {
	/** What is known so far. */
	readonly addresses: GatewayAddresses;
	/** Looks up what a snapshot's networks name, again and again, and forgets what they name no more. */
	update(push: PushSnapshot): void;
}

/** As istiod: small lifetimes would make many pushes, and a name server may say anything. */
const ttlMs = { min: 30_000, max: 60 * 60_000 };
const retryMs = { minMs: 1_000, maxMs: 30_000 };
/** What networks name beyond them stays unknown. */
const namesMax = 1_000;
const addressesMax = 64;
const concurrentMax = 8;

/**
 * Keeps the addresses of gateways to other networks that are given by name: an assignment of endpoints holds addresses alone. A look-up
 * that fails, or finds nothing, leaves the last good addresses in force (istiod forgets them when the name is gone).
 */
export function createGatewayNames(options: GatewayNamesOptions): GatewayNames {
	const { signal, logger, onChange } = options;
	const running = new Map<string, AbortController>();
	const slots = createSlots(concurrentMax);
	let addresses: GatewayAddresses = new Map();
	let known: readonly string[] | undefined;

	function store(name: string, found: readonly string[]): void {
		if (addresses.get(name)?.join() === found.join()) return;
		addresses = new Map([...addresses, [name, found]]);
		logger.info("gateway to another network looked up", { name, addresses: found.join(",") });
		onChange();
	}

	return {
		get addresses() {
			return addresses;
		},
		update({ mesh: { networks } }) {
			const names = networks?.names ?? [];
			if (known === names || signal.aborted) return;
			known = names;
			const wanted = new Set(names.slice(0, namesMax));
			if (names.length > namesMax) logger.warn("too many names of gateways to other networks: the last are not looked up", { max: namesMax });
			for (const [name, controller] of running) {
				if (wanted.has(name)) continue;
				controller.abort();
				running.delete(name);
				addresses = new Map([...addresses].filter(([other]) => other !== name));
			}
			for (const name of wanted) {
				if (running.has(name)) continue;
				const controller = new AbortController();
				running.set(name, controller);
				void keepAddresses({ ...options, signal: AbortSignal.any([signal, controller.signal]) }, name, slots, (found) => store(name, found));
			}
		},
	};
}

/** Never rejects; ends with the signal. */
async function keepAddresses(options: GatewayNamesOptions, name: string, slots: Slots, found: (addresses: readonly string[]) => void): Promise<void> {
	const { clock, logger, random = Math.random, resolve, signal } = options;
	const backoff = createBackoff({ ...retryMs, random });
	while (!signal.aborted) {
		let waitMs: number;
		try {
			const answer = await slots.run(() => resolve(name, signal));
			if (signal.aborted) return;
			const usable = [...new Set(answer.addresses.filter((address) => isIP(address) !== 0))].sort().slice(0, addressesMax);
			if (usable.length === 0) throw new Error("the name has no address");
			found(usable);
			backoff.reset();
			waitMs = Math.min(ttlMs.max, Math.max(ttlMs.min, answer.ttlMs ?? ttlMs.min));
		} catch (error) {
			if (signal.aborted) return;
			waitMs = backoff.nextMs();
			const reason = error instanceof Error ? error.message : String(error);
			logger.warn("gateway to another network could not be looked up", { name, error: reason, retryMs: Math.round(waitMs) });
		}
		await clock.sleep(waitMs, signal);
	}
}
