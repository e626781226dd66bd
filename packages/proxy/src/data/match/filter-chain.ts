import type { FilterChain, FilterChainMatch } from "../../config/listeners.ts";
import { type CidrRange, type IpBytes, matchCidr, parseCidr } from "./cidr.ts";

/** What is known of a connection once the listener filters have run. */
export interface ConnectionFacts {
	readonly destinationIp: IpBytes | undefined;
	readonly destinationPort: number;
	/** Lower case; "" without SNI. */
	readonly serverName: string;
	readonly transportProtocol: "tls" | "raw_buffer";
	/** In the client's order. */
	readonly applicationProtocols: readonly string[];
	readonly directSourceIp: IpBytes | undefined;
	readonly sourceIp: IpBytes | undefined;
	readonly sourcePort: number;
	/** The client is this machine: same address, or loopback. */
	readonly isLocalSource: boolean;
}

export type FilterChainMatcher<T> = (facts: ConnectionFacts) => T | undefined;

interface Entry<T> {
	readonly name: string;
	readonly match: FilterChainMatch;
	readonly value: T;
}

type Find<K> = <N>(children: ReadonlyMap<K, N>, facts: ConnectionFacts) => N | undefined;

/** One step of the precedence: what a chain says of it, and which of the entries a connection goes to. */
interface Level {
	readonly keysOf: (match: FilterChainMatch) => readonly string[];
	readonly find: Find<string>;
}

/**
 * Envoy's filter chain precedence. At each level the most specific entry that fits is taken and the others are
 * forgotten: there is no way back when the levels below then fail (envoyproxy/envoy#3471), which is what users' and
 * Istio's listeners are written for.
 */
const levels: readonly Level[] = [
	{ keysOf: (m) => [m.destinationPort === undefined ? "" : String(m.destinationPort)], find: (c, f) => c.get(String(f.destinationPort)) ?? c.get("") },
	{ keysOf: (m) => m.destinationRanges, find: (c, f) => findRange(c, f.destinationIp) },
	{ keysOf: (m) => m.serverNames, find: (c, f) => findServerName(c, f.serverName) },
	{ keysOf: (m) => [m.transportProtocol], find: (c, f) => c.get(f.transportProtocol) ?? c.get("") },
	{ keysOf: (m) => m.applicationProtocols, find: (c, f) => findFirst(c, f.applicationProtocols) },
	{ keysOf: (m) => m.directSourceRanges, find: (c, f) => findRange(c, f.directSourceIp) },
	{ keysOf: (m) => [m.sourceType], find: (c, f) => c.get(f.isLocalSource ? "sameIpOrLoopback" : "external") ?? c.get("any") },
	{ keysOf: (m) => m.sourceRanges, find: (c, f) => findRange(c, f.sourceIp) },
	{ keysOf: (m) => m.sourcePorts.map(String), find: (c, f) => c.get(String(f.sourcePort)) ?? c.get("") },
];

/** Chains whose matches are the same are reported; the first one stays. The default chain is the caller's to take on undefined. */
export function compileFilterChains<T>(chains: readonly FilterChain[], valueOf: (chain: FilterChain) => T, errors: string[]): FilterChainMatcher<T> {
	for (const { name, match } of chains) {
		for (const range of [...match.destinationRanges, ...match.directSourceRanges, ...match.sourceRanges]) {
			if (!parseCidr(range)) errors.push(`filter chain ${JSON.stringify(name)}: ${JSON.stringify(range)} is not an address range`);
		}
	}
	return buildLevel(
		chains.map((chain) => ({ name: chain.name, match: chain.match, value: valueOf(chain) })),
		0,
		errors,
	);
}

function buildLevel<T>(entries: readonly Entry<T>[], depth: number, errors: string[]): FilterChainMatcher<T> {
	const level = levels[depth];
	const [first, ...others] = entries;
	if (!level) {
		for (const other of others) errors.push(`filter chain ${JSON.stringify(other.name)} has the same matching rules as ${JSON.stringify(first?.name)}`);
		return () => first?.value;
	}
	const groups = new Map<string, Entry<T>[]>();
	for (const entry of entries) {
		const keys = level.keysOf(entry.match);
		for (const key of new Set(keys.length === 0 ? [""] : keys.map((k) => k.toLowerCase()))) {
			const group = groups.get(key);
			if (group) group.push(entry);
			else groups.set(key, [entry]);
		}
	}
	const children = new Map(Array.from(groups, ([key, group]) => [restoreCase(key), buildLevel(group, depth + 1, errors)]));
	// Most levels of most listeners say nothing: skip them.
	const any = children.get("");
	if (children.size === 1 && any) return any;
	return (facts) => level.find(children, facts)?.(facts);
}

/** Keys are compared in lower case, but the one source type has a capital. */
function restoreCase(key: string): string {
	return key === "sameiporloopback" ? "sameIpOrLoopback" : key;
}

const parsedRanges = new Map<string, CidrRange | undefined>();
const parsedRangesMax = 10_000;

function rangeOf(text: string): CidrRange | undefined {
	if (parsedRanges.has(text)) return parsedRanges.get(text);
	const range = parseCidr(text);
	if (parsedRanges.size < parsedRangesMax) parsedRanges.set(text, range);
	return range;
}

/** The longest range that holds the address; `""` is the entry of chains that name none. */
function findRange<N>(children: ReadonlyMap<string, N>, ip: IpBytes | undefined): N | undefined {
	let best = children.get("");
	let bestBits = -1;
	if (!ip) return best;
	for (const [text, child] of children) {
		const range = text === "" ? undefined : rangeOf(text);
		if (range && range.prefixBits > bestBits && matchCidr(range, ip)) {
			best = child;
			bestBits = range.prefixBits;
		}
	}
	return best;
}

/** The name itself, then `*.b.c`, `*.c`, then chains without names. */
function findServerName<N>(children: ReadonlyMap<string, N>, serverName: string): N | undefined {
	const exact = serverName === "" ? undefined : children.get(serverName);
	if (exact !== undefined) return exact;
	for (let dot = serverName.indexOf("."); dot >= 0; dot = serverName.indexOf(".", dot + 1)) {
		const wildcard = children.get(`*${serverName.slice(dot)}`);
		if (wildcard !== undefined) return wildcard;
	}
	return children.get("");
}

function findFirst<N>(children: ReadonlyMap<string, N>, protocols: readonly string[]): N | undefined {
	for (const protocol of protocols) {
		const child = children.get(protocol.toLowerCase());
		if (child !== undefined) return child;
	}
	return children.get("");
}
