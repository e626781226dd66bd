import type { HostEntry } from "../lb/host-entry.ts";
import type { ChosenTransport } from "./chosen-transport.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import { AutoPool } from "./auto-pool.ts";
import type { HttpPool, PoolProtocol } from "./exchange.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";
import { PoolConnector } from "./pool-connector.ts";
import { TcpPool } from "./tcp-pool.ts";

const poolsMax = 64;

/** The pools of one host: one for each way of connecting (server name, priority, protocol). */
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

	pool(transport: ChosenTransport, priority: "default" | "high", protocol: PoolProtocol | "tcp"): HttpPool {
		const last = this.#last;
		if (last !== undefined && last.transport === transport && last.priority === priority && last.protocol === protocol) return last;
		const key = `${priority} ${protocol} ${transport.key}`;
		let pool = this.#pools.get(key);
		// A transport that was rebuilt (new certificates) has a new key.
		if (pool === undefined) {
			this.#makeRoom();
			pool = this.#create(new PoolConnector(this.#cluster, this.#host, transport, priority), protocol);
			this.#pools.set(key, pool);
		}
		this.#last = pool;
		return pool;
	}

	#create(connector: PoolConnector, protocol: PoolProtocol | "tcp"): HttpPool {
		if (protocol === "tcp") return new TcpPool(connector);
		if (protocol === "auto") return new AutoPool(connector);
		return protocol === "HTTP/2" ? new Http2Pool(connector) : new Http1Pool(connector);
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
