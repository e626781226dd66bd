import type { LoadBalancer } from "../../config/load-balancing.ts";
import { boundLoad } from "./bounded-load.ts";
import { type Hash64, murmurHash2 } from "./hash.ts";
import { buildHostScheduler, type EdfOptions, type HostSource, type PickHost } from "./host-source.ts";
import { createFullScan, createLeastRequest, leastRequestWeight } from "./least-request.ts";
import { buildMaglev } from "./maglev.ts";
import type { HashTable, NormalizedWeight } from "./normalized-weights.ts";
import { createPeakEwma } from "./peak-ewma.ts";
import { createRandomPick } from "./random.ts";
import { buildRing } from "./ring-hash.ts";
import { pickRoundRobin } from "./round-robin.ts";

/** What comes from outside: tests give their own. */
export interface BalancerInputs {
	/** Uniform in [0, 1). */
	readonly random: () => number;
	/** Epoch milliseconds. */
	readonly nowMs: () => number;
	readonly hash64: Hash64;
}

/** A policy picks from a source, or looks a hash up in a table built per priority. */
export type Balancer =
	| {
			readonly kind: "pick";
			readonly pick: PickHost;
			readonly schedule: (source: HostSource["hosts"]) => HostSource["edf"];
			readonly slowStartWindowMs: number;
	  }
	| { readonly kind: "hash"; readonly build: (weights: readonly NormalizedWeight[]) => HashTable };

export function createBalancer(lb: LoadBalancer, inputs: BalancerInputs): Balancer {
	const { random, nowMs, hash64 } = inputs;
	switch (lb.kind) {
		case "roundRobin":
			return pickBalancer(pickRoundRobin, { slowStart: lb.slowStart, weightOf: (entry) => entry.host.weight, random, nowMs });
		case "leastRequest": {
			const weightOf = leastRequestWeight(lb.activeRequestBias);
			return pickBalancer(lb.fullScan === true ? createFullScan(random) : createLeastRequest(Math.max(lb.choiceCount, 1), random), {
				slowStart: lb.slowStart,
				weightOf,
				random,
				nowMs,
			});
		}
		case "random":
		case "clusterProvided":
			return { kind: "pick", pick: createRandomPick(random), schedule: () => undefined, slowStartWindowMs: 0 };
		case "peakEwma":
			return { kind: "pick", pick: createPeakEwma(random, nowMs), schedule: () => undefined, slowStartWindowMs: 0 };
		case "ringHash": {
			const hashKey = lb.hash === "murmur" ? murmurHash2 : (key: string) => hash64(key);
			return { kind: "hash", build: (weights) => boundLoad(buildRing(weights, { ...lb, hashKey }), weights, lb.balanceFactor) };
		}
		case "maglev":
			return { kind: "hash", build: (weights) => boundLoad(buildMaglev(weights, lb.tableSize, lb.useHostname, hash64), weights, lb.balanceFactor) };
	}
}

function pickBalancer(pick: PickHost, options: EdfOptions): Balancer {
	return { kind: "pick", pick, schedule: (hosts) => buildHostScheduler(hosts, options), slowStartWindowMs: options.slowStart?.windowMs ?? 0 };
}
