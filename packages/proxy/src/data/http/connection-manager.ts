import { compileHttpFilter } from "../filters/http-filters.ts";
import { type PeerExchange, peerExchangeOf } from "../filters/peer-metadata.ts";
import type { HttpConnectionManager, Listener } from "../../config/runtime-config.ts";
import { defaultHeadLimits, type HeadLimits } from "../codec/head-parser.ts";
import type { LineSink, LogStream } from "../log/access-log.ts";
import { compileLoggers } from "../log/loggers.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { type CidrRange, parseCidr } from "../match/cidr.ts";
import { type CompiledRouteTable, compileRouteTable } from "../match/route-table.ts";
import { http2Counters, http2Gauges, httpCounters, httpGauges, listenerHttpCounters } from "../stats/families.ts";
import type { UpstreamAlpn } from "../tls/upstream-tls.ts";
import { ManagerTracing } from "../tracing/manager-tracing.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { Snapshot } from "../worker/snapshot.ts";
import { FilterChains } from "./filter-chain.ts";
import { compileLocalReplies, type RewriteReply } from "./local-reply-rewrite.ts";
import type { HttpStream } from "./stream.ts";

/** Sees each stream once it is over, before it is reset. */
export type StreamObserver = (stream: HttpStream) => void;

/** One HTTP connection manager, ready to serve. */
export interface CompiledManager {
	readonly config: HttpConnectionManager;
	readonly context: WorkerContext;
	readonly direction: Listener["direction"];
	readonly headLimits: HeadLimits;
	readonly serverName: string;
	readonly chains: FilterChains;
	readonly suppressEnvoyHeaders: boolean;
	/** Of Istio's alpn filter: what to offer to peers of the mesh, by what is spoken with them. */
	readonly upstreamAlpn: UpstreamAlpn | undefined;
	/** Istio's peer metadata: what this side tells, and how it reads what the other tells; undefined without the filter. */
	readonly peers: PeerExchange | undefined;
	readonly bufferBytesMax: number;
	/** What the overload manager wants is not for this listener. */
	readonly bypassesOverload: boolean;
	readonly accessLogs: readonly LogStream[];
	readonly rewriteReply: RewriteReply | undefined;
	readonly internalRanges: readonly CidrRange[];
	readonly observers: StreamObserver[];
	/** undefined: requests are not traced. */
	readonly tracing: ManagerTracing | undefined;
	table(snapshot: Snapshot): CompiledRouteTable | undefined;
	/** One of `httpStat`. */
	count(stat: number, by?: number): void;
	/** One of `httpGauge`. */
	gauge(stat: number, by: number): void;
	/** One of `http2Stat`, `http2Gauge`: of all downstream connections of the process. */
	countHttp2(stat: number): void;
	gaugeHttp2(stat: number, by: number): void;
	/** Also in the listener's own counters. */
	countResponse(status: number): void;
	log(info: StreamInfo): void;
	close(): void;
}

export interface ManagerInputs {
	readonly context: WorkerContext;
	readonly listener: Listener;
	readonly listenerScope: string;
	readonly openSink: (path: string) => LineSink;
	readonly errors: string[];
}

