import type { Extensions } from "../../config/discovered-filters.ts";
import type { Listener } from "../../config/listeners.ts";
import type { BalanceRow } from "../../config/shared-balance.ts";
import { StreamPool } from "../http/stream-pool.ts";
import { ChainSlot } from "./chain-slot.ts";
import { type ChooseChain, compileChainMatcher } from "./chain-matcher.ts";
import { buildFacts } from "./connection-facts.ts";
import { createServerInfo, formatStatAddress, joinAddress, keepTlvs } from "./connection-info.ts";
import type { ChainRuntime } from "./filter-chain-runtime.ts";
import { type Inspected, Inspection, noTlvs } from "./inspection.ts";
import { onlyTls } from "./inspectors.ts";
import { type ListenerFilterRuntime, ListenerFilterSlot } from "./listener-filter-slot.ts";
import { ListenerLog } from "./listener-log.ts";
import { ListenerStats } from "./listener-stats.ts";
import type { Reconnecting } from "./reconnects.ts";
import { ServedConnections } from "./served-connections.ts";
import type { LineSink } from "../log/access-log.ts";
import { responseFlags } from "../log/response-flags.ts";
import type { ConnectionInfo, StreamInfo } from "../log/stream-info.ts";
import { compileFilterChains, type FilterChainMatcher } from "../match/filter-chain.ts";
import { RefusedPeerError } from "../tls/downstream-tls.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { WorkerContext } from "../worker/context.ts";

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
	readonly onBadExtension: (key: string, message: string) => void;
}

type Destination = { readonly address: string; readonly port: number };

/** What counts connections that are closed as they come. */
export type Refusal = "downstream_cx_overload_reject" | "downstream_global_cx_overflow" | "downstream_cx_overflow";

/** One listener's configuration, compiled, and the connections it has. The sockets are the listener manager's. */
export class ListenerRuntime {
	readonly config: Listener;
	readonly errors: string[] = [];
	readonly #context: WorkerContext;
	readonly #inputs: ListenerInputs;
	readonly #match: FilterChainMatcher<ChainSlot> = () => undefined;
	/** In place of the chains' own matches. */
	readonly #choose: ChooseChain | undefined;
	readonly #default: ChainSlot | undefined;
	readonly #chains: ChainSlot[] = [];
	readonly #stats: ListenerStats;
	readonly #log: ListenerLog;
	readonly #filters: ListenerFilterSlot;
	readonly #served: ServedConnections;

