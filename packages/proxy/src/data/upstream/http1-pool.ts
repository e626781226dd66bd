import type { Connection } from "../transport/connection.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import { clusterStat } from "./cluster-stats.ts";
import type { HttpPool, PoolClient } from "./exchange.ts";
import { Http1Upstream } from "./http1-upstream.ts";
import type { ConnectorOwner, PoolConnector } from "./pool-connector.ts";
import { preconnectsMax } from "./preconnect.ts";

/**
 * HTTP/1 connections to one host: newest idle one first, so that the others can grow old and close; no pipelining,
 * what finds no connection waits.
 */
export class Http1Pool implements HttpPool, ConnectorOwner {
	readonly protocol = "HTTP/1.1";
	readonly #connector: PoolConnector;
	readonly #idle: Http1Upstream[] = [];

	constructor(connector: PoolConnector) {
		this.#connector = connector;
		connector.owner = this;
	}

	get cluster(): ClusterRuntime {
		return this.#connector.cluster;
	}
	get transport(): HttpPool["transport"] {
		return this.#connector.transport;
	}
	get priority(): HttpPool["priority"] {
		return this.#connector.priority;
	}
	get isEmpty(): boolean {
		return this.#connector.isEmpty;
	}

	acquire(client: PoolClient): Http1Upstream | undefined {
		const idle = this.#idle.pop();
		const connector = this.#connector;
		if (idle === undefined && connector.wait(client) && connector.connecting < connector.waiting) connector.connectFor(client);
		const ratio = this.cluster.config.preconnectRatio;
		if (ratio !== undefined) this.#preconnect(ratio);
		return idle;
	}

	/** Connections ahead of the next requests; some at a time, as Envoy. */
	#preconnect(ratio: number): void {
		const { open, connecting, waiting } = this.#connector;
		const busy = open - this.#idle.length;
		const missing = Math.ceil((busy + waiting) * ratio) - open - connecting;
		for (let i = 1; i <= Math.min(missing, preconnectsMax); i++) {
			this.#connector.connect();
			// The cluster's limit is reached, and counted once.
			if (this.#connector.connecting < connecting + i) return;
		}
	}

	preconnect(ratio: number): boolean {
		const { open, waiting } = this.#connector;
		return this.#connector.preconnect(open - this.#idle.length + waiting + 1, 1, ratio);
	}

	cancel(client: PoolClient): void {
		this.#connector.cancel(client);
	}

	onConnected(connection: Connection): void {
		this.cluster.count(clusterStat.upstream_cx_http1_total);
		const upstream = new Http1Upstream(this, connection);
		connection.resume();
		this.#offer(upstream);
	}

	/** Counted all the same, as in Envoy. */
	onConnectFailed(): void {
		this.cluster.count(clusterStat.upstream_cx_http1_total);
	}

	#offer(upstream: Http1Upstream): void {
		const client = this.#connector.next();
		if (client !== undefined) return client.onPoolReady(upstream);
		this.#idle.push(upstream);
		upstream.rest();
	}

	/** The exchange is over and the connection is good for another. */
	giveBack(upstream: Http1Upstream): void {
		if (this.#connector.isUnwanted) upstream.close();
		else this.#offer(upstream);
	}

	/** Called once by each connection that ends, by whoever's doing. */
	closed(upstream: Http1Upstream, isActive: boolean): void {
		const connector = this.#connector;
		connector.closed(upstream, isActive);
		const at = this.#idle.indexOf(upstream);
		if (at >= 0) this.#idle.splice(at, 1);
		if (connector.waiting > connector.connecting) connector.connect();
	}

	drain(): void {
		for (const upstream of this.#idle.splice(0)) upstream.close();
		this.#connector.drain();
	}
}
