import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts, Host } from "../../config/hosts.ts";
import type { LbMetadata, SubsetConfig, SubsetSelector } from "../../config/load-balancing.ts";
import { BalancedHostSet } from "./balanced-host-set.ts";
import type { LocalHosts } from "./zone-routing.ts";
import { type ChooseContext, formatSocketAddress, type HostEntry } from "./host-entry.ts";
import type { HostSet, HostSetInputs, Membership } from "./host-set.ts";

/** Values that one host may stand for where lists count as any of their elements. */
const combinationsMax = 256;

/** What a route asks for, in the form that subsets are known by. */
interface Criteria {
	/** Names the subset: keys and values, sorted. */
	readonly id: string;
	/** Names the selector: the keys alone. */
	readonly keys: string;
	readonly values: LbMetadata;
}

/** Envoy's subset load balancer: every subset is a host set of its own over the same entries. */
export class SubsetHostSet implements HostSet {
	readonly #inputs: HostSetInputs;
	readonly #all: BalancedHostSet;
	#subsets = new Map<string, BalancedHostSet>();
	#default: BalancedHostSet | undefined;
	#config: SubsetConfig | undefined;
	#selectors = new Map<string, SubsetSelector>();
	/** By the route's value: it is the same object for all requests of a route. */
	#criteria = new WeakMap<LbMetadata, readonly Criteria[]>();

	constructor(inputs: HostSetInputs) {
		this.#inputs = inputs;
		this.#all = new BalancedHostSet(inputs);
	}