	constructor(config: Listener, inputs: ListenerInputs) {
		const { context } = inputs;
		this.config = config;
		this.#context = context;
		this.#inputs = inputs;
		const { balance, extensions, onBadExtension, openSink } = inputs;
		const prefix = `listener.${config.statPrefix || formatStatAddress(config.address)}.`;
		const streams = new StreamPool(context);
		this.#stats = new ListenerStats(config, prefix, context, balance);
		this.#log = new ListenerLog(config.accessLogs, context, openSink);
		this.#served = new ServedConnections(context, this.#stats, streams, this.#log);
		const chainInputs = {
			context,
			listener: config,
			listenerPrefix: prefix,
			streams,
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
		if (config.filterChainMatcher === undefined) this.#match = compileFilterChains(config.filterChains, compile, this.errors);
		else this.#choose = compileChainMatcher(config.filterChainMatcher, config.filterChains.map(compile), this.errors);
		this.#default = config.defaultFilterChain && compile(config.defaultFilterChain);
		this.errors.push(...this.#log.errors);
		const hasTls = this.#chains.some(({ config: chain }) => chain.tls !== undefined);
		this.#filters = new ListenerFilterSlot(config, hasTls, extensions);
		this.#stats.followProxyProtocol(this.#filters.current?.config.proxyProtocol);
	}

	/** It is closed instead of being accepted. */
	countRefused(why: Refusal): void {
		this.#stats.count(why);
	}

	/** What the runtime has against another connection. */
	get refusal(): Refusal | undefined {
		return this.#stats.refusal;
	}

	/** A connection was accepted, or handed over by the listener that accepted it. */
	accept(connection: Connection, isHandedOver = false): void {
		const filters = this.#filters.current;
		if (filters === undefined) return this.#refuseUnfiltered(connection);
		this.#stats.gauge("downstream_pre_cx_active", 1);
		const restored = filters.config.originalDst && !isHandedOver ? this.#inputs.originalDst(connection) : undefined;
		if (restored !== undefined && this.config.useOriginalDst) {
			const other = this.#inputs.findListener(restored.address, restored.port);
			if (other !== undefined && other !== this) {
				this.#stats.gauge("downstream_pre_cx_active", -1);
				return other.acceptRestored(connection, restored);
			}
		}
		this.#filter(connection, restored, filters);
	}

	acceptRestored(connection: Connection, destination: Destination): void {
		const filters = this.#filters.current;
		if (filters === undefined) return this.#refuseUnfiltered(connection);
		this.#stats.gauge("downstream_pre_cx_active", 1);
		this.#filter(connection, destination, filters);
	}

	#refuseUnfiltered(connection: Connection): void {
		this.#stats.count("extension_config_missing");
		connection.handler = silentHandler;
		connection.destroy();
	}

	#filter(connection: Connection, destination: Destination | undefined, filters: ListenerFilterRuntime): void {
		const { config, inspectors } = filters;
		const { tls, http } = inspectors(destination?.port ?? connection.localPort);
		if (!tls && !http && config.proxyProtocol === undefined) {
			return this.#dispatch(connection, filters, { kind: "plain", bytes: undefined, protocol: "", source: undefined, destination, tlvs: noTlvs });
		}
		const onInspected = (inspected: Inspected) => this.#dispatch(connection, filters, inspected);
		this.#inspect(connection, filters, destination, onInspected, () => this.#stats.gauge("downstream_pre_cx_active", -1));
	}

