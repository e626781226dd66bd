import type { Cluster } from "../config/clusters.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import type { SocketAddress } from "../config/sockets.ts";
import type { SlotAllocator } from "../config/shared-state.ts";

/** Hands out the slots of shared state: one a cluster, one a host of a cluster, the same as long as it is there. */
export class SlotTable {
	readonly #allocator: SlotAllocator;
	readonly #clusters = new Map<string, number>();
	readonly #hosts = new Map<string, Map<string, number>>();

	constructor(allocator: SlotAllocator) {
		this.#allocator = allocator;
	}

	withSlot(cluster: Cluster): Cluster {
		let slot = this.#clusters.get(cluster.name);
		if (slot === undefined) {
			slot = this.#allocator.allocate();
			this.#clusters.set(cluster.name, slot);
		}
		return { ...cluster, breakerSlot: slot };
	}

	/** Also gives the slots that this assignment no longer uses: to be freed once the workers have it. */
	withHostSlots(hosts: ClusterHosts): { readonly hosts: ClusterHosts; readonly unused: readonly number[] } {
		const before = this.#hosts.get(hosts.cluster) ?? new Map<string, number>();
		const after = new Map<string, number>();
		const slotOf = (address: SocketAddress) => {
			const key = addressText(address);
			const slot = after.get(key) ?? before.get(key) ?? this.#allocator.allocate();
			after.set(key, slot);
			return slot;
		};
		const priorities = hosts.priorities.map((localities) =>
			localities.map((locality) => ({ ...locality, hosts: locality.hosts.map((host) => ({ ...host, slot: slotOf(host.address) })) })),
		);
		this.#hosts.set(hosts.cluster, after);
		const unused = [...before].filter(([key]) => !after.has(key)).map(([, slot]) => slot);
		return { hosts: { ...hosts, priorities }, unused };
	}

	/** Forgets a cluster; its slots are to be freed once no worker uses them. */
	remove(cluster: string): readonly number[] {
		const slots = [...(this.#hosts.get(cluster)?.values() ?? [])];
		const breaker = this.#clusters.get(cluster);
		this.#clusters.delete(cluster);
		this.#hosts.delete(cluster);
		return breaker === undefined ? slots : [...slots, breaker];
	}

	free(slots: readonly number[]): void {
		for (const slot of slots) this.#allocator.free(slot);
	}
}

export function addressText(address: SocketAddress): string {
	if (address.kind === "pipe") return address.path;
	return address.address.includes(":") ? `[${address.address}]:${address.port}` : `${address.address}:${address.port}`;
}
