import type { Extensions } from "../../config/discovered-filters.ts";
import type { BalanceRow } from "../../config/shared-balance.ts";
import type { Listener, ProxyProtocolOptions } from "../../config/listeners.ts";
import type { SocketAddress } from "../../config/sockets.ts";
import type { CompiledManager } from "../http/connection-manager.ts";
import { Http1ServerConnection } from "../http/http1-server-connection.ts";
import { Http2ServerConnection } from "../http/http2-server-connection.ts";
import { guardDispatch } from "../http/load-shedding.ts";
import { StreamPool } from "../http/stream-pool.ts";
import type { LineSink } from "../log/access-log.ts";
import { compileLoggers, type Loggers } from "../log/loggers.ts";
import { responseFlags } from "../log/response-flags.ts";
import { type ConnectionInfo, createStreamInfo, type ProxyTlv, type StreamInfo } from "../log/stream-info.ts";
import { isLoopback, parseIp } from "../match/cidr.ts";
import { type ConnectionFacts, compileFilterChains, type FilterChainMatcher } from "../match/filter-chain.ts";
import {
	httpInspectorCounters,
	listenerCounters,
	listenerGauges,
	listenerWorkerCounters,
	listenerWorkerGauges,
	proxyProtocolCounters,
	tlsInspectorCounters,
} from "../stats/families.ts";
import type { StatsScope } from "../stats/registry.ts";
import { TcpSession } from "../tcp/tcp-proxy.ts";
import { closeSent } from "../transport/close-sent.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import { RefusedPeerError } from "../tls/downstream-tls.ts";
import { Timer } from "../transport/timers.ts";
import { chooseTlvs } from "../upstream/proxy-protocol-header.ts";
import type { WorkerContext } from "../worker/context.ts";
import { createServerInfo, joinAddress } from "./connection-info.ts";
import { ChainSlot, leaveChain } from "./chain-slot.ts";
import type { ChainRuntime } from "./filter-chain-runtime.ts";
import { Inspection, type Inspected, noTlvs } from "./inspection.ts";
import { compileInspectors, type InspectorChoice, onlyTls } from "./inspectors.ts";

export interface ListenerInputs {
	readonly context: WorkerContext;
	readonly openSink: (path: string) => LineSink;
	/** The destination that a redirected connection was made for; undefined: none, or not known here. */
	readonly originalDst: (connection: Connection) => { readonly address: string; readonly port: number } | undefined;
	/** The listener for a restored destination, other than the one that accepted. */
	readonly findListener: (address: string, port: number) => ListenerRuntime | undefined;
	/** Where its connections are counted for all workers to see; undefined: nobody wants to know. */
	readonly balance: BalanceRow | undefined;
	/** Configurations of filters that came by themselves. */
	readonly extensions: Extensions;
	readonly onBadExtension: (name: string, message: string) => void;
}

type HttpServer = Http1ServerConnection | Http2ServerConnection;

/** `0.0.0.0:80` → `0.0.0.0_80`, as in stat names. */
export function formatStatAddress(address: SocketAddress): string {
	return address.kind === "pipe" ? address.path.replaceAll(":", "_") : joinAddress(address.address, address.port).replaceAll(":", "_");
}

/** One listener's configuration, compiled, and the connections it has. The sockets are the listener manager's. */
export class ListenerRuntime {
	readonly config: Listener;
	readonly errors: string[] = [];
	readonly #context: WorkerContext;
	readonly #inputs: ListenerInputs;
	readonly #match: FilterChainMatcher<ChainSlot>;
	readonly #default: ChainSlot | undefined;
	readonly #chains: ChainSlot[] = [];
	readonly #streams: StreamPool;
	readonly #scopes: StatsScope[] = [];
	readonly #counterBase: number;
	readonly #gaugeBase: number;
	readonly #loggers: Loggers;
	readonly #inspectors: InspectorChoice;
	readonly #servers = new Set<HttpServer>();
	readonly #others = new Set<Connection>();
	readonly #tlsInspectorBase: number;
	readonly #httpInspectorBase: number;
	readonly #workerCounterBase: number;
	readonly #workerGaugeBase: number;
	/** -1: there is no PROXY protocol. */
	readonly #proxyBase: number;

