import type { RequestHead } from "../codec/request-head.ts";
import { formatSocketAddress } from "../lb/host-entry.ts";
import type { Connection, ConnectionHandler } from "../transport/connection.ts";
import type { ClusterRuntime } from "./cluster-runtime.ts";
import { clusterStat } from "./cluster-stats.ts";
import type { HttpPool, PoolClient, ResetReason, UpstreamClient, UpstreamExchange } from "./exchange.ts";
import type { ConnectorOwner, PoolConnector } from "./pool-connector.ts";

/** Connections to one host that carry what comes inside CONNECT requests that end here: one for each request, never used again. */
export class TcpPool implements HttpPool, ConnectorOwner {
	readonly protocol = "tcp";
	readonly #connector: PoolConnector;

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

	acquire(client: PoolClient): undefined {
		const connector = this.#connector;
		if (connector.wait(client) && connector.connecting < connector.waiting) connector.connectFor(client);
	}

	cancel(client: PoolClient): void {
		this.#connector.cancel(client);
	}

	/** Who connects is told of the connection by its first bytes: there is none to have ahead. */
	preconnect(): boolean {
		return false;
	}

	onConnected(connection: Connection): void {
		const client = this.#connector.next();
		const exchange = new TcpExchange(this, connection);
		// Whoever asked for it is gone.
		if (client === undefined) return exchange.abandon();
		client.onPoolReady(exchange);
		connection.resume();
	}

	onConnectFailed(): void {}

	closed(exchange: TcpExchange, isActive: boolean): void {
		const connector = this.#connector;
		connector.closed(exchange, isActive);
		if (connector.waiting > connector.connecting) connector.connect();
	}

	drain(): void {
		this.#connector.drain();
	}
}

/** The bytes of one CONNECT request, without its head; the answer's head is ours, as soon as there is a connection. */
class TcpExchange implements ConnectionHandler, UpstreamExchange {
	readonly protocol = "";
	readonly isReused = false;
	readonly requests = 1;
	readonly connection: Connection;
	readonly openedAt: number;
	hasAnswered = false;
	isOurEnd = false;
	readonly #pool: TcpPool;
	#client: UpstreamClient | undefined;

	constructor(pool: TcpPool, connection: Connection) {
		this.#pool = pool;
		this.connection = connection;
		this.openedAt = pool.cluster.context.nowMs();
		connection.handler = this;
	}

	get localAddress(): string {
		const { localAddress, localPort } = this.connection;
		return formatSocketAddress({ kind: "ip", address: localAddress, port: localPort });
	}

	begin(client: UpstreamClient): void {
		this.#client = client;
	}

	/** Answered when the caller is done with what it does after a head. */
	sendHead(_head: RequestHead, _upgrade: string, _isEnd: boolean): void {
		queueMicrotask(() => {
			const client = this.#client;
			if (client === undefined) return;
			this.hasAnswered = true;
			client.response.clear();
			client.response.status = 200;
			client.onResponseHead(true);
			this.#pool.cluster.context.output.flush();
		});
	}

	sendBody(bytes: Buffer, start: number, end: number): void {
		if (end > start) this.#pool.cluster.context.output.sendBytes(this.connection, bytes, start, end);
	}

	sendEnd(): void {
		this.#pool.cluster.context.output.flush();
		this.connection.end();
	}

	pause(): void {
		this.connection.pause();
	}

	resume(): void {
		this.connection.resume();
	}

	onData(bytes: Buffer, start: number, end: number): void {
		this.#pool.cluster.count(clusterStat.upstream_cx_rx_bytes_total, end - start);
		this.#client?.onResponseBody(bytes, start, end);
	}

	onEnd(): void {
		const client = this.#client;
		this.#client = undefined;
		client?.onResponseEnd();
		this.connection.destroy();
	}

	onBlocked(): void {
		this.#client?.onUpstreamBlocked();
	}

	onDrain(): void {
		this.#client?.onUpstreamDrain();
	}

	onClose(): void {
		this.#pool.cluster.context.output.discard(this.connection);
		const client = this.#client;
		this.#client = undefined;
		this.#pool.closed(this, client !== undefined);
		client?.onUpstreamReset("connectionTermination" satisfies ResetReason, "");
	}

	abandon(): void {
		this.isOurEnd = true;
		this.#client = undefined;
		this.connection.destroy();
	}
}
