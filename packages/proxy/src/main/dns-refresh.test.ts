import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogger, systemClock } from "@weft/runtime";
import type { DecodedCluster, DnsOptions } from "../config/decode/index.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import { clusterOf, hostsOf } from "../data/worker/standalone.ts";
import { DnsResolver } from "./dns.ts";

const options: DnsOptions = { refreshMs: 60_000, failureRefreshMs: 7_000, family: "v4", respectsTtl: false, jitterMs: 0 };

/** How long a cluster of this name waits before it resolves again. */
async function pauseOf(dns: Partial<DnsOptions>, ttls: Readonly<Record<string, number | undefined>>): Promise<number> {
	const paused = Promise.withResolvers<number>();
	const clock = {
		...systemClock,
		sleep: (ms: number, signal?: AbortSignal) => {
			paused.resolve(ms);
			return new Promise<void>((resolve) => signal?.addEventListener("abort", () => resolve(), { once: true }));
		},
	};
	const resolver = new DnsResolver({
		lookup: async (name) => {
			if (!(name in ttls)) throw new Error("no such name");
			return [{ address: "10.0.0.1", family: 4 }];
		},
		ttlOf: async (name, families) => (families.includes(4) ? ttls[name] : undefined),
		random: () => 0.5,
		clock,
		logger: createLogger({ level: "none" }),
		onHosts: () => {},
	});
	const named = (name: string) =>
		hostsOf("a", [80]).priorities[0]?.[0]?.hosts.map((host) => ({ ...host, address: { kind: "ip" as const, address: name, port: 80 } })) ?? [];
	const hosts: ClusterHosts = {
		...hostsOf("a", []),
		priorities: [[{ region: "", zone: "", subZone: "", weight: 0, hosts: Object.keys({ "one.example": 0, ...ttls }).flatMap(named) }]],
	};
	const cluster = { cluster: clusterOf("a", { kind: "strictDns" }), hosts, dns: { ...options, ...dns } } as unknown as DecodedCluster;
	resolver.follow([cluster]);
	const ms = await paused.promise;
	resolver.stop();
	return ms;
}

describe("when names are resolved again", () => {
	const cases: readonly (readonly [what: string, dns: Partial<DnsOptions>, ttls: Readonly<Record<string, number | undefined>>, ms: number])[] = [
		["at the cluster's rate", {}, { "one.example": 5 }, 60_000],
		["as the name server says", { respectsTtl: true }, { "one.example": 5 }, 5_000],
		["the shortest time of several names", { respectsTtl: true }, { "one.example": 50, "two.example": 20 }, 20_000],
		["at the cluster's rate where nobody says", { respectsTtl: true }, { "one.example": undefined }, 60_000],
		["no time to live is none", { respectsTtl: true }, { "one.example": 0 }, 60_000],
		["not more often than once a second", { respectsTtl: true, refreshMs: 10 }, { "one.example": undefined }, 1_000],
		["some of the jitter later", { jitterMs: 100 }, { "one.example": 5 }, 60_050],
		["after a failure, at its own rate", { respectsTtl: true, jitterMs: 100 }, {}, 7_000],
	];
	for (const [what, dns, ttls, ms] of cases) it(what, async () => assert.equal(await pauseOf(dns, ttls), ms));
});
