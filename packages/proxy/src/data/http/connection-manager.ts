import type { Extensions } from "../../config/discovered-filters.ts";
import type { HttpConnectionManager } from "../../config/http-connection-manager.ts";
import type { Listener } from "../../config/listeners.ts";
import { keyOf } from "../../config/resource-source.ts";
import type { ScopedRoutes } from "../../config/route-scopes.ts";
import { defaultHeadLimits, type HeadLimits } from "../codec/head-parser.ts";
import type { LineSink, LogStream } from "../log/access-log.ts";
import { compileLoggers } from "../log/loggers.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { FilterInputs } from "../filters/filter-inputs.ts";
import { type CidrRange, parseCidr } from "../match/cidr.ts";
import { type CompiledRouteTable, compileRouteTable, noRoutes } from "../match/route-table.ts";
import { type CompiledScope, compileScopeKey, compileScopes, tableOfScope } from "../match/scope-key.ts";
import { http2Counters, http2Gauges, httpCounters, httpGauges, listenerHttpCounters } from "../stats/families.ts";
import type { StatsScope } from "../stats/registry.ts";
import { ManagerTracing } from "../tracing/manager-tracing.ts";
import type { Histogram } from "../stats/histogram.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { Snapshot } from "../worker/snapshot.ts";
import { type FilterError, FilterGeneration, type FilterSet, type FilterSetInputs } from "./filter-set.ts";
import { compileLocalReplies, type RewriteReply } from "./local-reply-rewrite.ts";
import type { HttpStream } from "./stream.ts";

/** Sees each stream once it is over, before it is reset. */
export type StreamObserver = (stream: HttpStream) => void;

/** One HTTP connection manager, ready to serve. Where filters come by themselves there is one of it for each generation of them. */
export interface CompiledManager extends FilterSet {
	/** The one that new streams are for. Connections hold the first, which is told of each that follows. */
	readonly newest: CompiledManager;
	/** Counts its streams; undefined: its filters never change. */
	readonly generation: FilterGeneration | undefined;
	readonly config: HttpConnectionManager;
	readonly context: WorkerContext;
	readonly direction: Listener["direction"];
	readonly headLimits: HeadLimits;
	readonly serverName: string;
	readonly bufferBytesMax: number;
	/** What the overload manager wants is not for this listener. */
	readonly bypassesOverload: boolean;
	readonly accessLogs: readonly LogStream[];
	readonly rewriteReply: RewriteReply | undefined;
	readonly internalRanges: readonly CidrRange[];
	/** undefined: requests are not traced. */
	readonly tracing: ManagerTracing | undefined;
	/** undefined: the control plane has not given it; where routes are scoped, an empty one stands for that. */
	table(snapshot: Snapshot, request: RequestView): CompiledRouteTable | undefined;
	/** The scope of a request; undefined: it has none, or routes are not scoped. */
	scope(snapshot: Snapshot, request: RequestView): CompiledScope | undefined;
	/** One of `httpStat`. */
	count(stat: number, by?: number): void;
	/** One of `httpGauge`. */
	gauge(stat: number, by: number): void;
	/** One of `http2Stat`, `http2Gauge`: of all downstream connections of the process. */
	countHttp2(stat: number): void;
	gaugeHttp2(stat: number, by: number): void;
	/** Also in the listener's own counters. */
	countResponse(status: number): void;
	/** From the first byte of a request to the end of its answer. */
	readonly requestMs: Histogram;
	readonly connectionMs: Histogram;
	log(info: StreamInfo): void;
	/**
	 * Has the filter of this key be what `extensions` says from now on. What cannot be compiled is reported, and the filter
	 * stays what it is. Nothing happens where no such filter comes by itself.
	 */
	replaceFilter(key: string, extensions: Extensions, errors: string[]): void;
	close(): void;
}

export interface ManagerInputs {
	readonly context: WorkerContext;
	readonly listener: Listener;
	readonly listenerScope: string;
	readonly openSink: (path: string) => LineSink;
	readonly extensions: Extensions;
	/** Tells what is wrong with the configuration of a filter that came by itself. */
	readonly onBadExtension: (key: string, message: string) => void;
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
	const loggers = compileLoggers(config.accessLogs, context, inputs.openSink);
	errors.push(...loggers.errors);
	const accessLogs = loggers.logs;
	const closers: (() => void)[] = [loggers.close];
	const counterIn = (from: StatsScope, name: string) => {
		const at = from.counter(name);
		return (by = 1) => count(at, 0, by);
	};
	const counter = (name: string) => counterIn(scope, name);
	const filters = compileFilters(config, inputs, counter, (prefix, name, onClose) => {
		const own = context.stats.openScope(prefix);
		onClose(() => own.close());
		return counterIn(own, name);
	});
	const tracing = config.tracing && new ManagerTracing(config.tracing, listener.direction, context, counter);
	if (tracing !== undefined) closers.push(() => tracing.close());
	const codes = httpCounters.index.downstream_rq_1xx;
	const manager: ManagerBase = {
		config,
		context,
		direction: listener.direction,
		headLimits: buildHeadLimits(config),
		serverName: config.serverName || context.serverName,
		bufferBytesMax: listener.bufferBytesMax,
		bypassesOverload: listener.bypassesOverload === true,
		accessLogs,
		rewriteReply: config.localReplies && compileLocalReplies(config.localReplies, context.environment, errors, context),
		internalRanges: config.internalRanges.map(parseCidr).filter((range) => range !== undefined),
		tracing,
		...compileTableLookup(config, context, errors),
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
		requestMs: scope.histogram("downstream_rq_time"),
		connectionMs: scope.histogram("downstream_cx_length_ms"),
		log(info) {
			for (const log of accessLogs) log(info);
		},
	};
	return withFilters(manager, filters, () => {
		for (const close of closers) close();
		scope.close();
		listenerScope.close();
		http2Scope.close();
	});
}