	get panics(): number {
		let sum = this.#all.panics + (this.#default?.panics ?? 0);
		for (const subset of this.#subsets.values()) sum += subset.panics;
		return sum;
	}

	update(hosts: ClusterHosts, cluster: Cluster): readonly HostEntry[] {
		const gone = this.#all.update(hosts, cluster);
		const config = cluster.subsets;
		if (config === undefined) return gone;
		this.#config = config;
		this.#selectors = new Map(config.selectors.map((selector) => [selector.keys.join("\0"), selector]));
		this.#criteria = new WeakMap();
		const inside: Cluster = { ...cluster, localityWeighted: cluster.localityWeighted && config.localityWeighted };
		const members = collectMembers(hosts, config);
		const before = this.#subsets;
		this.#subsets = new Map(
			[...members].map(([id, addresses]) => [id, this.#subset(before.get(id), hosts, inside, config, (host) => addresses.has(textOf(host)))]),
		);
		const isDefault = (host: Host) =>
			Object.entries(config.defaultSubset).every(([key, value]) => valuesOf(host.lbMetadata[key], config).includes(encode(value)));
		this.#default = config.fallback === "default" || usesDefault(config) ? this.#subset(this.#default, hosts, inside, config, isDefault) : undefined;
		return gone;
	}

	#subset(known: BalancedHostSet | undefined, hosts: ClusterHosts, cluster: Cluster, config: SubsetConfig, isIn: (host: Host) => boolean): BalancedHostSet {
		const subset = known ?? new BalancedHostSet({ ...this.#inputs, entryOf: (address) => this.#all.entryAt(address) });
		const priorities = hosts.priorities.map((localities) =>
			localities.map((locality) => {
				const own = locality.hosts.filter(isIn);
				const share = config.scalesLocalityWeight && locality.hosts.length > 0 ? own.length / locality.hosts.length : 1;
				return { ...locality, hosts: own, weight: Math.ceil(locality.weight * share) };
			}),
		);
		subset.update({ ...hosts, priorities }, cluster);
		return subset;
	}

	choose(context: ChooseContext): HostEntry | undefined {
		const config = this.#config;
		if (config === undefined) return undefined;
		const { onSubset } = this.#inputs;
		const criteria = this.#criteriaOf(context.metadata, config);
		for (const one of criteria) {
			const subset = this.#subsets.get(one.id);
			if (subset === undefined) continue;
			onSubset?.("selected");
			return subset.choose(context);
		}
		const chosen = this.#fallBack(criteria[0], context, config);
		if (chosen !== undefined || !config.panicsToAny) return chosen;
		onSubset?.("fallbackPanic");
		return this.#all.choose(context);
	}

	#fallBack(criteria: Criteria | undefined, context: ChooseContext, config: SubsetConfig): HostEntry | undefined {
		const selector = criteria && this.#selectors.get(criteria.keys);
		const fallback = selector?.fallback ?? config.fallback;
		if (fallback === "keys" && criteria !== undefined) {
			const fewer = criteriaOf(pick(criteria.values, selector?.fallbackKeys ?? []));
			const subset = this.#subsets.get(fewer.id);
			if (subset === undefined) return this.#fallBack(fewer, context, config);
			this.#inputs.onSubset?.("selected");
			return subset.choose(context);
		}
		const set = fallback === "any" ? this.#all : fallback === "default" ? this.#default : undefined;
		const chosen = set?.choose(context);
		// Envoy counts the cluster's own fallback alone, and only where it had a host.
		if (chosen !== undefined && selector?.fallback === undefined) this.#inputs.onSubset?.("fallback");
		return chosen;
	}

	#criteriaOf(metadata: LbMetadata | undefined, config: SubsetConfig): readonly Criteria[] {
		if (metadata === undefined) return none;
		let known = this.#criteria.get(metadata);
		if (known === undefined) this.#criteria.set(metadata, (known = expandCriteria(metadata, config)));
		return known;
	}

	entries(): Iterable<HostEntry> {
		return this.#all.entries();
	}

	get local(): LocalHosts {
		return this.#all.local;
	}

	membership(): Membership {
		return this.#all.membership();
	}

	/** For statistics. */
	get subsets(): number {
		return this.#subsets.size;
	}
}

const none: readonly Criteria[] = [];

function usesDefault(config: SubsetConfig): boolean {
	return config.selectors.some(({ fallback }) => fallback === "default");
}

/** In the order in which they are tried. */
function expandCriteria(metadata: LbMetadata, config: SubsetConfig): readonly Criteria[] {
	const { fallback_list: list, ...own } = metadata;
	const known = (values: LbMetadata) => criteriaOf(config.allowsRedundantKeys === true ? withoutRedundant(values, config.selectors) : values);
	if (!config.triesFallbackList || !Array.isArray(list)) return [known(metadata)];
	return list.map((values: unknown) => known({ ...own, ...(typeof values === "object" ? (values as LbMetadata) : {}) }));
}

/** What the selector with most keys, of those that are all there, knows; the first of equals. */
function withoutRedundant(values: LbMetadata, selectors: readonly SubsetSelector[]): LbMetadata {
	const fitting = selectors.filter(({ keys }) => keys.every((key) => Object.hasOwn(values, key)));
	const most = Math.max(...fitting.map(({ keys }) => keys.length));
	const selector = fitting.find(({ keys }) => keys.length === most);
	return selector === undefined ? values : pick(values, selector.keys);
}

function criteriaOf(values: LbMetadata): Criteria {
	const keys = Object.keys(values).sort();
	return {
		id: idOf(
			keys,
			keys.map((key) => encode(values[key])),
		),
		keys: keys.join("\0"),
		values,
	};
}

function pick(values: LbMetadata, keys: readonly string[]): LbMetadata {
	return Object.fromEntries(keys.filter((key) => key in values).map((key) => [key, values[key]]));
}

function idOf(keys: readonly string[], values: readonly string[]): string {
	return keys.map((key, i) => `${key}\0${values[i]}`).join("\0\0");
}

/** Protobuf values are equal when their canonical JSON is. */
function encode(value: unknown): string {
	return JSON.stringify(value, (_, inner: unknown) =>
		typeof inner === "object" && inner !== null && !Array.isArray(inner)
			? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
			: inner,
	);
}

function textOf(host: Host): string {
	return formatSocketAddress(host.address);
}

/** What a host's value counts as. */
function valuesOf(value: unknown, { listAsAny }: SubsetConfig): readonly string[] {
	if (value === undefined) return [];
	return listAsAny && Array.isArray(value) ? value.map(encode) : [encode(value)];
}

/** The addresses of each subset. */
function collectMembers(hosts: ClusterHosts, config: SubsetConfig): ReadonlyMap<string, ReadonlySet<string>> {
	const members = new Map<string, Set<string>>();
	for (const host of hosts.priorities.flat().flatMap((locality) => locality.hosts)) {
		for (const { keys, singleHost } of config.selectors) {
			for (const values of combine(keys.map((key) => valuesOf(host.lbMetadata[key], config)))) {
				const id = idOf(keys, values);
				const known = members.get(id) ?? new Set<string>();
				// The first host keeps the subset to itself.
				if (!singleHost || known.size === 0) members.set(id, known.add(textOf(host)));
			}
		}
	}
	return members;
}

function combine(choices: readonly (readonly string[])[]): readonly (readonly string[])[] {
	let all: readonly (readonly string[])[] = [[]];
	for (const values of choices) all = all.flatMap((head) => values.map((value) => [...head, value])).slice(0, combinationsMax);
	return choices.length === 0 ? [] : all;
}
