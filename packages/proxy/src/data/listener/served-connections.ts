import type { CompiledManager } from "../http/connection-manager.ts";
import { Http1ServerConnection } from "../http/http1-server-connection.ts";
import { Http2ServerConnection } from "../http/http2-server-connection.ts";
import { guardDispatch } from "../http/load-shedding.ts";
import type { StreamPool } from "../http/stream-pool.ts";
import { leaveChain } from "./chain-slot.ts";
import type { ChainRuntime, TerminalFilter } from "./filter-chain-runtime.ts";
import type { ListenerLog } from "./listener-log.ts";
import type { ListenerStats } from "./listener-stats.ts";
import { answerDirectly, echo } from "./plain-services.ts";
import type { Reconnecting } from "./reconnects.ts";
import type { ConnectionInfo, StreamInfo } from "../log/stream-info.ts";
import { tcpClusterKey } from "../../config/stream-data.ts";
import { TcpSession, type TcpTarget } from "../tcp/tcp-proxy.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import type { WorkerContext } from "../worker/context.ts";

/** As filters say, else as the TCP proxy does; among several clusters it has the word alone. */
function targetOf(chain: ChainRuntime, info: ConnectionInfo, proxy: Extract<TerminalFilter, { kind: "tcpProxy" }>): Pick<TcpTarget, "cluster" | "metadata"> {
	const named = info.filterState?.get(tcpClusterKey)?.text;
	if (named !== undefined && proxy.proxy.config.cluster.kind !== "weighted") return { cluster: named, metadata: undefined };
	return chain.isSniCluster ? { cluster: info.requestedServerName, metadata: undefined } : proxy.chooseCluster();
}

type HttpServer = Http1ServerConnection | Http2ServerConnection;

/** The connections of one listener that have found their filter chain, and what serves them there. */
export class ServedConnections {
	readonly #context: WorkerContext;
	readonly #stats: ListenerStats;
	readonly #streams: StreamPool;
	readonly #log: ListenerLog;
	readonly #servers = new Set<HttpServer>();
	/** All but those of HTTP, and those that wait for their filter chain. */
	readonly #others = new Set<Connection>();

	constructor(context: WorkerContext, stats: ListenerStats, streams: StreamPool, log: ListenerLog) {
		this.#context = context;
		this.#stats = stats;
		this.#streams = streams;
		this.#log = log;
	}

	/** Those that are not served yet. */
	hold(connection: Connection): void {
		this.#others.add(connection);
	}

	letGo(connection: Connection): void {
		this.#others.delete(connection);
	}

	get count(): number {
		return this.#servers.size + this.#others.size;
	}