/** A filter that came by itself and cannot be compiled is as one that has not come. */
function compileFilters(
	config: HttpConnectionManager,
	{ context, errors, extensions, listener, onBadExtension }: ManagerInputs,
	counter: FilterInputs["counter"],
	rootCounter: FilterSetInputs["rootCounter"],
): FilterGeneration {
	const inputs: FilterSetInputs = {
		context,
		filterInputs: { context, direction: listener.direction, statPrefix: config.statPrefix, counter },
		rootCounter,
		report(stats, found) {
			const reporter = context.istio.reporter(stats, listener.direction, found);
			return (stream) => reporter.report(stream);
		},
	};
	const found: FilterError[] = [];
	const filters = new FilterGeneration(config.filters, inputs, extensions, found);
	errors.push(...found.filter(({ filter }) => filter === undefined).map(({ message }) => message));
	const bad = new Set<string>();
	for (const { filter, message } of found) {
		if (filter === undefined) continue;
		bad.add(filter);
		onBadExtension(filter, message);
	}
	if (bad.size === 0) return filters;
	const good = filters.next(new Map([...extensions].filter(([key]) => !bad.has(key))), []);
	filters.retire();
	return good;
}

type ManagerBase = Omit<CompiledManager, keyof FilterSet | "newest" | "generation" | "replaceFilter" | "close">;

/** The manager with its filters; each generation of them is a manager of its own, so that a stream keeps what it began with. */
function withFilters(base: ManagerBase, first: FilterGeneration, close: () => void): CompiledManager {
	const isDynamic = base.config.filters.some(({ kind }) => kind === "discovered");
	let filters = first;
	const build = (): CompiledManager & { newest: CompiledManager } => {
		const { chains, observers, peers, suppressEnvoyHeaders, upstreamAlpn } = filters;
		const set: FilterSet = { chains, observers, peers, suppressEnvoyHeaders, upstreamAlpn };
		const manager = { ...base, ...set, generation: isDynamic ? filters : undefined, replaceFilter, close: end } as CompiledManager & {
			newest: CompiledManager;
		};
		manager.newest = manager;
		return manager;
	};
	const replaceFilter: CompiledManager["replaceFilter"] = (key, extensions, errors) => {
		if (!filters.discovers(key)) return;
		const found: FilterError[] = [];
		const next = filters.next(extensions, found);
		if (found.length > 0) {
			errors.push(...found.map(({ message }) => message));
			return next.retire();
		}
		filters.retire();
		filters = next;
		root.newest = build();
	};
	const end = () => {
		filters.retire();
		close();
	};
	const root = build();
	return root;
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

type TableLookup = Pick<CompiledManager, "table" | "scope">;

const noScope = (): undefined => undefined;

function compileTableLookup({ routes }: HttpConnectionManager, context: WorkerContext, errors: string[]): TableLookup {
	if (routes.kind === "rds") return tableByKey(keyOf(routes));
	if (routes.kind === "inline" && routes.table.vhds) return tableByKey(routes.table.name);
	if (routes.kind === "scoped") return compileScopedLookup(routes.scoped, context, errors);
	const compiled = compileRouteTable(routes.table, context);
	errors.push(...compiled.errors);
	return { table: () => compiled.value, scope: noScope };
}

const tableByKey = (key: string): TableLookup => ({ table: (snapshot) => snapshot.routes.get(key), scope: noScope });

function compileScopedLookup({ keyBuilder, scopes }: ScopedRoutes, context: WorkerContext, errors: string[]): TableLookup {
	const scopeKeyOf = compileScopeKey(keyBuilder);
	const own = scopes && compileScopes(new Map(), { upsert: scopes, remove: [] }, context, (_, message) => errors.push(message));
	const scope: TableLookup["scope"] = (snapshot, request) => {
		const key = scopeKeyOf(request);
		return key === undefined ? undefined : (own ?? snapshot.scopes).get(key);
	};
	return {
		scope,
		table(snapshot, request) {
			const found = scope(snapshot, request);
			return (found && tableOfScope(found, snapshot.routes)) ?? noRoutes;
		},
	};
}