	#inspect(
		connection: Connection,
		{ config, inspectors }: ListenerFilterRuntime,
		destination: Destination | undefined,
		onInspected: (inspected: Inspected) => void,
		onGone: () => void,
	): Inspection {
		this.#served.hold(connection);
		return new Inspection(connection, config, destination, this.#context, {
			inspectors,
			onStat: (name) => this.#stats.countInspector(name),
			onProxyStat: (stat) => this.#stats.countProxyProtocol(stat),
			onInspected: (inspected) => {
				this.#served.letGo(connection);
				onInspected(inspected);
			},
			onTimeout: () => this.#stats.count("downstream_pre_cx_timeout"),
			onFailed: (stat) => {
				this.#served.letGo(connection);
				this.#stats.count(stat);
				onGone();
				connection.destroy();
			},
		});
	}

	#dispatch(connection: Connection, filters: ListenerFilterRuntime, inspected: Inspected): void {
		this.#stats.gauge("downstream_pre_cx_active", -1);
		const facts = buildFacts(connection, inspected);
		const slot =
			this.#choose === undefined
				? (this.#match(facts) ?? this.#default)
				: this.#choose(this.#buildInfo(connection, filters.config, inspected, ""), facts, this.#default);
		const chain = slot?.current;
		if (chain === undefined) {
			this.#stats.count("no_filter_chain_match");
			this.#logUnmatched(this.#buildInfo(connection, filters.config, inspected, "").stream);
			connection.destroy();
			return;
		}
		if (chain.terminal.kind === "missing") {
			this.#stats.count("network_extension_config_missing");
			return connection.destroy();
		}
		this.#stats.countOpened();
		const { limit } = chain;
		if (limit?.isReached === true) {
			limit.countLimited();
			const timer = new Timer(this.#context.wheel, () => {
				connection.destroy();
				this.#stats.countClosed();
			});
			timer.arm(Math.max(limit.delayMs, 1));
			return;
		}
		limit?.gauge(1);
		chain.connections++;
		const info = this.#buildInfo(connection, filters.config, inspected, chain.config.name);
		if (chain.tls === undefined) return this.#served.serve(connection, info, chain, inspected.bytes);
		if (inspected.kind === "tls" || filters.inspectors(facts.destinationPort).tls) {
			return this.#acceptTls(connection, info, chain, inspected.bytes, facts.applicationProtocols);
		}
		// The chain was found without looking at the bytes; which protocols the client offers is in its hello all the same.
		const { bytes } = inspected;
		const tlsOnly = { config: { ...filters.config, proxyProtocol: undefined }, inspectors: () => onlyTls };
		const onHello = (hello: Inspected) => {
			if (hello.kind === "tls") info.requestedServerName = hello.serverName;
			this.#acceptTls(connection, info, chain, hello.bytes, hello.kind === "tls" ? hello.alpn : []);
		};
		const onGone = () => this.#served.closed(chain, info);
		const inspection = this.#inspect(connection, tlsOnly, inspected.destination, onHello, onGone);
		if (bytes !== undefined && bytes.length > 0) inspection.onData(bytes, 0, bytes.length);
	}

	#acceptTls(connection: Connection, info: ConnectionInfo, chain: ChainRuntime, bytes: Buffer | undefined, alpn: readonly string[]): void {
		chain.tls?.accept(connection, bytes ?? Buffer.alloc(0), { serverName: info.requestedServerName, alpn }, (result) => {
			if (result instanceof Error) {
				info.transportFailureReason = result.message;
				if (result instanceof RefusedPeerError) info.tls = result.info;
				this.#context.log("connection", "debug", "TLS handshake failed", {
					listener: this.config.name,
					reason: result.message,
					client: info.directRemoteAddress,
				});
				return this.#served.closed(chain, info);
			}
			info.tls = result.info;
			this.#served.serve(result.connection, info, chain, undefined, result.alpn);
		});
	}

	#buildInfo(connection: Connection, config: Listener, inspected: Inspected, chainName: string): ConnectionInfo {
		const serverName = inspected.kind === "tls" ? inspected.serverName : "";
		const { source, destination } = inspected;
		const local = destination && joinAddress(destination.address, destination.port);
		const info = createServerInfo(connection, serverName, chainName, config.metadata, local);
		if (source !== undefined) info.remoteAddress = joinAddress(source.address, source.port);
		const { originalSrc, proxyProtocol } = config;
		if (inspected.tlvs.length > 0 && proxyProtocol !== undefined) keepTlvs(info, inspected.tlvs, proxyProtocol);
		if (this.#log.isWanted) info.stream = this.#log.start(info);
		if (originalSrc !== undefined) info.upstreamSource = { address: source?.address ?? connection.remoteAddress, mark: originalSrc.mark };
		return info;
	}

	#logUnmatched(info: StreamInfo | undefined): void {
		if (info === undefined) return;
		info.responseFlags = responseFlags.NR;
		info.responseCodeDetails = "filter_chain_not_found";
		this.#log.write(info);
	}

	/** Secrets changed. */
	refreshTls(): void {
		for (const { current } of this.#chains) current.tls?.refresh();
	}

	/** The filters of this key that come by themselves are what `extensions` says; what cannot be compiled is reported and stays. */
	replaceFilter(key: string, extensions: Extensions, errors: string[]): void {
		for (const chain of this.#chains) chain.replaceFilter(key, extensions, errors);
		this.#filters.replaceFilter(key, extensions);
		this.#stats.followProxyProtocol(this.#filters.current?.config.proxyProtocol);
	}

	/** Timeouts may have become shorter, or longer again. */
	onOverload(): void {
		this.#served.onOverload();
	}

	get connections(): number {
		return this.#served.count;
	}

	get busyConnections(): number {
		return this.#served.busy;
	}

	get httpConnections(): Iterable<Reconnecting> {
		return this.#served.httpConnections;
	}

	/** No new connections come; HTTP ones end with their next response. */
	drain(isEnding: boolean): void {
		this.#served.drain(isEnding);
	}

	destroy(): void {
		this.#served.destroy();
		this.#stats.close();
		for (const chain of this.#chains) chain.close();
		this.#log.close();
	}
}
