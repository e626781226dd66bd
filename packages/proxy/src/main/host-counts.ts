import type { CountedLoad, DropCounts, HostsOfClusters } from "../config/worker-messages.ts";
import type { HostCounts } from "../data/lb/host-entry.ts";

export type CountedHost = HostCounts & { readonly rq_active: number };

export function mergeLoad(all: readonly CountedLoad[]): CountedLoad {
	const drops = new Map<string, DropCounts>();
	for (const [cluster, { total, overload }] of all.flatMap((one) => [...one.drops])) {
		const known = drops.get(cluster);
		drops.set(cluster, { total: total + (known?.total ?? 0), overload: overload + (known?.overload ?? 0) });
	}
	return { hosts: mergeHostCounts(all.map(({ hosts }) => hosts)), drops };
}

/** Adds up what the workers counted of each host. */
export function mergeHostCounts(all: readonly HostsOfClusters[]): HostsOfClusters {
	if (all.length === 1) return all[0] as HostsOfClusters;
	const merged = new Map<string, Map<string, CountedHost>>();
	for (const [cluster, hosts] of all.flatMap((one) => [...one])) {
		const into = merged.get(cluster) ?? new Map<string, CountedHost>();
		for (const [address, counts] of hosts) {
			const known = into.get(address);
			into.set(address, known === undefined ? counts : addCounts(known, counts));
		}
		merged.set(cluster, into);
	}
	return merged;
}

function addCounts(a: CountedHost, b: CountedHost): CountedHost {
	return {
		rq_total: a.rq_total + b.rq_total,
		rq_success: a.rq_success + b.rq_success,
		rq_error: a.rq_error + b.rq_error,
		rq_timeout: a.rq_timeout + b.rq_timeout,
		rq_pending_active: a.rq_pending_active + b.rq_pending_active,
		rq_active: a.rq_active + b.rq_active,
		cx_total: a.cx_total + b.cx_total,
		cx_active: a.cx_active + b.cx_active,
		cx_connect_fail: a.cx_connect_fail + b.cx_connect_fail,
	};
}
