import { type Extensions, httpConfigInForce } from "../../config/discovered-filters.ts";
import type { HttpFilter, HttpFilterConfig } from "../../config/http-filters.ts";
import type { IstioStats } from "../../config/telemetry.ts";
import type { FilterInputs, Gauge } from "../filters/filter-inputs.ts";
import { compileHttpFilter } from "../filters/http-filters.ts";
import { missingConfig } from "../filters/missing-config.ts";
import { type PeerExchange, peerExchangeOf } from "../filters/peer-metadata.ts";
import type { UpstreamAlpn } from "../upstream/transport-chooser.ts";
import type { StatsRegistry } from "../stats/registry.ts";
import type { WorkerContext } from "../worker/context.ts";
import { FilterChains } from "./filter-chain.ts";
import type { StreamObserver } from "./connection-manager.ts";

/** What the filters of a connection manager are at present. */
export interface FilterSet {
	readonly chains: FilterChains;
	readonly suppressEnvoyHeaders: boolean;
	/** Of Istio's alpn filter: what to offer to peers of the mesh, by what is spoken with them. */
	readonly upstreamAlpn: UpstreamAlpn | undefined;
	/** Istio's peer metadata: what this side tells, and how it reads what the other tells; undefined without the filter. */
	readonly peers: PeerExchange | undefined;
	readonly observers: StreamObserver[];
}

export interface FilterSetInputs {
	readonly context: WorkerContext;
	/** What a filter is compiled with, but its place, its end and where its errors go. */
	readonly filterInputs: Omit<FilterInputs, "index" | "onClose" | "errors" | "rootCounter" | "rootGauge" | "rootHistogram">;
	rootCounter(prefix: string, name: string, onClose: FilterInputs["onClose"]): ReturnType<FilterInputs["rootCounter"]>;
	report(stats: IstioStats, errors: string[]): StreamObserver;
}

/** One filter's present configuration. */
interface Member {
	/** As it was configured or discovered: tells whether it is another one. undefined: nothing is known of it. */
	readonly source: HttpFilterConfig | undefined;
	readonly filter: HttpFilter;
	readonly closers: (() => void)[];
	/** The generations that use it. */
	users: number;
}

/** What of an update could not be compiled, by the name of the filter; undefined: of one that stands in the listener. */
export interface FilterError {
	readonly filter: string | undefined;
	readonly message: string;
}

/**
 * The filters of one connection manager, in generations: another configuration of a discovered filter makes the next one,
 * which shares all other filters with the last. A stream keeps the generation that it began with, and a filter goes when
 * no generation in use has it.
 */
export class FilterGeneration implements FilterSet {
	readonly chains: FilterChains;
	readonly suppressEnvoyHeaders: boolean;
	readonly upstreamAlpn: UpstreamAlpn | undefined;
	readonly peers: PeerExchange | undefined;
	readonly observers: StreamObserver[];
	readonly #filters: readonly HttpFilter[];
	readonly #inputs: FilterSetInputs;
	readonly #members: readonly Member[];
	#streams = 0;
	#isRetired = false;

	constructor(filters: readonly HttpFilter[], inputs: FilterSetInputs, extensions: Extensions, errors: FilterError[], before?: FilterGeneration) {
		this.#filters = filters;
		this.#inputs = inputs;
		this.#members = filters.map((filter, index) => memberOf(filter, extensions, before === undefined ? undefined : before.#members[index]));
		for (const member of this.#members) member.users++;
		const present = this.#members.map(({ filter }) => filter);
		const isDynamic = filters.some(({ kind }) => kind === "discovered");
		const compile = this.#compiler(errors);
		this.chains = before === undefined ? new FilterChains(present, compile, isDynamic ? new WeakMap() : undefined) : before.chains.replaced(present, compile);
		const router = present.find((filter) => filter.kind === "router");
		const alpn = present.find((filter) => filter.kind === "alpn");
		this.suppressEnvoyHeaders = router?.kind === "router" && router.suppressEnvoyHeaders;
		this.upstreamAlpn = alpn?.kind === "alpn" ? { "HTTP/1.1": alpn.http11, "HTTP/2": alpn.http2 } : undefined;
		this.peers = present.some((filter) => filter.kind === "peerMetadata") ? peerExchangeOf(inputs.context.node) : undefined;
		this.observers = present.flatMap((filter, index) => {
			if (filter.kind !== "istioStats") return [];
			const own: string[] = [];
			const observer = inputs.report(filter.stats, own);
			this.#report(index, own, errors);
			return [observer];
		});
	}

	/** Whether one of the filters is of this name and comes by itself. */
	discovers(name: string): boolean {
		return this.#filters.some((filter) => filter.kind === "discovered" && filter.name === name);
	}

	next(extensions: Extensions, errors: FilterError[]): FilterGeneration {
		return new FilterGeneration(this.#filters, this.#inputs, extensions, errors, this);
	}

	#compiler(errors: FilterError[]): ConstructorParameters<typeof FilterChains>[1] {
		const { filterInputs, rootCounter } = this.#inputs;
		return (filter, index, overrides) => {
			if (filter.kind === "discovered") return missingConfig;
			const member = this.#members[index] as Member;
			const own: string[] = [];
			const onClose = (close: () => void) => void member.closers.push(close);
			const openScope = (prefix: string) => {
				const scope = this.#inputs.context.stats.openScope(prefix);
				onClose(() => scope.close());
				return scope;
			};
			const rootHistogram: FilterInputs["rootHistogram"] = (prefix, name) => openScope(prefix).histogram(name);
			const rootGauge: FilterInputs["rootGauge"] = (prefix, name) => gaugeAt(this.#inputs.context.stats, openScope(prefix).gauge(name));
			const ownCounter: FilterInputs["rootCounter"] = (prefix, name) => rootCounter(prefix, name, onClose);
			const inputs: FilterInputs = { ...filterInputs, index, errors: own, onClose, rootCounter: ownCounter, rootGauge, rootHistogram };
			const compiled = compileHttpFilter(filter, overrides, inputs);
			this.#report(index, own, errors);
			return compiled;
		};
	}

	#report(index: number, messages: readonly string[], errors: FilterError[]): void {
		const filter = this.#filters[index];
		for (const message of messages) errors.push({ filter: filter?.kind === "discovered" ? filter.name : undefined, message });
	}

	beginStream(): void {
		this.#streams++;
	}

	endStream(): void {
		this.#streams--;
		if (this.#isRetired && this.#streams === 0) this.#close();
	}

	/** No stream begins with it any more; it ends with the last that did. */
	retire(): void {
		this.#isRetired = true;
		if (this.#streams === 0) this.#close();
	}

	#close(): void {
		for (const member of this.#members) if (--member.users === 0) for (const close of member.closers) close();
	}
}

function gaugeAt(stats: StatsRegistry, at: number): Gauge {
	return {
		add: (by) => void (stats.gauges[at] = (stats.gauges[at] as number) + by),
		set: (value) => void (stats.gauges[at] = value),
	};
}

function memberOf(filter: HttpFilter, extensions: Extensions, before: Member | undefined): Member {
	const source = filter.kind === "discovered" ? httpConfigInForce(filter.name, filter.discovery, extensions) : filter;
	if (before !== undefined && before.source === source) return before;
	const { disabled, name } = filter;
	// A copy of its own: filters share what they keep by the identity of their configuration, and end it with their manager.
	const own = filter.kind !== "discovered" || source === undefined ? filter : { ...structuredClone(source), name, ...(disabled !== undefined && { disabled }) };
	return { source, filter: own, closers: [], users: 0 };
}
