import { upstreamAlpn } from "../tls/upstream-tls.ts";
import type { Connection } from "../transport/connection.ts";
import type { HttpPool, PoolClient, PoolFailure, UpstreamExchange, UpstreamProtocol } from "./exchange.ts";
import { Http1Pool } from "./http1-pool.ts";
import { Http2Pool } from "./http2-pool.ts";
import type { ConnectorOwner, PoolConnector } from "./pool-connector.ts";

/** Speaks what the host agrees to in the TLS handshake (`auto_config`): the first connection tells. */
export class AutoPool implements HttpPool, ConnectorOwner {
	readonly protocol = "auto";
	readonly #connector: PoolConnector;
	#agreed: Http1Pool | Http2Pool | undefined;

	constructor(connector: PoolConnector) {
		this.#connector = connector;
		connector.owner = this;
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

	acquire(client: PoolClient): UpstreamExchange | undefined {
		if (this.#agreed !== undefined) return this.#agreed.acquire(client);
		if (this.#connector.wait(client) && this.#connector.connecting === 0) this.#connector.connectFor(client);
		return undefined;
	}

	preconnect(ratio: number): boolean {
		return this.#agreed?.preconnect(ratio) ?? this.#connector.preconnect(this.#connector.waiting + 1, 1, ratio);
	}

	cancel(client: PoolClient): void {
		this.#connector.cancel(client);
	}

	onConnected(connection: Connection): void {
		const protocol: UpstreamProtocol = upstreamAlpn(connection) === "h2" ? "HTTP/2" : "HTTP/1.1";
		if (this.#agreed !== undefined && this.#agreed.protocol !== protocol) return this.#start(connection);
		if (this.#agreed === undefined) {
			this.#agreed = protocol === "HTTP/2" ? new Http2Pool(this.#connector) : new Http1Pool(this.#connector);
			// Later connections are looked at too.
			this.#connector.owner = this;
		}
		this.#agreed.onConnected(connection);
		// HTTP/1 takes one client a connection, and the first made only one for all.
		if (protocol === "HTTP/1.1") for (let missing = this.#connector.waiting - this.#connector.connecting; missing > 0; missing--) this.#connector.connect();
	}

	/** The host has changed its mind: what is open is used up, and who waits tries again. */
	#start(connection: Connection): void {
		this.#agreed = undefined;
		connection.destroy();
		this.#connector.closed({ isOurEnd: true, openedAt: this.#connector.cluster.context.nowMs(), requests: 0 }, false);
		this.#connector.failAll("remoteConnectionFailure", "the host agreed to another protocol than before");
	}

	onConnectFailed(_failure: PoolFailure, _transportFailure: string): void {}

	drain(): void {
		if (this.#agreed === undefined) this.#connector.drain();
		else this.#agreed.drain();
	}
}
