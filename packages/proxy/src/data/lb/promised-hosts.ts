import type { Cluster } from "../../config/clusters.ts";
import type { ClusterHosts } from "../../config/hosts.ts";
import { type ChooseContext, createChooseContext, type HostEntry } from "./host-entry.ts";
import type { HostSet, Membership } from "./host-set.ts";
import type { LocalHosts } from "./zone-routing.ts";

/** Choices that can be looked at before they are due: who was promised comes next. For policies that do not look at a request. */
export class PromisedHosts implements HostSet {
	readonly #set: HostSet;
	readonly #promised: HostEntry[] = [];

	constructor(set: HostSet) {
		this.#set = set;
	}

	choose(context: ChooseContext): HostEntry | undefined {
		const isFree = context.override === undefined && context.excludedPriorities.length === 0;
		for (let next = isFree ? this.#promised.shift() : undefined; next !== undefined; next = this.#promised.shift()) {
			if (next.inUse && context.avoided?.avoids(next) !== true) return next;
		}
		return this.#set.choose(context);
	}

	/** One promise a healthy host at most, as in Envoy; undefined: there are as many. */
	peek(): HostEntry | undefined {
		if (this.#promised.length >= this.#set.membership().healthy) return undefined;
		const next = this.#set.choose(createChooseContext());
		if (next !== undefined) this.#promised.push(next);
		return next;
	}

	update(hosts: ClusterHosts, cluster: Cluster): readonly HostEntry[] {
		this.#promised.length = 0;
		return this.#set.update(hosts, cluster);
	}

	entries(): Iterable<HostEntry> {
		return this.#set.entries();
	}

	membership(): Membership {
		return this.#set.membership();
	}

	get panics(): number {
		return this.#set.panics;
	}

	get local(): LocalHosts | undefined {
		return this.#set.local;
	}
}