export function compileManager(config: HttpConnectionManager, inputs: ManagerInputs): CompiledManager {
	const { context, listener, errors } = inputs;
	const scope = context.stats.openScope(`http.${config.statPrefix}.`);
	const listenerScope = context.stats.openScope(`${inputs.listenerScope}http.${config.statPrefix}.`);
	const counterBase = scope.counters(httpCounters);
	const gaugeBase = scope.gauges(httpGauges);
	const listenerBase = listenerScope.counters(listenerHttpCounters);
	const http2Scope = context.stats.openScope("http2.");
	const http2CounterBase = http2Scope.counters(http2Counters);
	const http2GaugeBase = http2Scope.gauges(http2Gauges);
	const count = (base: number, offset: number, by: number) => {
		const { counters } = context.stats;
		counters[base + offset] = (counters[base + offset] as number) + by;
	};
	const gauge = (base: number, offset: number, by: number) => {
		const { gauges } = context.stats;
		gauges[base + offset] = (gauges[base + offset] as number) + by;
	};
	const router = config.filters.find((filter) => filter.kind === "router");
	const alpn = config.filters.find((filter) => filter.kind === "alpn");
	const loggers = compileLoggers(config.accessLogs, context, inputs.openSink);
	errors.push(...loggers.errors);
	const accessLogs = loggers.logs;
	const closers: (() => void)[] = [loggers.close];
	const filterInputs = {
		context,
		direction: listener.direction,
		errors,
		statPrefix: config.statPrefix,
		onClose: (close: () => void) => void closers.push(close),
		counter(name: string) {
			const at = scope.counter(name);
			return (by = 1) => count(at, 0, by);
		},
		rootCounter(prefix: string, name: string) {
			const own = context.stats.openScope(prefix);
			closers.push(() => own.close());
			const at = own.counter(name);
			return (by = 1) => count(at, 0, by);
		},
	};
	const tracing = config.tracing && new ManagerTracing(config.tracing, listener.direction, context, filterInputs.counter);
	if (tracing !== undefined) closers.push(() => tracing.close());
	const codes = httpCounters.index.downstream_rq_1xx;
	return {
		config,
		context,
		direction: listener.direction,
		headLimits: buildHeadLimits(config),
		serverName: config.serverName || context.serverName,
		chains: new FilterChains(config.filters, (filter, index, overrides) => compileHttpFilter(filter, overrides, { ...filterInputs, index })),
		suppressEnvoyHeaders: router?.kind === "router" && router.suppressEnvoyHeaders,
		upstreamAlpn: alpn?.kind === "alpn" ? { "HTTP/1.1": alpn.http11, "HTTP/2": alpn.http2 } : undefined,
		peers: config.filters.some((filter) => filter.kind === "peerMetadata") ? peerExchangeOf(context.node) : undefined,
		bufferBytesMax: listener.bufferBytesMax,
		bypassesOverload: listener.bypassesOverload === true,
		accessLogs,
		rewriteReply: config.localReplies && compileLocalReplies(config.localReplies, context.environment, errors),
		internalRanges: config.internalRanges.map(parseCidr).filter((range) => range !== undefined),
		observers: buildObservers(config, inputs),
		tracing,
		table: compileTableLookup(config, context, errors),
		count: (stat, by = 1) => count(counterBase, stat, by),
		gauge: (stat, by) => gauge(gaugeBase, stat, by),
		countHttp2: (stat) => count(http2CounterBase, stat, 1),
		gaugeHttp2: (stat, by) => gauge(http2GaugeBase, stat, by),
		countResponse(status) {
			const hundreds = Math.floor(status / 100) - 1;
			count(counterBase, httpCounters.index.downstream_rq_completed, 1);
			count(listenerBase, listenerHttpCounters.index.downstream_rq_completed, 1);
			if (hundreds < 0 || hundreds > 4) return;
			count(counterBase, codes + hundreds, 1);
			count(listenerBase, hundreds, 1);
		},
		log(info) {
			for (const log of accessLogs) log(info);
		},
		close() {
			for (const close of closers) close();
			scope.close();
			listenerScope.close();
			http2Scope.close();
		},
	};
}

function buildObservers(config: HttpConnectionManager, { context, listener, errors }: ManagerInputs): StreamObserver[] {
	return config.filters.flatMap((filter) => {
		if (filter.kind !== "istioStats") return [];
		const reporter = context.istio.reporter(filter.stats, listener.direction, errors);
		return [(stream: HttpStream) => reporter.report(stream)];
	});
}

function buildHeadLimits(config: HttpConnectionManager): HeadLimits {
	return {
		headBytesMax: config.requestHeadersBytesMax || defaultHeadLimits.headBytesMax,
		headersMax: config.headersCountMax || defaultHeadLimits.headersMax,
		acceptHttp10: config.http1.acceptHttp10,
		allowAbsoluteUrl: config.http1.allowAbsoluteUrl,
		allowCustomMethods: config.http1.allowCustomMethods,
		keepOriginal: config.http1.headerCase === "preserve",
	};
}

function compileTableLookup({ routes }: HttpConnectionManager, context: WorkerContext, errors: string[]): CompiledManager["table"] {
	if (routes.kind === "rds") return (snapshot) => snapshot.routes.get(routes.name);
	const compiled = compileRouteTable(routes.table, { environment: context.environment, hash64: context.hash64 });
	errors.push(...compiled.errors);
	return () => compiled.value;
}
