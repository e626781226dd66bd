/**
 * Envoy's choice of a virtual host: the exact domain, else the longest `*.suffix`, else the longest `prefix.*`, else `*`.
 * A wildcard stands for at least one character. Hosts are compared in lower case.
 */
export interface VirtualHostIndex<T> {
	match(authority: string): T | undefined;
}

interface Wildcards<T> {
	/** Longest first. */
	readonly lengths: readonly number[];
	readonly byText: ReadonlyMap<string, T>;
}

/** Duplicate domains are reported; the first one stays in force. */
export function buildVirtualHostIndex<T>(
	hosts: readonly { readonly name: string; readonly domains: readonly string[]; readonly value: T }[],
	ignorePort: boolean,
	errors: string[],
): VirtualHostIndex<T> {
	const exact = new Map<string, T>();
	const suffixes = new Map<string, T>();
	const prefixes = new Map<string, T>();
	const catchAll: T[] = [];
	for (const { name, domains, value } of hosts) {
		for (const domain of domains.map((d) => d.toLowerCase())) {
			if (domain === "*") {
				if (catchAll.length > 0) errors.push(`virtual host ${JSON.stringify(name)}: only a single wildcard domain is permitted`);
				catchAll.push(value);
				continue;
			}
			const [map, key] = domain.startsWith("*") ? [suffixes, domain.slice(1)] : domain.endsWith("*") ? [prefixes, domain.slice(0, -1)] : [exact, domain];
			if (map.has(key)) errors.push(`virtual host ${JSON.stringify(name)}: domain ${JSON.stringify(domain)} is already taken by another virtual host`);
			else map.set(key, value);
		}
	}
	const [suffix, prefix] = [toWildcards(suffixes), toWildcards(prefixes)];
	const find = (authority: string) => {
		const host = toHostKey(authority, ignorePort);
		return exact.get(host) ?? matchWildcard(suffix, host, sliceEnd) ?? matchWildcard(prefix, host, sliceStart) ?? catchAll[0];
	};
	// Most requests in a row are for the same host.
	let last = "";
	let found = find(last);
	return {
		match(authority) {
			if (authority === last) return found;
			last = authority;
			found = find(authority);
			return found;
		},
	};
}

function toWildcards<T>(byText: ReadonlyMap<string, T>): Wildcards<T> {
	return { lengths: [...new Set(Array.from(byText.keys(), (text) => text.length))].sort((a, b) => b - a), byText };
}

const sliceEnd = (host: string, length: number) => host.slice(host.length - length);
const sliceStart = (host: string, length: number) => host.slice(0, length);

function matchWildcard<T>({ lengths, byText }: Wildcards<T>, host: string, slice: (host: string, length: number) => string): T | undefined {
	for (const length of lengths) {
		if (length >= host.length) continue;
		const found = byText.get(slice(host, length));
		if (found !== undefined) return found;
	}
	return undefined;
}

function toHostKey(authority: string, ignorePort: boolean): string {
	return ignorePort ? stripPort(authority).toLowerCase() : authority.toLowerCase();
}

/** `host:port` → `host`; an IPv6 literal keeps its brackets. */
export function stripPort(authority: string): string {
	const colon = authority.lastIndexOf(":");
	if (colon < 0 || authority.charCodeAt(authority.length - 1) === 93) return authority;
	// A second colon outside brackets is a bare IPv6 address, not a port.
	if (authority.charCodeAt(0) !== 91 && authority.indexOf(":") !== colon) return authority;
	return authority.slice(0, colon);
}