	constructor(config: Listener, inputs: ListenerInputs) {
		const { context } = inputs;
		this.config = config;
		this.#context = context;
		this.#inputs = inputs;
		this.#streams = new StreamPool(context);
		const prefix = `listener.${config.statPrefix || formatStatAddress(config.address)}.`;
		const open = (name: string) => {
			const scope = context.stats.openScope(name);
			this.#scopes.push(scope);
			return scope;
		};
		const scope = open(prefix);
		this.#counterBase = scope.counters(listenerCounters);
		this.#gaugeBase = scope.gauges(listenerGauges);
		const worker = open(`${prefix}worker_${context.workerIndex}.`);
		this.#workerCounterBase = worker.counters(listenerWorkerCounters);
		this.#workerGaugeBase = worker.gauges(listenerWorkerGauges);
		this.#proxyBase =
			config.proxyProtocol === undefined
				? -1
				: open(`proxy_proto.${config.proxyProtocol.statPrefix === undefined ? "" : `${config.proxyProtocol.statPrefix}.`}`).counters(proxyProtocolCounters);
		this.#tlsInspectorBase = open("tls_inspector.").counters(tlsInspectorCounters);
		this.#httpInspectorBase = open("http_inspector.").counters(httpInspectorCounters);
		const { extensions, onBadExtension, openSink } = inputs;
		const chainInputs = {
			context,
			listener: config,
			listenerPrefix: prefix,
			streams: this.#streams,
			openSink,
			extensions,
			onBadExtension,
			errors: this.errors,
		};
		const compile = (chain: Listener["filterChains"][number]) => {
			const slot = new ChainSlot(chain, chainInputs);
			this.#chains.push(slot);
			return slot;
		};
		this.#match = compileFilterChains(config.filterChains, compile, this.errors);
		this.#default = config.defaultFilterChain && compile(config.defaultFilterChain);
		this.#loggers = compileLoggers(config.accessLogs, context, inputs.openSink);
		this.errors.push(...this.#loggers.errors);
		this.#inspectors = compileInspectors(
			config,
			this.#chains.some(({ config: chain }) => chain.tls !== undefined),
		);
	}