	get busy(): number {
		let count = this.#others.size;
		for (const server of this.#servers) if (!server.isIdle) count++;
		return count;
	}

	get httpConnections(): Iterable<Reconnecting> {
		return this.#servers;
	}

	serve(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, bytes: Buffer | undefined, alpn = ""): void {
		if (chain.admit === undefined) return this.#serveAdmitted(connection, info, chain, bytes, alpn, info.dynamicMetadata);
		const judged = info.stream ?? this.#log.start(info);
		let isWaiting = true;
		connection.pause();
		this.#others.add(connection);
		const cancel = chain.admit(judged, (refused) => {
			isWaiting = false;
			this.#others.delete(connection);
			if (refused !== undefined) return this.#refuse(connection, judged, chain, refused);
			this.#serveAdmitted(connection, info, chain, bytes, alpn, judged.dynamicMetadata);
		});
		if (!isWaiting) return;
		// It does not read, so nothing comes but its end by our own hand.
		connection.handler = {
			...silentHandler,
			onClose: () => {
				cancel();
				this.#others.delete(connection);
				this.closed(chain, info);
			},
		};
	}

	#serveAdmitted(
		connection: Connection,
		info: ConnectionInfo,
		chain: ChainRuntime,
		bytes: Buffer | undefined,
		alpn: string,
		metadata: StreamInfo["dynamicMetadata"],
	): void {
		const { terminal } = chain;
		switch (terminal.kind) {
			case "http": {
				const { manager } = terminal;
				if (manager.config.codec !== "http1" && (alpn === "h2" || manager.config.codec === "http2"))
					return this.#serveHttp2(connection, info, chain, manager, bytes);
				return this.#serveHttp1(connection, info, chain, manager, bytes);
			}
			case "tcpProxy": {
				const session = new TcpSession(terminal.proxy, connection, info, this.#other(connection, info, chain));
				session.info.dynamicMetadata = metadata;
				return session.start({ ...targetOf(chain, info, terminal), bytes });
			}
			case "echo":
				return echo(connection, info, this.#context, bytes, this.#other(connection, info, chain));
			case "directResponse":
				return answerDirectly(connection, info, terminal.body, this.#other(connection, info, chain));
			case "missing":
				connection.destroy();
				return this.closed(chain, info);
		}
	}

	/** Not HTTP's. Gives what is to be called when it is gone. */
	#other(connection: Connection, info: ConnectionInfo, chain: ChainRuntime): () => void {
		this.#others.add(connection);
		return () => {
			this.#others.delete(connection);
			this.closed(chain, info);
		};
	}

	/** A network filter does not want it. */
	#refuse(connection: Connection, info: StreamInfo, chain: ChainRuntime, reason: string): void {
		info.endAt = this.#context.nowMs();
		info.connectionTerminationDetails = reason;
		connection.handler = silentHandler;
		if (chain.terminal.kind === "tcpProxy") for (const log of chain.terminal.proxy.accessLogs) log(info);
		connection.destroy();
		this.closed(chain, info.connection);
	}

	#serveHttp1(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, manager: CompiledManager, bytes: Buffer | undefined): void {
		const goOnWithHttp2 = (first: Buffer) => {
			this.#servers.delete(server);
			this.#serveHttp2(connection, info, chain, manager, first, true);
		};
		if (info.stream !== undefined) info.stream.protocol = "HTTP/1.1";
		const onHttp2 = manager.config.codec === "http1" ? undefined : goOnWithHttp2;
		const server: HttpServer = new Http1ServerConnection(connection, info, manager, this.#streams, onHttp2, () => {
			this.#servers.delete(server);
			this.closed(chain, info);
		});
		guardDispatch(server, manager, false);
		this.#servers.add(server);
		connection.resume();
		if (bytes !== undefined && bytes.length > 0) connection.handler.onData(bytes, 0, bytes.length);
	}

	#serveHttp2(
		connection: Connection,
		info: ConnectionInfo,
		chain: ChainRuntime,
		manager: CompiledManager,
		bytes: Buffer | undefined,
		isHandedOver = false,
	): void {
		if (info.stream !== undefined) info.stream.protocol = "HTTP/2";
		const server: HttpServer = new Http2ServerConnection(connection, info, manager, this.#streams, () => {
			this.#servers.delete(server);
			this.closed(chain, info);
		});
		guardDispatch(server, manager, isHandedOver);
		this.#servers.add(server);
		connection.resume();
		if (bytes !== undefined && bytes.length > 0) connection.handler.onData(bytes, 0, bytes.length);
	}

	/** The connection of this chain is gone. */
	closed(chain: ChainRuntime, { stream }: ConnectionInfo): void {
		chain.limit?.gauge(-1);
		leaveChain(chain);
		if (stream !== undefined) this.#log.write(stream);
		this.#stats.countClosed();
	}

	/** Timeouts may have become shorter, or longer again. */
	onOverload(): void {
		for (const server of this.#servers) server.onOverload();
	}

	/** No new connections come; HTTP ones end with their next response. */
	drain(isEnding: boolean): void {
		for (const server of [...this.#servers]) server.drain(isEnding);
	}

	destroy(): void {
		for (const server of [...this.#servers]) server.connection.destroy();
		for (const connection of [...this.#others]) connection.destroy();
	}
}
