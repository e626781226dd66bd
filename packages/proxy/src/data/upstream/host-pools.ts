import type { HostEntry } from "../lb/host-entry.ts";
import type { ChosenTransport } from "../tls/upstream-tls.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import type { HttpPool } from "./exchange.ts";
import { Http1Pool } from "./http1-pool.ts";

const poolsMax = 64;

/** The pools of one host: one for each way of connecting (server name, priority). */
export class HostPools {
	readonly #cluster: ClusterRuntime;
	readonly #host: HostEntry;
	readonly #pools = new Map<string, HttpPool>();
	/** Nearly all hosts have just this one. */
	#last: HttpPool | undefined;

	constructor(cluster: ClusterRuntime, host: HostEntry) {
		this.#cluster = cluster;
		this.#host = host;
	}

	pool(transport: ChosenTransport, priority: "default" | "high"): HttpPool {
		const last = this.#last;
		if (last !== undefined && last.transport === transport && last.priority === priority) return last;
		const key = `${priority} ${transport.key}`;
		let pool = this.#pools.get(key);
		// A transport that was rebuilt (new certificates) has a new key.
		if (pool === undefined) {
			this.#makeRoom();
			pool = new Http1Pool(this.#cluster, this.#host, transport, priority);
			this.#pools.set(key, pool);
		}
		this.#last = pool;
		return pool;
	}

	#makeRoom(): void {
		for (const [key, pool] of this.#pools) {
			if (this.#pools.size < poolsMax) return;
			if (!pool.isEmpty) continue;
			pool.drain();
			this.#pools.delete(key);
		}
	}

	/** Connections made before a change of certificates are not reused. */
	drain(): void {
		for (const pool of this.#pools.values()) pool.drain();
		this.#pools.clear();
		this.#last = undefined;
	}
}
