import type { Connection } from "../transport/connection.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import { clusterStat } from "./cluster-stats.ts";
import type { HttpPool, PoolClient, UpstreamExchange } from "./exchange.ts";
import { Http2Upstream } from "./http2-upstream.ts";
import type { ConnectorOwner, PoolConnector } from "./pool-connector.ts";

/** HTTP/2 connections to one host: one, as long as it takes more streams, then another. */
export class Http2Pool implements HttpPool, ConnectorOwner {
	readonly protocol = "HTTP/2";
	readonly #connector: PoolConnector;
	readonly #upstreams: Http2Upstream[] = [];

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
	get isUnwanted(): boolean {
		return this.#connector.isUnwanted;
	}

	acquire(client: PoolClient): UpstreamExchange | undefined {
		for (const upstream of this.#upstreams) if (upstream.hasRoom) return upstream.open();
		if (this.#connector.wait(client) && this.#needsConnection) this.#connector.connectFor(client);
		return undefined;
	}

	preconnect(ratio: number): boolean {
		const active = this.#upstreams.reduce((sum, { session }) => sum + session.streams.size, 0);
		return this.#connector.preconnect(active + this.#connector.waiting + 1, this.cluster.config.http2.maxConcurrentStreams, ratio);
	}

	cancel(client: PoolClient): void {
		this.#connector.cancel(client);
	}

	get #needsConnection(): boolean {
		const connector = this.#connector;
		return connector.waiting > connector.connecting * this.cluster.config.http2.maxConcurrentStreams;
	}

	onConnected(connection: Connection): void {
		this.cluster.count(clusterStat.upstream_cx_http2_total);
		const upstream = new Http2Upstream(this, connection);
		this.#upstreams.push(upstream);
		connection.resume();
		this.offer(upstream);
	}

	/** Counted all the same, as in Envoy. */
	onConnectFailed(): void {
		this.cluster.count(clusterStat.upstream_cx_http2_total);
	}

	/** The connection can take streams. */
	offer(upstream: Http2Upstream): void {
		while (upstream.hasRoom) {
			const client = this.#connector.next();
			if (client === undefined) return;
			client.onPoolReady(upstream.open());
		}
	}

	/** It takes no more streams: others are to have their own connection. */
	left(upstream: Http2Upstream): void {
		const at = this.#upstreams.indexOf(upstream);
		if (at >= 0) this.#upstreams.splice(at, 1);
		if (this.#needsConnection) this.#connector.connect();
	}

	/** Called once by each connection that ends, by whoever's doing. */
	closed(upstream: Http2Upstream, isActive: boolean): void {
		this.#connector.closed(upstream, isActive);
		this.left(upstream);
	}

	drain(): void {
		this.#connector.drain();
		for (const upstream of [...this.#upstreams]) upstream.drain();
	}
}
