import { isIP } from "node:net";
import type { Clock, Logger } from "@weft/runtime";
import type { DecodedCluster, DnsOptions } from "../config/decode/index.ts";
import type { ClusterHosts, Host, LocalityHosts } from "../config/hosts.ts";
import { chooseFamily, type Lookup, type LookupTtl, type ResolvedAddress } from "../data/dns/lookup.ts";

export interface DnsOptionsOfRun {
	readonly lookup: Lookup;
	readonly ttlOf: LookupTtl;
	/** Uniform in [0, 1). */
	readonly random: () => number;
	readonly clock: Clock;
	readonly logger: Logger;
	/** Called when the addresses of a cluster changed, and once when its first attempt is over. */
	readonly onHosts: (hosts: ClusterHosts) => void;
}

/** Lookups under way at a time: getaddrinfo takes a thread of the pool each. */
const lookupsMax = 4;
const refreshMinMs = 1_000;

/** Resolves DNS clusters for as long as they are wanted. A name that fails keeps its last good addresses. */
export class DnsResolver {
	readonly #options: DnsOptionsOfRun;
	readonly #running = new Map<string, { readonly cluster: DecodedCluster; readonly abort: AbortController }>();
	#active = 0;
	readonly #queue: (() => void)[] = [];

	constructor(options: DnsOptionsOfRun) {
		this.#options = options;
	}

	/** Starts what is new, stops what is gone. */
	follow(clusters: Iterable<DecodedCluster>): void {
		const wanted = new Map([...clusters].filter(({ dns }) => dns !== undefined).map((cluster) => [cluster.cluster.name, cluster]));
		for (const [name, { cluster, abort }] of this.#running) {
			if (wanted.get(name) === cluster) continue;
			abort.abort();
			this.#running.delete(name);
		}
		for (const [name, cluster] of wanted) {
			if (this.#running.has(name)) continue;
			const abort = new AbortController();
			this.#running.set(name, { cluster, abort });
			void this.#run(cluster, abort.signal);
		}
	}

	stop(): void {
		this.follow([]);
	}

	async #run({ cluster, dns, hosts }: DecodedCluster, signal: AbortSignal): Promise<void> {
		if (dns === undefined || hosts === undefined) return;
		const known = new Map<string, readonly ResolvedAddress[]>();
		let before = "";
		while (!signal.aborted) {
			const isGood = await this.#resolveAll(hosts, dns, known);
			if (signal.aborted) return;
			const resolved = expandHosts(hosts, known, cluster.kind === "logicalDns");
			const fingerprint = JSON.stringify(resolved.priorities);
			if (fingerprint !== before) this.#options.onHosts(resolved);
			before = fingerprint;
			await this.#options.clock.sleep(Math.max(refreshMinMs, isGood ? await this.#refreshMs(dns, known) : dns.failureRefreshMs), signal);
		}
	}

	/** When the answer is too old: as its name server says, if that counts, and a little later, so that not all ask at once. */
	async #refreshMs({ jitterMs, refreshMs, respectsTtl }: DnsOptions, known: ReadonlyMap<string, readonly ResolvedAddress[]>): Promise<number> {
		const ttls = respectsTtl
			? await Promise.all([...known].map(([name, found]) => this.#options.ttlOf(name, [...new Set(found.map(({ family }) => family))])))
			: [];
		// 0 is no time to live, as Envoy has it.
		const given = ttls.filter((ttl) => ttl !== undefined && ttl > 0) as readonly number[];
		return (given.length === 0 ? refreshMs : Math.min(...given) * 1000) + this.#options.random() * jitterMs;
	}

	/** Whether all of the names could be resolved. */
	async #resolveAll(hosts: ClusterHosts, dns: DnsOptions, known: Map<string, readonly ResolvedAddress[]>): Promise<boolean> {
		const names = new Set(
			hosts.priorities
				.flat()
				.flatMap((locality) => locality.hosts.flatMap(({ address }) => (address.kind === "ip" && isIP(address.address) === 0 ? [address.address] : []))),
		);
		const results = await Promise.all([...names].map((name) => this.#resolve(name, dns, known, hosts.cluster)));
		return !results.includes(false);
	}

	async #resolve(name: string, dns: DnsOptions, known: Map<string, readonly ResolvedAddress[]>, cluster: string): Promise<boolean> {
		await this.#turn();
		try {
			const found = chooseFamily(await this.#options.lookup(name), dns.family);
			if (found.length === 0) throw new Error(`no address of the family ${dns.family}`);
			// Resolvers rotate their answers: order is not a change.
			known.set(name, dns.family === "all" || found.length < 2 ? found : [...found].sort((a, b) => (a.address < b.address ? -1 : 1)));
			return true;
		} catch (error) {
			this.#options.logger.warn("DNS resolution failed", { cluster, name, error, kept: known.get(name)?.length ?? 0 });
			return false;
		} finally {
			this.#active--;
			this.#queue.shift()?.();
		}
	}

	async #turn(): Promise<void> {
		if (this.#active >= lookupsMax) await new Promise<void>((resolve) => void this.#queue.push(resolve));
		this.#active++;
	}
}

/** Names replaced by their addresses. Logical DNS: only the first. */
export function expandHosts(hosts: ClusterHosts, known: ReadonlyMap<string, readonly ResolvedAddress[]>, onlyFirst: boolean): ClusterHosts {
	const expand = (host: Host): readonly Host[] => {
		const { address } = host;
		if (address.kind !== "ip" || isIP(address.address) !== 0) return [host];
		const found = known.get(address.address) ?? [];
		const hostname = host.hostname === "" ? address.address : host.hostname;
		return (onlyFirst ? found.slice(0, 1) : found).map((one) => ({ ...host, hostname, address: { kind: "ip", address: one.address, port: address.port } }));
	};
	const locality = (one: LocalityHosts): LocalityHosts => ({ ...one, hosts: one.hosts.flatMap(expand) });
	return { ...hosts, priorities: hosts.priorities.map((localities) => localities.map(locality)) };
}
