import type { Clock, Logger } from "@weft/runtime";
import type { HealthCheck, ProbeResult } from "../../config/health-check.ts";
import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts, Host, LocalityHosts } from "../../config/hosts.ts";
import type { ConfigUpdate } from "../../config/runtime-config.ts";
import type { RuntimeValues } from "../../config/runtime-values.ts";
import { healthFlags, readHealthFlags, type SharedWords, wasEverConnected, writeHealthFlags } from "../../config/shared-state.ts";
import { addressText } from "../slots.ts";
import { HealthEventLog } from "./event-log.ts";
import { type CheckHistory, type HealthDecision, judgePassive, judgeProbe, nextIntervalMs, noHistory } from "./health-decisions.ts";

export interface HealthManagerOptions {
	readonly words: SharedWords;
	readonly clusterOf: (name: string) => Cluster | undefined;
	/** Asks a worker to look at a host; always answers, `unknown` when the worker does not. */
	readonly probe: (cluster: string, address: string, timeoutMs: number) => Promise<ProbeResult>;
	/** The first look at all hosts of a cluster is over: what waits for it need wait no longer. */
	readonly onWarm: () => void;
	/** A host that was kept although it is no endpoint any more failed: decide again who is one. */
	readonly onHostsStale: (cluster: string) => void;
	/** Its connections are not to be used any more. */
	readonly onFailed: (cluster: string, address: string) => void;
	readonly onGoodCheck: (cluster: Cluster, hostSlot: number) => void;
	readonly clock: Clock;
	readonly random: () => number;
	readonly runtime: RuntimeValues;
	readonly logger: Logger;
}

interface Session {
	host: Host;
	locality: LocalityHosts;
	history: CheckHistory;
	readonly abort: AbortController;
}

interface CheckedCluster {
	check: HealthCheck;
	/** By slot. */
	readonly sessions: Map<number, Session>;
	/** Hosts whose first check is still to come; the cluster is warm without any. */
	readonly first: Set<number>;
	isWarm: boolean;
	readonly counts: Record<CountName, number>;
}

export const healthCounts = ["attempt", "success", "failure", "network_failure", "passive_failure", "verify_cluster"] as const;
type CountName = (typeof healthCounts)[number];

/** A worker that knows nothing of the host yet, or no more, is asked again after this. */
const unknownRetryMs = 500;

/**
 * Active health checks: when each host is looked at, and what comes of it. Workers probe, since they have the transports;
 * this thread alone decides and writes what all of them read.
 */
export class HealthManager {
	readonly #options: HealthManagerOptions;
	readonly #clusters = new Map<string, CheckedCluster>();
	readonly #log: HealthEventLog;

	constructor(options: HealthManagerOptions, signal: AbortSignal) {
		this.#options = options;
		this.#log = new HealthEventLog((path, error) => options.logger.warn("health check event not written", { path, error }));
		signal.addEventListener("abort", () => {
			for (const name of this.#clusters.keys()) this.#forget(name);
		});
	}

	/** Before workers hear of it: new hosts begin unhealthy. */
	prepare({ clusters, hosts }: ConfigUpdate): void {
		const { words, clusterOf } = this.#options;
		const fresh = new Map(clusters.upsert.map((cluster) => [cluster.name, cluster]));
		for (const list of hosts) {
			const cluster = fresh.get(list.cluster) ?? clusterOf(list.cluster);
			if (cluster === undefined || cluster.healthChecks.length === 0) continue;
			const known = this.#clusters.get(list.cluster)?.sessions;
			for (const { host } of hostsOf(list)) {
				if (known?.has(host.slot) === true || host.healthCheck?.isDisabled === true) continue;
				// Envoy marks those of a cluster whose hosts never change as failed alone.
				const pending = cluster.ignoresNewHostsUntilChecked && cluster.kind !== "static" ? healthFlags.pendingActiveHc : 0;
				writeHealthFlags(words, host.slot, healthFlags.failedActiveHc | pending);
			}
		}
	}

	/** Once workers have it: checks begin and end. */
	follow({ clusters, hosts }: ConfigUpdate): void {
		for (const name of clusters.remove) this.#forget(name);
		for (const cluster of clusters.upsert) {
			const [check] = cluster.healthChecks;
			const known = this.#clusters.get(cluster.name);
			if (check === undefined) this.#forget(cluster.name);
			else if (known !== undefined) known.check = check;
			else {
				const counts = { attempt: 0, success: 0, failure: 0, network_failure: 0, passive_failure: 0, verify_cluster: 0 };
				this.#clusters.set(cluster.name, { check, sessions: new Map(), first: new Set(), isWarm: false, counts });
			}
		}
		for (const list of hosts) this.#followHosts(list);
		for (const { name } of clusters.upsert) this.#warmIfDone(this.#clusters.get(name));
	}

	#followHosts(list: ClusterHosts): void {
		const cluster = this.#clusters.get(list.cluster);
		if (cluster === undefined) return;
		const present = new Set<number>();
		for (const { host, locality } of hostsOf(list)) {
			if (host.healthCheck?.isDisabled === true) continue;
			present.add(host.slot);
			const known = cluster.sessions.get(host.slot);
			if (known !== undefined) {
				known.host = host;
				known.locality = locality;
				continue;
			}
			const session: Session = { host, locality, history: noHistory, abort: new AbortController() };
			cluster.sessions.set(host.slot, session);
			cluster.first.add(host.slot);
			void this.#run(list.cluster, cluster, session);
		}
		for (const [slot, { abort }] of cluster.sessions) {
			if (present.has(slot)) continue;
			abort.abort();
			cluster.sessions.delete(slot);
			cluster.first.delete(slot);
		}
		this.#warmIfDone(cluster);
	}

