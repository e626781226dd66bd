import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@weft/runtime";
import type { DecodedCluster } from "../config/decode/index.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import type { ResolvedAddress } from "../data/dns/lookup.ts";
import { clusterOf, hostsOf } from "../data/worker/standalone.ts";
import { DnsResolver } from "./dns.ts";

const v4 = (...addresses: readonly string[]): readonly ResolvedAddress[] => addresses.map((address) => ({ address, family: 4 }));
const refused = new Error("SERVFAIL");

/** A cluster of one host that is a name, whose records may be looked up again at once. */
function clusterOfName(name: string): DecodedCluster {
	const { priorities, ...rest } = hostsOf(name, [80]);
	const named = priorities.map((localities) =>
		localities.map((locality) => ({
			...locality,
			hosts: locality.hosts.map((host) => ({ ...host, address: { kind: "ip" as const, address: `${name}.test`, port: 80 } })),
		})),
	);
	return {
		cluster: clusterOf(name, { kind: "strictDns" }),
		hosts: { ...rest, priorities: named },
		dns: { refreshMs: 0, failureRefreshMs: 0, family: "v4", respectsTtl: false, jitterMs: 0 },
		assignment: undefined,
	};
}

const addressesOf = ({ priorities }: ClusterHosts): readonly string[] =>
	priorities.flat().flatMap(({ hosts }) => hosts.map(({ address }) => (address.kind === "ip" ? address.address : "")));

const unasked = { ttlOf: () => Promise.reject(new Error("nobody asks for it")), random: () => 0 };

/** Answers one lookup after the other; gives what became of each, and for how long the resolver waited. */
async function resolveAll(answers: readonly (readonly ResolvedAddress[] | Error)[]) {
	const seen: (readonly string[])[] = [];
	const waits: number[] = [];
	let round = 0;
	const over = Promise.withResolvers<void>();
	const resolver = new DnsResolver({
		...unasked,
		lookup: async () => {
			const answer = answers[round] ?? refused;
			if (answer instanceof Error) throw answer;
			return answer;
		},
		clock: {
			nowMs: () => 0,
			monotonicMs: () => 0,
			sleep: async (ms) => {
				waits.push(ms);
				if (++round === answers.length) {
					resolver.stop();
					over.resolve();
				}
			},
		},
		logger: createLogger({ level: "none" }),
		onHosts: (hosts) => void seen.push(addressesOf(hosts)),
	});
	resolver.follow([clusterOfName("a")]);
	await over.promise;
	return { seen, waits };
}

describe("sec/e52: answers of a hostile resolver", () => {
	test("sec/e52: what fails, is empty or of another family keeps the last good addresses", async () => {
		const { seen } = await resolveAll([v4("10.0.0.1"), refused, [], [{ address: "::1", family: 6 }], v4("10.0.0.1"), v4("10.0.0.2")]);
		assert.deepEqual(seen, [["10.0.0.1"], ["10.0.0.2"]]);
	});
	test("sec/e52: three hundred addresses are taken, and in another order they are no change", async () => {
		const many = Array.from({ length: 300 }, (_, i) => `10.0.${i >> 8}.${i & 255}`);
		const { seen } = await resolveAll([v4(...many), v4(...many.toReversed())]);
		assert.deepEqual(
			seen.map(({ length }) => length),
			[300],
		);
	});
	test("sec/e52: a name whose first answer fails has no hosts, and is told so", async () => {
		const { seen } = await resolveAll([refused, refused, v4("10.0.0.1")]);
		assert.deepEqual(seen, [[], ["10.0.0.1"]]);
	});
	test("sec/e52: records that may not be kept are asked for once a second at most", async () => {
		const { waits } = await resolveAll([v4("10.0.0.1"), refused, v4("10.0.0.1")]);
		assert.ok(waits.every((ms) => ms >= 1_000));
	});
	test("sec/e52: names that never answer hold up four lookups, not more", async () => {
		let lookups = 0;
		const resolver = new DnsResolver({
			...unasked,
			lookup: () => {
				lookups++;
				return new Promise(() => {});
			},
			clock: { nowMs: () => 0, monotonicMs: () => 0, sleep: () => Promise.resolve() },
			logger: createLogger({ level: "none" }),
			onHosts: () => {},
		});
		resolver.follow(Array.from({ length: 20 }, (_, i) => clusterOfName(`c${i}`)));
		await new Promise((resolve) => setImmediate(resolve));
		assert.equal(lookups, 4);
		resolver.stop();
	});
});
