import type { Extensions } from "../../config/discovered-filters.ts";
import type { FilterChain, Listener } from "../../config/listeners.ts";
import type { NetworkFilter } from "../../config/network-filters.ts";
import { compileManager, type CompiledManager } from "../http/connection-manager.ts";
import type { StreamPool } from "../http/stream-pool.ts";
import type { LineSink } from "../log/access-log.ts";
import { compileLoggers } from "../log/loggers.ts";
import { createCompileContext } from "../match/compile-context.ts";
import { compileRequestHash } from "../match/request-hash.ts";
import type { StatsScope } from "../stats/registry.ts";
import { tcpCounters, tcpOnDemandCounters, tlsCounters } from "../stats/families.ts";
import type { CompiledTcpProxy, TcpTarget } from "../tcp/tcp-proxy.ts";
import { compileTunnel } from "../tcp/tunnel.ts";
import { createDownstreamTls, type DownstreamTlsAcceptor } from "../tls/downstream-tls.ts";
import type { WorkerContext } from "../worker/context.ts";
import { type ConnectionTest, compileConnectionFilters } from "./connection-filters.ts";

/** A filter chain ready to take connections. */
export interface ChainRuntime {
	readonly config: FilterChain;
	readonly tls: DownstreamTlsAcceptor | undefined;
	readonly terminal: TerminalFilter;
	readonly limit: ConnectionLimit | undefined;
	readonly admit: ConnectionTest | undefined;
	/** The cluster is named by the client's SNI. */
	readonly isSniCluster: boolean;
	/** Those that it has. */
	connections: number;
	/** Another has taken its place. */
	isRetired: boolean;
	close(): void;
}

export type TerminalFilter =
	| { readonly kind: "http"; readonly manager: CompiledManager }
	| { readonly kind: "tcpProxy"; readonly proxy: CompiledTcpProxy; chooseCluster(): Pick<TcpTarget, "cluster" | "metadata"> }
	| { readonly kind: "echo" }
	| { readonly kind: "directResponse"; readonly body: Uint8Array }
	/** A filter's configuration has not come: connections are closed. */
	| { readonly kind: "missing" };

export interface ConnectionLimit {
	/** No more connections are to be taken now. */
	readonly isReached: boolean;
	readonly delayMs: number;
	active: number;
	/** Counts a connection in or out. */
	gauge(by: number): void;
	countLimited(): void;
}

export interface ChainInputs {
	readonly context: WorkerContext;
	readonly listener: Listener;
	/** `listener.<address>.` */
	readonly listenerPrefix: string;
	readonly streams: StreamPool;
	readonly openSink: (path: string) => LineSink;
	readonly extensions: Extensions;
	/** Tells what is wrong with the configuration of a filter that came by itself. */
	readonly onBadExtension: (key: string, message: string) => void;
	readonly errors: string[];
}

/** `isIncomplete`: what one of its filters is to be is not known. */
export function compileChain(config: FilterChain, inputs: ChainInputs, isIncomplete: boolean): ChainRuntime {
	const { context, errors, listenerPrefix } = inputs;
	const terminal: TerminalFilter = isIncomplete ? { kind: "missing" } : compileTerminal(config, inputs);
	const sslScope = context.stats.openScope(listenerPrefix);
	const sslBase = sslScope.counters(tlsCounters);
	const onStat = (name: string) => {
		const offset = tlsCounters.names.indexOf(name as (typeof tlsCounters.names)[number]);
		// Versions and cipher suites are counted by name, once a handshake.
		const at = offset >= 0 ? sslBase + offset : sslScope.counter(name);
		context.stats.counters[at] = (context.stats.counters[at] as number) + 1;
	};
	const tls =
		config.tls &&
		createDownstreamTls(
			config.tls,
			terminal.kind === "http" && terminal.manager.config.codec === "http1",
			config.transportSocketConnectTimeoutMs,
			context,
			onStat,
		);
	if (tls !== undefined) errors.push(...tls.errors);
	const limit = config.filters.find((filter) => filter.kind === "connectionLimit");
	const filters = compileConnectionFilters(config.filters, context, errors);
	const limitScope = limit && context.stats.openScope(`connection_limit.${limit.statPrefix}.`);
	return {
		config,
		tls,
		terminal,
		limit: limit && limitScope && compileLimit(limit, limitScope, context),
		admit: filters.admit,
		isSniCluster: config.filters.some((filter) => filter.kind === "sniCluster"),
		connections: 0,
		isRetired: false,
		close() {
			sslScope.close();
			limitScope?.close();
			filters.close();
			if (terminal.kind === "http") terminal.manager.close();
			else if (terminal.kind === "tcpProxy") terminal.proxy.close();
		},
	};
}

