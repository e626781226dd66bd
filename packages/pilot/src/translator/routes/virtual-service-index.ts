import type { EgressListener, VirtualService } from "../../model/push.ts";

/** Which VirtualService speaks for a host: the oldest that names it, else the one with the longest wildcard that fits. */
export interface VirtualServiceIndex {
	readonly forHost: (host: string) => VirtualService | undefined;
	/** All that may speak for a host, the one that `forHost` names first: where it has nothing to say on a port, the next one does. */
	readonly candidates: (host: string) => readonly VirtualService[];
	/** All that name a host, a wildcard around it or a host below it, the oldest first: connections, unlike requests, take the routes of all of them. */
	readonly overlapping: (host: string) => readonly VirtualService[];
}

const indexes = new WeakMap<readonly VirtualService[], VirtualServiceIndex>();

export function virtualServiceIndex({ virtualServices }: Pick<EgressListener, "virtualServices">): VirtualServiceIndex {
	const known = indexes.get(virtualServices);
	if (known) return known;
	const index = buildIndex(virtualServices);
	indexes.set(virtualServices, index);
	return index;
}

function buildIndex(virtualServices: readonly VirtualService[]): VirtualServiceIndex {
	const byHost = new Map<string, VirtualService[]>();
	for (const virtualService of virtualServices) {
		for (const host of new Set(virtualService.hosts.map((name) => name.toLowerCase()))) {
			const list = byHost.get(host);
			if (list) list.push(virtualService);
			else byHost.set(host, [virtualService]);
		}
	}
	const wildcards = [...byHost.keys()].filter((host) => host.startsWith("*")).sort((a, b) => b.length - a.length);
	const candidates = (name: string): readonly VirtualService[] => {
		const host = name.toLowerCase();
		const exact = byHost.get(host);
		if (exact) return exact;
		const wildcard = wildcards.find((pattern) => matchWildcard(pattern, host));
		return wildcard === undefined ? [] : (byHost.get(wildcard)?.slice(0, 1) ?? []);
	};
	const overlapping = (name: string): readonly VirtualService[] => {
		const host = name.toLowerCase();
		const below = host.startsWith("*") ? [...byHost.keys()].filter((key) => matchWildcard(host, key)) : [host];
		const around = wildcards.filter((pattern) => matchWildcard(pattern, host));
		const found = new Set([...below, ...around].flatMap((key) => byHost.get(key) ?? []));
		return found.size < 2 ? [...found] : virtualServices.filter((virtualService) => found.has(virtualService));
	};
	return {
		forHost: (host) => candidates(host)[0],
		candidates,
		overlapping,
	};
}

/** `*.example.com` takes every name below `example.com`, also another wildcard's. */
export function matchWildcard(pattern: string, host: string): boolean {
	return pattern === "*" || (host.length >= pattern.length && host.endsWith(pattern.slice(1)));
}
