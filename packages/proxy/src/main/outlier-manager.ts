import type { Clock, Logger } from "@weft/runtime";
import type { Cluster, ClusterHosts } from "../config/runtime-config.ts";
import { clearFailures, isEjected, readWord, type SharedWords, setEjected } from "../config/shared-state.ts";
import type { FromWorker } from "../config/worker-messages.ts";
import { decideEjection, healthyOutlierHost, type OutlierHost, passOutlierInterval } from "../data/lb/outlier-decisions.ts";

export interface OutlierManagerOptions {
	readonly words: SharedWords;
	readonly clusterOf: (name: string) => Cluster | undefined;
	readonly hostsOf: (name: string) => ClusterHosts | undefined;
	readonly clusterNames: () => Iterable<string>;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
}

type EjectMessage = Extract<FromWorker, { kind: "eject" }>;

/** How often intervals are looked at; a cluster's own interval is a multiple of it. */
const tickMs = 1_000;

/** Decides about ejections for all workers, which only count failures and ask. */
export class OutlierManager {
	readonly #options: OutlierManagerOptions;
	/** Only hosts that were ever ejected, by slot. */
	readonly #hosts = new Map<number, OutlierHost>();
	readonly #lastPassMs = new Map<string, number>();
	ejectionsTotal = 0;

	constructor(options: OutlierManagerOptions) {
		this.#options = options;
	}

	eject({ cluster: name, hostSlot, reason }: EjectMessage): void {
		const { words, clusterOf, hostsOf, clock, random, logger } = this.#options;
		const cluster = clusterOf(name);
		const slots = slotsOf(hostsOf(name));
		if (cluster?.outlier === undefined || !slots.includes(hostSlot)) return;
		const hostsEjected = slots.filter((slot) => isEjected(words, slot)).length;
		const host = this.#hosts.get(hostSlot) ?? healthyOutlierHost;
		const decision = decideEjection(cluster.outlier, { reason, host, hostsTotal: slots.length, hostsEjected, nowMs: clock.nowMs(), random });
		if (decision.kind === "ignore") return logger.debug("host not ejected", { cluster: name, reason, why: decision.reason });
		this.#hosts.set(hostSlot, decision.host);
		this.ejectionsTotal++;
		setEjected(words, hostSlot, true);
		logger.info("host ejected", { cluster: name, reason, until: new Date(decision.untilMs).toISOString() });
	}

	/** One look at every cluster whose interval has passed. */
	tick(): void {
		const { clusterNames, clusterOf, hostsOf, clock } = this.#options;
		const nowMs = clock.nowMs();
		const present = new Set<number>();
		for (const name of clusterNames()) {
			const outlier = clusterOf(name)?.outlier;
			if (outlier === undefined) continue;
			const slots = slotsOf(hostsOf(name));
			for (const slot of slots) present.add(slot);
			if (nowMs - (this.#lastPassMs.get(name) ?? nowMs - outlier.intervalMs) < outlier.intervalMs) continue;
			this.#lastPassMs.set(name, nowMs);
			for (const slot of slots) this.#pass(name, slot, nowMs);
		}
		// Hosts that are gone take their history with them.
		for (const slot of this.#hosts.keys()) if (!present.has(slot)) this.#hosts.delete(slot);
	}

	#pass(name: string, slot: number, nowMs: number): void {
		const { words, clusterOf, logger } = this.#options;
		const host = this.#hosts.get(slot);
		const outlier = clusterOf(name)?.outlier;
		if (host === undefined || outlier === undefined) return;
		const passed = passOutlierInterval(outlier, host, nowMs);
		this.#hosts.set(slot, passed.host);
		if (!passed.uneject) return;
		for (const kind of ["consecutive5xx", "consecutiveGateway", "localOrigin"] as const) clearFailures(words, slot, kind);
		setEjected(words, slot, false);
		logger.info("host returns", { cluster: name });
	}

	isEjected(slot: number): boolean {
		return isEjected(this.#options.words, slot);
	}

	/** A word of the shared state, for admin output. */
	read(word: number): number {
		return readWord(this.#options.words, word);
	}

	async run(signal: AbortSignal): Promise<void> {
		while (!signal.aborted) {
			await this.#options.clock.sleep(tickMs, signal);
			this.tick();
		}
	}
}

function slotsOf(hosts: ClusterHosts | undefined): readonly number[] {
	return (hosts?.priorities ?? []).flat().flatMap((locality) => locality.hosts.map(({ slot }) => slot));
}
