import { isIP } from "node:net";
import type { Cluster, DynamicHosts } from "../../config/clusters.ts";
import { noSlot } from "../../config/shared-state.ts";
import { chooseFamily, type Lookup } from "../dns/lookup.ts";
import { createHostCounts, formatSocketAddress, type ChooseContext, type HostEntry } from "./host-entry.ts";
import type { HostSet, Membership } from "./host-set.ts";

/** What came of a name: it can be used, it has no address, or too much is asked for at a time. */
export type Resolution = "resolved" | "failed" | "tooManyHosts" | "tooManyWaiting";

export interface DynamicHostsInputs {
	readonly lookup: Lookup;
	readonly nowMs: () => number;
	/** Its address is another now, or nobody asks for it any more. */
	readonly onGone: (entry: HostEntry) => unknown;
	/** Ends each entry from a lookup. */
	readonly afterEvent: () => void;
}

interface Known {
	readonly name: string;
	readonly port: number;
	entry: HostEntry | undefined;
	isResolving: boolean;
	/** When the newest answer came; -Infinity: none yet. */
	checkedAtMs: number;
	usedAtMs: number;
	readonly waiting: Set<(resolution: Resolution) => void>;
}

/**
 * The hosts of a dynamic forward proxy: whatever requests name, resolved when the first one does. An answer that is too
 * old is used while the next one is on its way; a name that fails keeps its last address.
 */
export class DynamicHostSet implements HostSet {
	readonly panics = 0;
	readonly #inputs: DynamicHostsInputs;
	readonly #config: DynamicHosts;
	readonly #known = new Map<string, Known>();
	readonly #totals = { active: 0 };
	#waiting = 0;

	constructor(config: DynamicHosts, inputs: DynamicHostsInputs) {
		this.#inputs = inputs;
		this.#config = config;
		for (const destination of config.preresolve) if (this.resolution(destination) === undefined) this.wait(destination, () => undefined);
	}

	/** What is known of `destination` (`host:port`), which is looked up in the background when that is old; undefined: wait for it. */
	resolution(destination: string): Resolution | undefined {
		const now = this.#inputs.nowMs();
		const known = this.#known.get(destination) ?? this.#enter(destination, now);
		if (known === undefined) return "tooManyHosts";
		known.usedAtMs = now;
		const age = now - known.checkedAtMs;
		if (known.entry !== undefined) {
			if (age >= this.#config.refreshMs) void this.#lookUp(known);
			return "resolved";
		}
		if (!known.isResolving && age < this.#config.failureRefreshMs) return "failed";
		return this.#waiting >= this.#config.pendingMax ? "tooManyWaiting" : undefined;
	}

	/** After `resolution` said to wait. Calls back once, later, unless the function that this gives was called. */
	wait(destination: string, onDone: (resolution: Resolution) => void): () => void {
		const known = this.#known.get(destination);
		if (known === undefined) return () => undefined;
		this.#waiting++;
		known.waiting.add(onDone);
		void this.#lookUp(known);
		return () => {
			if (known.waiting.delete(onDone)) this.#waiting--;
		};
	}

	#enter(destination: string, now: number): Known | undefined {
		if (this.#known.size >= this.#config.hostsMax) this.#forgetIdle(now);
		if (this.#known.size >= this.#config.hostsMax) return undefined;
		const { name, port } = splitDestination(destination);
		const known: Known = { name, port, entry: undefined, isResolving: false, checkedAtMs: Number.NEGATIVE_INFINITY, usedAtMs: now, waiting: new Set() };
		this.#known.set(destination, known);
		if (isIP(name) === 0) return known;
		known.entry = this.#createEntry(known, name);
		known.checkedAtMs = Number.POSITIVE_INFINITY;
		return known;
	}

	#forgetIdle(now: number): void {
		for (const [destination, known] of this.#known) {
			const isIdle = now - known.usedAtMs >= this.#config.hostTtlMs && !known.isResolving && (known.entry?.active ?? 0) === 0;
			if (!isIdle) continue;
			this.#known.delete(destination);
			this.#drop(known.entry);
		}
	}

	async #lookUp(known: Known): Promise<void> {
		if (known.isResolving) return;
		known.isResolving = true;
		const { family, queryTimeoutMs } = this.#config;
		let address: string | undefined;
		try {
			address = chooseFamily(await within(this.#inputs.lookup(known.name), queryTimeoutMs), family)[0]?.address;
		} catch {
			// The same as no address: whoever waits is told, and the last address stays.
		}
		known.isResolving = false;
		known.checkedAtMs = this.#inputs.nowMs();
		if (address !== undefined && address !== addressOf(known.entry)) {
			const before = known.entry;
			known.entry = this.#createEntry(known, address);
			this.#drop(before);
		}
		const waiting = [...known.waiting];
		known.waiting.clear();
		this.#waiting -= waiting.length;
		for (const onDone of waiting) onDone(known.entry === undefined ? "failed" : "resolved");
		this.#inputs.afterEvent();
	}

	#drop(entry: HostEntry | undefined): void {
		if (entry === undefined) return;
		entry.inUse = false;
		this.#inputs.onGone(entry);
	}

	#createEntry({ name, port }: Known, address: string): HostEntry {
		const socket = { kind: "ip", address, port } as const;
		return {
			host: {
				address: socket,
				hostname: name,
				weight: 1,
				health: "healthy",
				healthCheck: undefined,
				transportMatch: {},
				lbMetadata: {},
				istioWorkload: undefined,
				slot: noSlot,
			},
			address: formatSocketAddress(socket),
			priority: 0,
			locality: { region: "", zone: "", subZone: "" },
			active: 0,
			addedAtMs: this.#inputs.nowMs(),
			latencyMs: -1,
			latencyAtMs: 0,
			inUse: true,
			attachment: undefined,
			counts: createHostCounts(),
			totals: this.#totals,
		};
	}

	/** undefined: nobody resolved it before. */
	choose({ destination }: Pick<ChooseContext, "destination">): HostEntry | undefined {
		return this.#known.get(destination)?.entry;
	}

	update(): readonly HostEntry[] {
		return [];
	}

	*entries(): Iterable<HostEntry> {
		for (const { entry } of this.#known.values()) if (entry !== undefined) yield entry;
	}

	membership(): Membership {
		let total = 0;
		for (const { entry } of this.#known.values()) if (entry !== undefined) total++;
		return { total, healthy: total, degraded: 0, excluded: 0 };
	}
}

/** `host:port` of an authority that may leave the port out; lower case, IPv6 without brackets before the port is told apart. */
export function destinationOf(authority: string, { transport }: Pick<Cluster, "transport">): string {
	const match = /^(.*?)(?::(\d{1,5}))?$/s.exec(authority);
	const isBareIpv6 = isIP(authority) === 6;
	const name = (isBareIpv6 ? `[${authority}]` : (match?.[1] ?? authority)).toLowerCase();
	const port = isBareIpv6 ? undefined : match?.[2];
	return `${name}:${port ?? (transport.kind === "tls" ? 443 : 80)}`;
}

function splitDestination(destination: string): { readonly name: string; readonly port: number } {
	const at = destination.lastIndexOf(":");
	const name = destination.slice(0, at);
	return { name: name.startsWith("[") ? name.slice(1, -1) : name, port: Number(destination.slice(at + 1)) };
}

function addressOf(entry: HostEntry | undefined): string | undefined {
	return entry?.host.address.kind === "ip" ? entry.host.address.address : undefined;
}

function within<T>(promise: Promise<T>, timeoutMs: number): Promise<T> {
	const { promise: late, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(() => reject(new Error("timeout")), timeoutMs);
	return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
