import type { Clock, Logger } from "@weft/runtime";
import type { Cluster } from "../config/clusters.ts";
import type { ClusterHosts, Host } from "../config/hosts.ts";
import type { OutlierDetection } from "../config/outlier-detection.ts";
import { clearFailures, isEjected, readWord, type SharedWords, setEjected, takeOutcomes } from "../config/shared-state.ts";
import type { FromWorker } from "../config/worker-messages.ts";
import {
	decideEjection,
	type EjectDecision,
	type EjectReason,
	healthyOutlierHost,
	judgeRates,
	type OutlierHost,
	passOutlierInterval,
} from "../data/lb/outlier-decisions.ts";
import { hostStanding, type Standing } from "../data/lb/priority-set.ts";
import { outlierCounters } from "../data/stats/families.ts";

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

/** What `cluster.<name>.outlier_detection.` calls each reason. */
const statNames: Readonly<Record<EjectReason, string>> = {
	consecutive5xx: "consecutive_5xx",
	consecutiveGateway: "consecutive_gateway_failure",
	localOrigin: "consecutive_local_origin_failure",
	successRate: "success_rate",
	localOriginSuccessRate: "local_origin_success_rate",
	failurePercentage: "failure_percentage",
	localOriginFailurePercentage: "local_origin_failure_percentage",
};

/** Decides about ejections for all workers, which only count and ask. */
export class OutlierManager {
	readonly #options: OutlierManagerOptions;
	/** Only hosts that were ever ejected, by slot. */
	readonly #hosts = new Map<number, OutlierHost>();
	readonly #lastPassMs = new Map<string, number>();
	/** By cluster, without those that were never counted. */
	readonly #counts = new Map<string, Map<string, number>>();
	ejectionsTotal = 0;

	constructor(options: OutlierManagerOptions) {
		this.#options = options;
	}

	eject({ cluster, hostSlot, reason }: EjectMessage): void {
		this.#eject(cluster, hostSlot, reason);
	}

	#eject(name: string, hostSlot: number, reason: EjectReason): void {
		const { words, clusterOf, hostsOf, clock, random, logger } = this.#options;
		const cluster = clusterOf(name);
		const slots = slotsOf(hostsOf(name));
		if (cluster?.outlier === undefined || !slots.includes(hostSlot)) return;
		const hostsEjected = slots.filter((slot) => isEjected(words, slot)).length;
		const host = this.#hosts.get(hostSlot) ?? healthyOutlierHost;
		const decision = decideEjection(cluster.outlier, { reason, host, hostsTotal: slots.length, hostsEjected, nowMs: clock.nowMs(), random });
		this.#countDecision(name, reason, decision);
		if (decision.kind === "ignore") return logger.debug("host not ejected", { cluster: name, reason, why: decision.reason });
		this.#hosts.set(hostSlot, decision.host);
		this.ejectionsTotal++;
		setEjected(words, hostSlot, true);
		logger.info("host ejected", { cluster: name, reason, until: new Date(decision.untilMs).toISOString() });
	}

	#countDecision(name: string, reason: EjectReason, decision: EjectDecision): void {
		const isIgnored = decision.kind === "ignore";
		if (isIgnored && decision.reason === "already ejected") return;
		const stat = statNames[reason];
		// Envoy's older counters know these two reasons alone.
		const isOld = reason === "consecutive5xx" || reason === "successRate";
		this.#count(name, `ejections_detected_${stat}`);
		if (isOld) this.#count(name, `ejections_${stat}`);
		if (isIgnored && decision.reason === "too many ejected") return this.#count(name, "ejections_overflow");
		if (isOld) this.#count(name, "ejections_total");
		if (isIgnored) return;
		this.#count(name, "ejections_enforced_total");
		this.#count(name, `ejections_enforced_${stat}`);
	}

	#count(name: string, stat: string): void {
		let counts = this.#counts.get(name);
		if (counts === undefined) this.#counts.set(name, (counts = new Map()));
		counts.set(stat, (counts.get(stat) ?? 0) + 1);
	}

	/** Of `cluster.<name>.outlier_detection.`, all there are. */
	countsOf(name: string): Readonly<Record<string, number>> {
		const counts = this.#counts.get(name);
		return Object.fromEntries(outlierCounters.names.map((stat) => [stat, counts?.get(stat) ?? 0]));
	}

	/** One look at every cluster whose interval has passed. */
	tick(): void {
		const { clusterNames, clusterOf, hostsOf, clock } = this.#options;
		const nowMs = clock.nowMs();
		const present = new Set<number>();
		const names = new Set<string>();
		for (const name of clusterNames()) {
			const outlier = clusterOf(name)?.outlier;
			if (outlier === undefined) continue;
			names.add(name);
			const slots = slotsOf(hostsOf(name));
			for (const slot of slots) present.add(slot);
			if (nowMs - (this.#lastPassMs.get(name) ?? nowMs - outlier.intervalMs) < outlier.intervalMs) continue;
			this.#lastPassMs.set(name, nowMs);
			for (const slot of slots) this.#pass(name, slot, nowMs);
			this.#judgeRates(name, outlier, slots, false);
			if (outlier.splitExternalLocalOrigin) this.#judgeRates(name, outlier, slots, true);
		}
		// Hosts and clusters that are gone take their history with them.
		for (const slot of this.#hosts.keys()) if (!present.has(slot)) this.#hosts.delete(slot);
		for (const known of [this.#lastPassMs, this.#counts]) for (const name of known.keys()) if (!names.has(name)) known.delete(name);
	}

	#judgeRates(name: string, outlier: OutlierDetection, slots: readonly number[], local: boolean): void {
		const { words } = this.#options;
		const outcomes = slots.map((slot) => ({ slot, ...takeOutcomes(words, slot, local) }));
		const verdicts = judgeRates(
			outlier,
			outcomes.filter(({ slot }) => !isEjected(words, slot)),
		);
		for (const slot of verdicts.successRate) this.#eject(name, slot, local ? "localOriginSuccessRate" : "successRate");
		for (const slot of verdicts.failurePercentage) this.#eject(name, slot, local ? "localOriginFailurePercentage" : "failurePercentage");
	}

	#pass(name: string, slot: number, nowMs: number): void {
		const host = this.#hosts.get(slot);
		const outlier = this.#options.clusterOf(name)?.outlier;
		if (host === undefined || outlier === undefined) return;
		const passed = passOutlierInterval(outlier, host, nowMs);
		this.#hosts.set(slot, passed.host);
		if (passed.uneject) this.#uneject(name, slot);
	}

	#uneject(name: string, slot: number): void {
		const { words, logger } = this.#options;
		for (const kind of ["consecutive5xx", "consecutiveGateway", "localOrigin"] as const) clearFailures(words, slot, kind);
		setEjected(words, slot, false);
		logger.info("host returns", { cluster: name });
	}

	/** An active health check found the host good: that ends its ejection. */
	onGoodCheck(cluster: Cluster, slot: number): void {
		const host = this.#hosts.get(slot);
		if (cluster.outlier?.unejectsOnGoodCheck !== true || host?.ejectedAtMs === undefined) return;
		this.#hosts.set(slot, { ...host, ejectedAtMs: undefined, jitterMs: 0 });
		this.#uneject(cluster.name, slot);
	}

	isEjected(slot: number): boolean {
		return isEjected(this.#options.words, slot);
	}

	/** What a balancer makes of the host. */
	standingOf(host: Host): Standing {
		return hostStanding(host, this.#options.words);
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
