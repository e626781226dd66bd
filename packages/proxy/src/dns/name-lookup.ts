import { isIPv4, isIPv6, SocketAddress } from "node:net";
import type { NameTable, NameTable_NameInfo } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import { type Answer, queryType } from "./message.ts";

// What a sidecar answers by itself: https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/

export interface LookupOptions {
	/** Of the pod. */
	readonly namespace: string;
	/** `default.svc.cluster.local` */
	readonly domain: string;
	/** `search` of resolv.conf. */
	readonly search: readonly string[];
}

/** Answers for a name (lower case, no final dot); undefined: the name is none of the mesh's, or it is asked for another type. */
export type NameLookup = (name: string, type: number) => readonly Answer[] | undefined;

interface Addresses {
	readonly v4: readonly Buffer[];
	readonly v6: readonly Buffer[];
}

export function compileNames({ table }: NameTable, options: LookupOptions): NameLookup {
	const names = new Map<string, Addresses>();
	const aliases = new Map<string, string>();
	const [search] = options.search;
	for (const [host, info] of Object.entries(table)) {
		const addresses = addressesOf(info);
		const own = new Set([host.toLowerCase(), ...shortNames(host, info, options), ...info.altHosts.map((name) => name.toLowerCase())]);
		for (const name of own) {
			names.set(name, addresses);
			// A resolver tries its search list before the name itself: the first try is answered, the others are not made.
			if (search !== undefined && !own.has(`${name}.${search}`)) aliases.set(`${name}.${search}`, name);
		}
	}
	return (name, type) => {
		if (type !== queryType.a && type !== queryType.aaaa) return undefined;
		const found = findName(name, names, aliases);
		return found && answersOf(name, found, type);
	};
}

interface Found {
	readonly alias: string | undefined;
	readonly addresses: Addresses;
}

function findName(name: string, names: ReadonlyMap<string, Addresses>, aliases: ReadonlyMap<string, string>): Found | undefined {
	const exact = findExact(name, names, aliases);
	if (exact) return exact;
	for (let dot = name.indexOf("."); dot >= 0; dot = name.indexOf(".", dot + 1)) {
		const wildcard = findExact(`*${name.slice(dot)}`, names, aliases);
		if (wildcard === undefined) continue;
		// `*.example.com.SEARCH` stands for NAME.example.com: the alias is of the name that was asked for.
		const cut = wildcard.alias === undefined ? 0 : name.length - (`*${name.slice(dot)}`.length - wildcard.alias.length);
		return { addresses: wildcard.addresses, alias: wildcard.alias === undefined ? undefined : name.slice(0, cut) };
	}
	return undefined;
}

function findExact(name: string, names: ReadonlyMap<string, Addresses>, aliases: ReadonlyMap<string, string>): Found | undefined {
	const direct = names.get(name);
	if (direct) return { alias: undefined, addresses: direct };
	const alias = aliases.get(name);
	const addresses = alias === undefined ? undefined : names.get(alias);
	return addresses && { alias, addresses };
}

/** Of a name without addresses of the type asked for there is nothing to say, which is an answer, too: it exists. */
function answersOf(name: string, { alias, addresses: { v4, v6 } }: Found, type: number): readonly Answer[] {
	const all = shuffled(type === queryType.a ? v4 : v6);
	const records = all.map((address): Answer => ({ kind: "address", name: alias ?? name, address }));
	return alias === undefined ? records : [{ kind: "alias", name, target: alias }, ...records];
}

/** Clients take the first address: each is to come first as often. */
function shuffled<T>(items: readonly T[]): readonly T[] {
	if (items.length < 2) return items;
	const start = Math.floor(Math.random() * items.length);
	return [...items.slice(start), ...items.slice(0, start)];
}

function shortNames(host: string, { shortname, namespace }: NameTable_NameInfo, options: LookupOptions): readonly string[] {
	if (shortname === "" || namespace === "") return [];
	const [, zone = "svc", ...rest] = options.domain.split(".");
	// A service of another cluster's domain has no short name here.
	if (!host.endsWith(`.${[zone, ...rest].join(".")}`)) return [];
	const inNamespace = `${shortname}.${namespace}`;
	return [...(namespace === options.namespace ? [shortname] : []), inNamespace, `${inNamespace}.${zone}`].map((name) => name.toLowerCase());
}

function addressesOf({ ips }: NameTable_NameInfo): Addresses {
	return { v4: ips.filter(isIPv4).map(bytesOfV4), v6: ips.filter(isIPv6).map(bytesOfV6) };
}

const bytesOfV4 = (address: string): Buffer => Buffer.from(address.split(".").map(Number));

function bytesOfV6(address: string): Buffer {
	// Node writes the address in one way, with an IPv4 end as hexadecimal groups or dotted.
	const { address: plain } = new SocketAddress({ address, family: "ipv6" });
	const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(plain);
	const hex = (a = "0", b = "0") => ((Number(a) << 8) | Number(b)).toString(16);
	const text = dotted ? `${dotted[1]}${hex(dotted[2], dotted[3])}:${hex(dotted[4], dotted[5])}` : plain;
	const [head = "", tail] = text.split("::");
	const groups = (part: string) => (part === "" ? [] : part.split(":").map((group) => Number.parseInt(group, 16)));
	const [left, right] = [groups(head), tail === undefined ? [] : groups(tail)];
	const all = tail === undefined ? left : [...left, ...Array<number>(8 - left.length - right.length).fill(0), ...right];
	const bytes = Buffer.alloc(16);
	for (const [i, group] of all.entries()) bytes.writeUInt16BE(group, i * 2);
	return bytes;
}