function compileLimit(
	{ connectionsMax, delayMs, enabled }: Extract<NetworkFilter, { kind: "connectionLimit" }>,
	scope: StatsScope,
	{ runtime, stats }: WorkerContext,
): ConnectionLimit {
	const active = scope.gauge("active_connections");
	const limited = scope.counter("limited_connections");
	return {
		delayMs,
		active: 0,
		get isReached() {
			return this.active >= connectionsMax && runtime.isOn(enabled);
		},
		gauge(by) {
			this.active += by;
			stats.gauges[active] = (stats.gauges[active] as number) + by;
		},
		countLimited() {
			stats.counters[limited] = (stats.counters[limited] as number) + 1;
		},
	};
}

function compileTerminal(config: FilterChain, inputs: ChainInputs): TerminalFilter {
	const last: NetworkFilter | undefined = config.filters.at(-1);
	switch (last?.kind) {
		case "http":
			return { kind: "http", manager: compileManager(last, { ...inputs, listenerScope: inputs.listenerPrefix }) };
		case "tcpProxy":
			return compileTcp(last, config, inputs);
		case "echo":
			return { kind: "echo" };
		case "directResponse":
			return { kind: "directResponse", body: last.body };
		default:
			inputs.errors.push(`filter chain ${JSON.stringify(config.name)} does not end in a terminal filter`);
			return { kind: "directResponse", body: new Uint8Array(0) };
	}
}

function compileTcp(config: Extract<NetworkFilter, { kind: "tcpProxy" }>, chain: FilterChain, inputs: ChainInputs): TerminalFilter {
	const { context, errors } = inputs;
	const stats = chain.filters.find((filter) => filter.kind === "istioStats");
	const compile = createCompileContext();
	const scope = context.stats.openScope(`tcp.${config.statPrefix}.`);
	const base = scope.counters(tcpCounters);
	const onDemandBase = config.onDemand && scope.counters(tcpOnDemandCounters);
	const loggers = compileLoggers(config.accessLogs, context, inputs.openSink);
	errors.push(...loggers.errors);
	const sni = chain.filters.find((filter) => filter.kind === "sniDynamicForwardProxy");
	const proxy: CompiledTcpProxy = {
		sniPort: sni?.kind === "sniDynamicForwardProxy" ? sni.port : 443,
		config,
		context,
		hash: compileRequestHash(config.hashPolicies, context.hash64, compile),
		tunnel: config.tunnel && compileTunnel(config.tunnel, context, errors),
		accessLogs: loggers.logs,
		close: loggers.close,
		istio: stats?.kind === "istioStats" ? context.istio.reporter(stats.stats, inputs.listener.direction, errors) : undefined,
		count(name, by = 1) {
			const { counters } = context.stats;
			const at = base + tcpCounters.index[name];
			counters[at] = (counters[at] as number) + by;
		},
		countOnDemand(name) {
			if (onDemandBase === undefined) return;
			const { counters } = context.stats;
			const at = onDemandBase + tcpOnDemandCounters.index[name];
			counters[at] = (counters[at] as number) + 1;
		},
	};
	errors.push(...compile.errors);
	const { cluster } = config;
	const only = { cluster: cluster.kind === "cluster" ? cluster.name : "", metadata: config.metadataMatch };
	const weighted = cluster.kind === "weighted" ? cluster.clusters : [];
	const totalWeight = weighted.reduce((sum, { weight }) => sum + weight, 0);
	const targets = weighted.map(({ name, weight, metadataMatch }) => ({
		cluster: name,
		weight,
		metadata: metadataMatch === undefined ? config.metadataMatch : { ...config.metadataMatch, ...metadataMatch },
	}));
	if (cluster.kind === "header") errors.push("tcp_proxy: a cluster cannot be named by a header");
	return {
		kind: "tcpProxy",
		proxy,
		chooseCluster() {
			if (targets.length === 0) return only;
			let point = context.random() * totalWeight;
			for (const target of targets) {
				point -= target.weight;
				if (point < 0) return target;
			}
			return targets.at(-1) as (typeof targets)[number];
		},
	};
}
