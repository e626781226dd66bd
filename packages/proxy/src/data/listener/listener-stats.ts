import type { Listener, ProxyProtocolOptions } from "../../config/listeners.ts";
import type { BalanceRow } from "../../config/shared-balance.ts";
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
import type { Ceiling } from "./connection-ceilings.ts";
import type { WorkerContext } from "../worker/context.ts";

/** Where one listener counts what one worker sees of it. */
export class ListenerStats {
	readonly #config: Listener;
	readonly #context: WorkerContext;
	readonly #balance: BalanceRow | undefined;
	readonly #ceiling: Ceiling;
	readonly #scopes: StatsScope[] = [];
	readonly #counterBase: number;
	readonly #gaugeBase: number;
	readonly #tlsInspectorBase: number;
	readonly #httpInspectorBase: number;
	readonly #workerCounterBase: number;
	readonly #workerGaugeBase: number;
	/** -1: there is no PROXY protocol. */
	#proxyBase = -1;
	#proxyPrefix: string | undefined;

	/** `prefix`: `listener.<address>.`; `balance`: where its connections are counted for all workers to see. */
	constructor(config: Listener, prefix: string, context: WorkerContext, balance: BalanceRow | undefined) {
		this.#config = config;
		this.#context = context;
		this.#balance = balance;
		this.#ceiling = context.ceilings.acquire(config.name);
		const scope = this.#open(prefix);
		this.#counterBase = scope.counters(listenerCounters);
		this.#gaugeBase = scope.gauges(listenerGauges);
		const worker = this.#open(`${prefix}worker_${context.workerIndex}.`);
		this.#workerCounterBase = worker.counters(listenerWorkerCounters);
		this.#workerGaugeBase = worker.gauges(listenerWorkerGauges);
		this.#tlsInspectorBase = this.#open("tls_inspector.").counters(tlsInspectorCounters);
		this.#httpInspectorBase = this.#open("http_inspector.").counters(httpInspectorCounters);
	}

	/** What its PROXY protocol filter counts goes there from now on. */
	followProxyProtocol(options: ProxyProtocolOptions | undefined): void {
		const prefix = options && `proxy_proto.${options.statPrefix === undefined ? "" : `${options.statPrefix}.`}`;
		if (prefix === undefined || prefix === this.#proxyPrefix) return;
		this.#proxyPrefix = prefix;
		this.#proxyBase = this.#open(prefix).counters(proxyProtocolCounters);
	}

	#open(name: string): StatsScope {
		const scope = this.#context.stats.openScope(name);
		this.#scopes.push(scope);
		return scope;
	}

	count(name: keyof typeof listenerCounters.index): void {
		this.#add(this.#context.stats.counters, this.#counterBase + listenerCounters.index[name], 1);
	}

	/** Connections that wait for their filter chain, and those that have one. */
	gauge(name: keyof typeof listenerGauges.index, by: number): void {
		this.#add(this.#context.stats.gauges, this.#gaugeBase + listenerGauges.index[name], by);
		this.#balance?.count(this.#context.workerIndex, by);
		this.#ceiling.add(by);
		if (this.#config.ignoresConnectionLimit === true) return;
		const { ceilings, overload } = this.#context;
		ceilings.global.add(by);
		overload?.addConnections(by);
	}

	countInspector(name: string): void {
		const tls = tlsInspectorCounters.names.indexOf(name as (typeof tlsInspectorCounters.names)[number]);
		const http = httpInspectorCounters.names.indexOf(name as (typeof httpInspectorCounters.names)[number]);
		this.#add(this.#context.stats.counters, tls >= 0 ? this.#tlsInspectorBase + tls : this.#httpInspectorBase + http, 1);
	}

	countProxyProtocol(name: keyof typeof proxyProtocolCounters.index): void {
		this.#add(this.#context.stats.counters, this.#proxyBase + proxyProtocolCounters.index[name], 1);
	}

	/** As in Envoy: what finds no chain is no connection of the listener's. */
	countOpened(): void {
		this.count("downstream_cx_total");
		this.gauge("downstream_cx_active", 1);
		this.#add(this.#context.stats.counters, this.#workerCounterBase, 1);
		this.#add(this.#context.stats.gauges, this.#workerGaugeBase, 1);
	}

	countClosed(): void {
		this.count("downstream_cx_destroy");
		this.gauge("downstream_cx_active", -1);
		this.#add(this.#context.stats.gauges, this.#workerGaugeBase, -1);
	}

	#add(values: Float64Array, at: number, by: number): void {
		values[at] = (values[at] as number) + by;
	}

	/** Why no further connection is to be taken, as the runtime says; undefined: nothing is against it. */
	get refusal(): "downstream_global_cx_overflow" | "downstream_cx_overflow" | undefined {
		if (this.#config.ignoresConnectionLimit !== true && this.#context.ceilings.global.isReached) return "downstream_global_cx_overflow";
		return this.#ceiling.isReached ? "downstream_cx_overflow" : undefined;
	}

	close(): void {
		this.#context.ceilings.release(this.#config.name);
		for (const scope of this.#scopes) scope.close();
	}
}