	#count(name: keyof typeof listenerCounters.index): void {
		this.#add(this.#context.stats.counters, this.#counterBase + listenerCounters.index[name], 1);
	}

	#gauge(name: keyof typeof listenerGauges.index, by: number): void {
		this.#add(this.#context.stats.gauges, this.#gaugeBase + listenerGauges.index[name], by);
		this.#inputs.balance?.count(this.#context.workerIndex, by);
		if (this.#context.overload !== undefined && this.config.ignoresConnectionLimit !== true) this.#context.overload.addConnections(by);
	}

	#add(values: Float64Array, at: number, by: number): void {
		values[at] = (values[at] as number) + by;
	}

	/** It is closed instead of being accepted. */
	countRefused(why: "downstream_cx_overload_reject" | "downstream_global_cx_overflow"): void {
		this.#count(why);
	}

	/** Timeouts may have become shorter, or longer again. */
	onOverload(): void {
		for (const server of this.#servers) server.onOverload();
	}

	get connections(): number {
		return this.#servers.size + this.#others.size;
	}

	get busyConnections(): number {
		let count = this.#others.size;
		for (const server of this.#servers) if (!server.isIdle) count++;
		return count;
	}

	/** A connection was accepted, or handed over by the listener that accepted it. */
	accept(connection: Connection, isHandedOver = false): void {
		this.#gauge("downstream_pre_cx_active", 1);
		const restored = this.config.originalDst && !isHandedOver ? this.#inputs.originalDst(connection) : undefined;
		if (restored !== undefined && this.config.useOriginalDst) {
			const other = this.#inputs.findListener(restored.address, restored.port);
			if (other !== undefined && other !== this) {
				this.#gauge("downstream_pre_cx_active", -1);
				return other.acceptRestored(connection, restored);
			}
		}
		this.acceptRestored(connection, restored, true);
	}

	acceptRestored(connection: Connection, destination: { readonly address: string; readonly port: number } | undefined, isCounted = false): void {
		if (!isCounted) this.#gauge("downstream_pre_cx_active", 1);
		const { tls, http } = this.#inspectors(destination?.port ?? connection.localPort);
		if (!tls && !http && this.config.proxyProtocol === undefined) {
			return this.#dispatch(connection, { kind: "plain", bytes: undefined, protocol: "", source: undefined, destination, tlvs: noTlvs });
		}
		const onInspected = (inspected: Inspected) => this.#dispatch(connection, inspected);
		this.#inspect(connection, this.config, this.#inspectors, destination, onInspected, () => this.#gauge("downstream_pre_cx_active", -1));
	}

	#inspect(
		connection: Connection,
		config: Listener,
		inspectors: InspectorChoice,
		destination: { readonly address: string; readonly port: number } | undefined,
		onInspected: (inspected: Inspected) => void,
		onGone: () => void,
	): Inspection {
		this.#others.add(connection);
		return new Inspection(connection, config, destination, this.#context, {
			inspectors,
			onStat: (name) => this.#countInspector(name),
			onProxyStat: (stat) => this.#add(this.#context.stats.counters, this.#proxyBase + proxyProtocolCounters.index[stat], 1),
			onInspected: (inspected) => {
				this.#others.delete(connection);
				onInspected(inspected);
			},
			onTimeout: () => this.#count("downstream_pre_cx_timeout"),
			onFailed: (stat) => {
				this.#others.delete(connection);
				this.#count(stat);
				onGone();
				connection.destroy();
			},
		});
	}

	#countInspector(name: string): void {
		const tls = tlsInspectorCounters.names.indexOf(name as (typeof tlsInspectorCounters.names)[number]);
		const http = httpInspectorCounters.names.indexOf(name as (typeof httpInspectorCounters.names)[number]);
		this.#add(this.#context.stats.counters, tls >= 0 ? this.#tlsInspectorBase + tls : this.#httpInspectorBase + http, 1);
	}

	#dispatch(connection: Connection, inspected: Inspected): void {
		this.#gauge("downstream_pre_cx_active", -1);
		const facts = buildFacts(connection, inspected);
		const chain = (this.#match(facts) ?? this.#default)?.current;
		if (chain === undefined) {
			this.#count("no_filter_chain_match");
			this.#logUnmatched(this.#buildInfo(connection, inspected, "").stream);
			connection.destroy();
			return;
		}
		if (chain.terminal.kind === "missing") {
			this.#count("network_extension_config_missing");
			return connection.destroy();
		}
		// As in Envoy: what finds no chain is no connection of the listener's.
		this.#count("downstream_cx_total");
		this.#gauge("downstream_cx_active", 1);
		this.#add(this.#context.stats.counters, this.#workerCounterBase, 1);
		this.#add(this.#context.stats.gauges, this.#workerGaugeBase, 1);
		const { limit } = chain;
		if (limit !== undefined && limit.active >= limit.connectionsMax) {
			limit.countLimited();
			const timer = new Timer(this.#context.wheel, () => {
				connection.destroy();
				this.#countClosed();
			});
			timer.arm(Math.max(limit.delayMs, 1));
			return;
		}
		limit?.gauge(1);
		chain.connections++;
		const info = this.#buildInfo(connection, inspected, chain.config.name);
		if (chain.tls === undefined) return this.#serve(connection, info, chain, inspected.bytes);
		if (inspected.kind === "tls" || this.#inspectors(facts.destinationPort).tls) {
			return this.#acceptTls(connection, info, chain, inspected.bytes, facts.applicationProtocols);
		}
		// The chain was found without looking at the bytes; which protocols the client offers is in its hello all the same.
		const { bytes } = inspected;
		const tlsOnly = () => onlyTls;
		const onHello = (hello: Inspected) => {
			if (hello.kind === "tls") info.requestedServerName = hello.serverName;
			this.#acceptTls(connection, info, chain, hello.bytes, hello.kind === "tls" ? hello.alpn : []);
		};
		const onGone = () => this.#closed(chain, info);
		const inspection = this.#inspect(connection, { ...this.config, proxyProtocol: undefined }, tlsOnly, inspected.destination, onHello, onGone);
		if (bytes !== undefined && bytes.length > 0) inspection.onData(bytes, 0, bytes.length);
	}

	#acceptTls(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, bytes: Buffer | undefined, alpn: readonly string[]): void {
		chain.tls?.accept(connection, bytes ?? Buffer.alloc(0), { serverName: info.requestedServerName, alpn }, (result) => {
			if (result instanceof Error) {
				info.transportFailureReason = result.message;
				if (result instanceof RefusedPeerError) info.tls = result.info;
				this.#context.log("debug", "TLS handshake failed", { listener: this.config.name, reason: result.message, client: info.directRemoteAddress });
				return this.#closed(chain, info);
			}
			info.tls = result.info;
			this.#serve(result.connection, info, chain, undefined, result.alpn);
		});
	}

	#buildInfo(connection: Connection, inspected: Inspected, chainName: string): ConnectionInfo {
		const serverName = inspected.kind === "tls" ? inspected.serverName : "";
		const { source, destination } = inspected;
		const local = destination && joinAddress(destination.address, destination.port);
		const info = createServerInfo(connection, serverName, chainName, local);
		if (source !== undefined) info.remoteAddress = joinAddress(source.address, source.port);
		const { originalSrc, proxyProtocol } = this.config;
		if (inspected.tlvs.length > 0 && proxyProtocol !== undefined) keepTlvs(info, inspected.tlvs, proxyProtocol);
		if (this.#loggers.logs.length > 0) info.stream = this.#startStream(info);
		if (originalSrc !== undefined) info.upstreamSource = { address: source?.address ?? connection.remoteAddress, mark: originalSrc.mark };
		return info;
	}

	#serve(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, bytes: Buffer | undefined, alpn = ""): void {
		if (chain.admit === undefined) return this.#serveAdmitted(connection, info, chain, bytes, alpn, info.dynamicMetadata);
		const judged = info.stream ?? this.#startStream(info);
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
				this.#closed(chain, info);
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
				const onHttp2 =
					manager.config.codec === "http1"
						? undefined
						: (first: Buffer) => {
								this.#servers.delete(server);
								this.#serveHttp2(connection, info, chain, manager, first, true);
							};
				if (info.stream !== undefined) info.stream.protocol = "HTTP/1.1";
				const server: HttpServer = new Http1ServerConnection(connection, info, manager, this.#streams, onHttp2, () => {
					this.#servers.delete(server);
					this.#closed(chain, info);
				});
				guardDispatch(server, manager, false);
				this.#servers.add(server);
				connection.resume();
				if (bytes !== undefined && bytes.length > 0) connection.handler.onData(bytes, 0, bytes.length);
				return;
			}
			case "tcpProxy": {
				this.#others.add(connection);
				const session = new TcpSession(terminal.proxy, connection, info, () => {
					this.#others.delete(connection);
					this.#closed(chain, info);
				});
				session.info.dynamicMetadata = metadata;
				return session.start({ ...(chain.isSniCluster ? { cluster: info.requestedServerName, metadata: undefined } : terminal.chooseCluster()), bytes });
			}
			case "echo":
				return this.#echo(connection, info, chain, bytes);
			case "directResponse":
				return this.#answer(connection, info, chain, terminal.body);
			case "missing":
				connection.destroy();
				return this.#closed(chain, info);
		}
	}

	/** A network filter does not want it. */
	#refuse(connection: Connection, info: StreamInfo, chain: ChainRuntime, reason: string): void {
		info.endAt = this.#context.nowMs();
		info.connectionTerminationDetails = reason;
		connection.handler = silentHandler;
		if (chain.terminal.kind === "tcpProxy") for (const log of chain.terminal.proxy.accessLogs) log(info);
		connection.destroy();
		this.#closed(chain, info.connection);
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
			this.#closed(chain, info);
		});
		guardDispatch(server, manager, isHandedOver);
		this.#servers.add(server);
		connection.resume();
		if (bytes !== undefined && bytes.length > 0) connection.handler.onData(bytes, 0, bytes.length);
	}

	#echo(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, bytes: Buffer | undefined): void {
		const { output } = this.#context;
		const send = (data: Buffer, start: number, end: number) => {
			output.sendBytes(connection, data, start, end);
			if (info.stream !== undefined) info.stream.bytesSent = info.stream.bytesReceived += end - start;
		};
		const leave = () => {
			if (this.#others.delete(connection)) this.#closed(chain, info);
		};
		this.#others.add(connection);
		connection.handler = {
			onData: send,
			onEnd: () => {
				closeSent(connection, this.#context);
				leave();
			},
			onBlocked: () => connection.pause(),
			onDrain: () => connection.resume(),
			onClose: leave,
		};
		connection.resume();
		if (bytes !== undefined) send(bytes, 0, bytes.length);
	}

	#answer(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, body: Uint8Array): void {
		this.#others.add(connection);
		if (info.stream !== undefined) {
			info.stream.responseCodeDetails = "direct_response";
			info.stream.bytesSent = body.length;
		}
		connection.handler = {
			onData() {},
			onEnd: () => connection.destroy(),
			onBlocked() {},
			onDrain() {},
			onClose: () => {
				this.#others.delete(connection);
				this.#closed(chain, info);
			},
		};
		connection.resume();
		connection.write(Buffer.from(body));
		connection.end();
	}

	#closed(chain: ChainRuntime, { stream }: ConnectionInfo): void {
		chain.limit?.gauge(-1);
		leaveChain(chain);
		if (stream !== undefined) this.#log(stream);
		this.#countClosed();
	}

	#countClosed(): void {
		this.#count("downstream_cx_destroy");
		this.#gauge("downstream_cx_active", -1);
		this.#add(this.#context.stats.gauges, this.#workerGaugeBase, -1);
	}

	#logUnmatched(info: StreamInfo | undefined): void {
		if (info === undefined) return;
		info.responseFlags = responseFlags.NR;
		info.responseCodeDetails = "filter_chain_not_found";
		this.#log(info);
	}

	#startStream(connection: ConnectionInfo): StreamInfo {
		const info = createStreamInfo(connection);
		info.dynamicMetadata = connection.dynamicMetadata;
		info.startAt = this.#context.nowMs();
		info.startTimeMs = this.#context.wallMs();
		return info;
	}

	#log(info: StreamInfo): void {
		info.endAt = this.#context.nowMs();
		info.logType = "NotSet";
		for (const log of this.#loggers.logs) log(info);
	}

	/** Secrets changed. */
	refreshTls(): void {
		for (const { current } of this.#chains) current.tls?.refresh();
	}

	/** The filters of this name that come by themselves are what `extensions` says; what cannot be compiled is reported and stays. */
	replaceFilter(name: string, extensions: Extensions, errors: string[]): void {
		for (const chain of this.#chains) chain.replaceFilter(name, extensions, errors);
	}

	/** No new connections come; HTTP ones end with their next response. */
	drain(isEnding: boolean): void {
		for (const server of [...this.#servers]) server.drain(isEnding);
	}

	destroy(): void {
		for (const server of [...this.#servers]) server.connection.destroy();
		for (const connection of [...this.#others]) connection.destroy();
		for (const scope of this.#scopes) scope.close();
		for (const chain of this.#chains) chain.close();
		this.#loggers.close();
	}
}

/** What of the client's TLVs may be passed on, and what becomes metadata. */
function keepTlvs(info: ConnectionInfo, tlvs: readonly ProxyTlv[], { keptTlvs, tlvMetadata = [] }: ProxyProtocolOptions): void {
	if (keptTlvs !== undefined) info.proxyTlvs = chooseTlvs(tlvs, keptTlvs);
	const metadata: Record<string, Record<string, unknown>> = {};
	for (const { key, namespace, type } of tlvMetadata) {
		const found = tlvs.find((tlv) => tlv.type === type);
		if (found !== undefined) (metadata[namespace] ??= {})[key] = found.value.toString("utf8");
	}
	if (Object.keys(metadata).length > 0) info.dynamicMetadata = metadata;
}

function buildFacts(connection: Connection, inspected: Inspected): ConnectionFacts {
	const destinationAddress = inspected.destination?.address ?? connection.localAddress;
	const sourceAddress = inspected.source?.address ?? connection.remoteAddress;
	const sourceIp = parseIp(sourceAddress);
	return {
		destinationIp: parseIp(destinationAddress),
		destinationPort: inspected.destination?.port ?? connection.localPort,
		serverName: inspected.kind === "tls" ? inspected.serverName : "",
		transportProtocol: inspected.kind === "tls" ? "tls" : "raw_buffer",
		applicationProtocols: inspected.kind === "tls" ? inspected.alpn : inspected.protocol === "" ? [] : [inspected.protocol],
		directSourceIp: parseIp(connection.remoteAddress),
		sourceIp,
		sourcePort: inspected.source?.port ?? connection.remotePort,
		isLocalSource: sourceAddress === destinationAddress || (sourceIp !== undefined && isLoopback(sourceIp)),
	};
}