	#forget(name: string): void {
		const cluster = this.#clusters.get(name);
		if (cluster === undefined) return;
		for (const [slot, { abort }] of cluster.sessions) {
			abort.abort();
			writeHealthFlags(this.#options.words, slot, 0);
		}
		this.#clusters.delete(name);
	}

	#warmIfDone(cluster: CheckedCluster | undefined): void {
		if (cluster === undefined || cluster.isWarm || cluster.first.size > 0) return;
		cluster.isWarm = true;
		this.#options.onWarm();
	}

	/** Whether every host of the cluster was looked at once since it came. */
	isWarm(name: string): boolean {
		return this.#clusters.get(name)?.isWarm ?? false;
	}

	async #run(name: string, cluster: CheckedCluster, session: Session): Promise<void> {
		const { clock, probe, random } = this.#options;
		const { signal } = session.abort;
		let waitMs = random() * cluster.check.initialJitterMs;
		while (!signal.aborted) {
			if (waitMs > 0) await clock.sleep(waitMs, signal);
			if (signal.aborted) return;
			const result = await probe(name, addressText(session.host.address), cluster.check.timeoutMs);
			if (signal.aborted) return;
			waitMs = result.kind === "unknown" ? unknownRetryMs : this.#judge(name, cluster, session, result);
		}
	}

	/** The wait before the next check, ms. */
	#judge(name: string, cluster: CheckedCluster, session: Session, result: Exclude<ProbeResult, { kind: "unknown" }>): number {
		const { words, random, runtime, clusterOf } = this.#options;
		const { slot } = session.host;
		const { counts } = cluster;
		counts.attempt++;
		counts[result.kind === "good" ? "success" : "failure"]++;
		if (result.kind === "network") counts.network_failure++;
		const { probe } = cluster.check;
		if (probe.kind === "http" && probe.serviceName !== undefined && result.kind !== "network" && result.isUnverified !== true) counts.verify_cluster++;
		const decision = judgeProbe(cluster.check, session.history, readHealthFlags(words, slot), result);
		const failureType = result.kind === "network" ? (result.timeout ? "NETWORK_TIMEOUT" : "NETWORK") : "ACTIVE";
		this.#take(name, cluster, session, decision, failureType);
		const config = clusterOf(name);
		if (decision.isGood && (decision.flags & healthFlags.failedActiveHc) === 0 && config !== undefined) this.#options.onGoodCheck(config, slot);
		const hadTraffic = config !== undefined && wasEverConnected(words, config.breakerSlot);
		const intervalMs = Math.min(nextIntervalMs(cluster.check, decision, hadTraffic, random), runtime.integer("health_check.max_interval", Infinity));
		// Never zero: nobody is to be asked all the time.
		return Math.max(1, intervalMs, runtime.integer("health_check.min_interval", 0));
	}

	#take(
		name: string,
		cluster: CheckedCluster,
		session: Session,
		decision: HealthDecision,
		failureType: "ACTIVE" | "PASSIVE" | "NETWORK" | "NETWORK_TIMEOUT",
	): void {
		const { words, clock, logger } = this.#options;
		const { slot } = session.host;
		const { isFirst } = session.history;
		session.history = decision.history;
		writeHealthFlags(words, slot, decision.flags);
		for (const event of decision.events) {
			const checker = cluster.check.probe.kind === "http" ? "HTTP" : cluster.check.probe.kind === "grpc" ? "GRPC" : "TCP";
			const { host, locality } = session;
			this.#log.write(cluster.check.eventLogPath, { event, checker, cluster: name, host, locality, failureType, isFirst, atMs: clock.nowMs() });
			if (event === "ejectUnhealthy" || event === "addHealthy")
				logger.info(`health check: ${event}`, { cluster: name, host: addressText(host.address), failureType });
		}
		if (decision.events.includes("ejectUnhealthy")) this.#options.onFailed(name, addressText(session.host.address));
		const isGoing = (decision.flags & healthFlags.pendingDynamicRemoval) !== 0 && (decision.flags & healthFlags.failedActiveHc) !== 0;
		if (isGoing) this.#options.onHostsStale(name);
		if (cluster.first.delete(slot)) this.#warmIfDone(cluster);
	}

	/** A host's answer to a request carried `x-envoy-immediate-health-check-fail`. */
	failImmediately(name: string, hostSlot: number): void {
		const cluster = this.#clusters.get(name);
		const session = cluster?.sessions.get(hostSlot);
		if (cluster === undefined || session === undefined) return;
		const flags = readHealthFlags(this.#options.words, hostSlot);
		if ((flags & healthFlags.failedActiveHc) !== 0) return;
		cluster.counts.failure++;
		cluster.counts.passive_failure++;
		this.#take(name, cluster, session, judgePassive(cluster.check, session.history, flags), "PASSIVE");
	}

	/** The hosts that a cluster is to have: those that are gone from `next` stay as long as their checks are good. */
	retain(cluster: Cluster, next: ClusterHosts, before: ClusterHosts | undefined): ClusterHosts {
		if (cluster.healthChecks.length === 0 || cluster.ignoresHealthOnRemoval || cluster.kind === "static" || before === undefined) return next;
		const { words } = this.#options;
		const wanted = new Set(hostsOf(next).map(({ host }) => addressText(host.address)));
		const clear = (slot: number) => writeHealthFlags(words, slot, readHealthFlags(words, slot) & ~healthFlags.pendingDynamicRemoval);
		const priorities = next.priorities.map((localities) => [...localities]);
		before.priorities.forEach((localities, priority) => {
			for (const locality of localities) {
				const kept = locality.hosts.filter((host) => {
					const isBack = wanted.has(addressText(host.address));
					if (isBack) clear(host.slot);
					const isChecked = this.#clusters.get(cluster.name)?.sessions.has(host.slot) === true;
					return !isBack && isChecked && (readHealthFlags(words, host.slot) & healthFlags.failedActiveHc) === 0;
				});
				if (kept.length === 0) continue;
				for (const { slot } of kept) writeHealthFlags(words, slot, readHealthFlags(words, slot) | healthFlags.pendingDynamicRemoval);
				while (priorities.length <= priority) priorities.push([]);
				priorities[priority]?.push({ ...locality, hosts: kept });
			}
		});
		return { ...next, priorities };
	}

	flagsOf(slot: number): number {
		return readHealthFlags(this.#options.words, slot);
	}

	/** Of `cluster.<name>.health_check.`; undefined: the cluster has no checks. */
	statsOf(name: string): { readonly counts: Readonly<Record<CountName, number>>; readonly healthy: number; readonly degraded: number } | undefined {
		const cluster = this.#clusters.get(name);
		if (cluster === undefined) return undefined;
		const flags = [...cluster.sessions.keys()].map((slot) => this.flagsOf(slot));
		const healthy = flags.filter((bits) => (bits & healthFlags.failedActiveHc) === 0).length;
		return { counts: cluster.counts, healthy, degraded: flags.filter((bits) => (bits & healthFlags.degradedActiveHc) !== 0).length };
	}
}

function hostsOf(hosts: ClusterHosts): readonly { readonly host: Host; readonly locality: LocalityHosts }[] {
	return hosts.priorities.flat().flatMap((locality) => locality.hosts.map((host) => ({ host, locality })));
}
