import { upstreamServerNameKey } from "../../config/stream-data.ts";
import type { BreakerLimits, Cluster } from "../../config/clusters.ts";
import { clusterInRuntime } from "../../config/cluster-in-runtime.ts";
import type { ClusterHosts } from "../../config/hosts.ts";
import type { DropCounts } from "../../config/worker-messages.ts";
import {
	acquire,
	breakerWord,
	hostConnectionsOf,
	markConnected,
	noSlot,
	release,
	slotBytes,
	type SharedWords,
	tryAcquire,
	viewSlot,
} from "../../config/shared-state.ts";
import { createOutlierReporter, type OutlierReporter } from "../filters/outlier-reporter.ts";
import type { RequestHead } from "../codec/request-head.ts";
import type { ConnectionInfo, StreamInfo } from "../log/stream-info.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import { addToEwma, ewmaAlpha } from "../lb/peak-ewma.ts";
import { createHostSet, type HostSet, type HostSetInputs } from "../lb/host-set.ts";
import { clusterCounters, clusterGauges, clusterHttp2Counters, clusterHttp2Gauges, tlsCounters } from "../stats/families.ts";
import type { Histogram } from "../stats/histogram.ts";
import { createResponseCodes, type ResponseCodes } from "../stats/response-codes.ts";
import type { StatsScope } from "../stats/registry.ts";
import { createTransportChooser, type TransportChooser, type UpstreamAlpn } from "./transport-chooser.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { HttpPool, PoolProtocol } from "./exchange.ts";
import { RequestTracking } from "./cluster-tracking.ts";
import { HostPools } from "./host-pools.ts";
import { preconnectAhead } from "./preconnect.ts";
import { clusterGauge, clusterStat } from "./cluster-stats.ts";

type Resource = "connections" | "pending" | "requests" | "retries";

const subsetStats = {
	selected: clusterStat.lb_subsets_selected,
	fallback: clusterStat.lb_subsets_fallback,
	fallbackPanic: clusterStat.lb_subsets_fallback_panic,
} as const;

const zoneStats = {
	recalculated: clusterStat.lb_recalculate_zone_structures,
	tooSmall: clusterStat.lb_zone_cluster_too_small,
	localClusterNotOk: clusterStat.lb_local_cluster_not_ok,
	allDirectly: clusterStat.lb_zone_routing_all_directly,
	sampled: clusterStat.lb_zone_routing_sampled,
	crossZone: clusterStat.lb_zone_routing_cross_zone,
	noCapacityLeft: clusterStat.lb_zone_no_capacity_left,
} as const;

/** For whose request a connection is. */
type PoolFor = Pick<StreamInfo, "connection" | "filterState">;

/** One cluster in one worker: hosts, pools, limits, counters. Lives as long as its configuration stays the same. */
export interface OriginStats {
	readonly codes: ResponseCodes;
	readonly requestMs: Histogram;
}

export class ClusterRuntime {
	/** As it was received. */
	readonly config: Cluster;
	/** With what the runtime says of it now. */
	#effective: Cluster;
	readonly context: WorkerContext;
	readonly hosts: HostSet;
	readonly scope: StatsScope;
	readonly counterBase: number;
	readonly gaugeBase: number;
	readonly tlsBase: number;
	readonly responseCodes: ResponseCodes;
	/** Of answers that were followed by another attempt. */
	readonly retriedCodes: ResponseCodes;
	readonly requestMs: Histogram;
	readonly connectionMs: Histogram;
	readonly requestsPerConnection: Histogram;
	readonly connectMs: Histogram;
	readonly transports: TransportChooser;
	readonly outlier: OutlierReporter;
	readonly tracking: RequestTracking | undefined;
	/** The slot alone: shared by all workers, or this worker's own where none was to be had. */
	readonly words: SharedWords;
	readonly breakerSlot: number;
	readonly checksHealth: boolean;
	isRemoved = false;
	/** Those of its pools, in this worker, being made ones included. */
	connections = 0;
	/** Requests that came to no host, for load reports: over a limit or dropped, and dropped alone. */
	readonly drops: DropCounts = { total: 0, overload: 0 };
	/** Share of requests to drop. */
	#dropRatio = 0;
	/** Of requests that are refused because the runtime says so. */
	#maintenancePercent = 0;
	/** 0: answer times are not kept. */
	readonly #ewmaAlpha: number;
	#http2CounterBase = -1;
	#http2GaugeBase = -1;
	#internal: OriginStats | undefined;
	#external: OriginStats | undefined;

	constructor(config: Cluster, hosts: ClusterHosts, context: WorkerContext) {
		this.config = config;
		this.context = context;
		this.#effective = clusterInRuntime(config, context.runtime);
		this.#maintenancePercent = this.#readMaintenance();
		this.#ewmaAlpha = config.lb.kind === "peakEwma" ? ewmaAlpha(config.lb.requests) : 0;
		this.checksHealth = config.healthChecks.length > 0;
		this.#dropRatio = hosts.dropOverload?.ratio ?? 0;
		this.words = config.breakerSlot === noSlot ? new Int32Array(new SharedArrayBuffer(slotBytes)) : viewSlot(context.words, config.breakerSlot);
		this.breakerSlot = 0;
		this.scope = context.stats.openScope(`cluster.${config.statName}.`);
		this.counterBase = this.scope.counters(clusterCounters);
		this.hosts = createHostSet(hosts, this.#effective, {
			random: context.random,
			nowMs: context.wallMs,
			hash64: context.hash64,
			words: context.words,
			onPanic: () => this.count(clusterStat.lb_healthy_panic),
			dynamic: {
				lookup: context.lookup,
				afterEvent: context.afterEvent,
				onGone: (host) => host.attachment instanceof HostPools && host.attachment.drain(),
			},
			onSubset: (kind) => this.count(subsetStats[kind]),
			...this.#zoneInputs(),
		});
		this.gaugeBase = this.scope.gauges(clusterGauges);
		this.tlsBase = this.scope.counters(tlsCounters);
		this.responseCodes = createResponseCodes(context.stats, this.scope, "upstream_rq");
		this.retriedCodes = createResponseCodes(context.stats, this.scope, "retry.upstream_rq");
		this.requestMs = this.scope.histogram("upstream_rq_time");
		this.connectionMs = this.scope.histogram("upstream_cx_length_ms");
		this.requestsPerConnection = this.scope.histogram("upstream_rq_per_cx");
		this.connectMs = this.scope.histogram("upstream_cx_connect_ms");
		this.tracking = config.tracking && new RequestTracking(config.tracking, this.scope);
		this.transports = createTransportChooser(config, context);
		this.outlier = createOutlierReporter(this.#effective.outlier, context.words, (hostSlot, reason) => {
			context.post({ kind: "eject", cluster: config.name, hostSlot, reason });
		});
	}

	/** The local cluster itself has no zones to look at. */
	#zoneInputs(): Pick<HostSetInputs, "zones"> {
		const { context } = this;
		if (context.localCluster === "" || context.localCluster === this.config.name) return {};
		const local = () => context.snapshot.clusters.get(context.localCluster)?.hosts.local;
		return { zones: { own: context.node.locality, local, onEvent: (event) => this.count(zoneStats[event]) } };
	}

	/** What is spoken with the hosts for a request that came by `version` (10, 11 or 20). */
	httpProtocol(version: number): PoolProtocol {
		switch (this.config.upstreamProtocol) {
			case "http2":
				return "HTTP/2";
			case "downstream":
				return version === 20 ? "HTTP/2" : "HTTP/1.1";
			case "alpn":
				return "auto";
			default:
				return "HTTP/1.1";
		}
	}

	/** Whether this request is to be dropped, as the control plane wants with some (`drop_overloads`), or with all. */
	drop(): "some" | "all" | undefined {
		const ratio = this.#dropRatio;
		if (ratio === 0 || (ratio < 1 && this.context.random() >= ratio)) return undefined;
		this.drops.total++;
		this.drops.overload++;
		return ratio < 1 ? "some" : "all";
	}

	/** Whether this request is refused because of `upstream.maintenance_mode.<name>`. */
	get isInMaintenance(): boolean {
		const percent = this.#maintenancePercent;
		return percent !== 0 && this.context.random() * 100 < percent;
	}

	/** Where requests of `request`'s kind to this host go. */
	poolFor(host: HostEntry, request: RequestHead, alpn: UpstreamAlpn | undefined, priority: "default" | "high", client?: PoolFor): HttpPool {
		const { predictivePreconnectRatio: ratio } = this.config;
		if (ratio !== undefined) preconnectAhead(this, ratio, this.httpProtocol(request.version), (next) => this.#pool(next, request, alpn, priority, client));
		return this.#pool(host, request, alpn, priority, client);
	}

	#pool(host: HostEntry, request: RequestHead, alpn: UpstreamAlpn | undefined, priority: "default" | "high", client: PoolFor | undefined): HttpPool {
		const protocol = this.httpProtocol(request.version);
		const offered = this.transports.httpAlpn(host, alpn, protocol);
		const serverName = client?.filterState?.get(upstreamServerNameKey)?.text;
		const transport = this.transports.choose(host, request.authority, offered, client?.connection, serverName);
		return this.poolsOf(host).pool(transport, priority, transport.isTls || protocol !== "auto" ? protocol : "HTTP/1.1");
	}

	/** For what is no HTTP. */
	tcpPoolFor(host: HostEntry, priority: "default" | "high", downstream: ConnectionInfo): HttpPool {
		return this.poolsOf(host).pool(this.transports.choose(host, "", undefined, downstream), priority, "tcp");
	}

	/** One of `http2Stat`; after `openHttp2Stats`. */
	countHttp2(stat: number): void {
		const { counters } = this.context.stats;
		const at = this.#http2CounterBase + stat;
		counters[at] = (counters[at] as number) + 1;
	}

	/** One of `http2Gauge`; after `openHttp2Stats`. */
	gaugeHttp2(stat: number, by: number): void {
		const { gauges } = this.context.stats;
		const at = this.#http2GaugeBase + stat;
		gauges[at] = (gauges[at] as number) + by;
	}

	/** Not before HTTP/2 is spoken: most clusters never do. */
	openHttp2Stats(): void {
		if (this.#http2CounterBase >= 0) return;
		this.#http2CounterBase = this.scope.counters(clusterHttp2Counters);
		this.#http2GaugeBase = this.scope.gauges(clusterHttp2Gauges);
	}

	/** What is counted apart for callers inside and outside; taken with the first of either. */
	origin(isInternal: boolean): OriginStats {
		if (isInternal) return (this.#internal ??= this.#openOrigin("internal"));
		return (this.#external ??= this.#openOrigin("external"));
	}

	#openOrigin(name: "internal" | "external"): OriginStats {
		return { codes: createResponseCodes(this.context.stats, this.scope, `${name}.upstream_rq`), requestMs: this.scope.histogram(`${name}.upstream_rq_time`) };
	}

	/** One of `clusterStat`. */
	count(stat: number, by = 1): void {
		const { counters } = this.context.stats;
		const at = this.counterBase + stat;
		counters[at] = (counters[at] as number) + by;
	}

	/** A handshake's version, cipher suite and curve; "": not known. */
	countHandshake(version: string, cipher: string, curve: string): void {
		const { counters } = this.context.stats;
		for (const name of [`ssl.versions.${version}`, `ssl.ciphers.${cipher}`, ...(curve === "" ? [] : [`ssl.curves.${curve}`])]) {
			const at = this.scope.counter(name);
			counters[at] = (counters[at] as number) + 1;
		}
	}

	countTls(name: keyof typeof tlsCounters.index): void {
		const { counters } = this.context.stats;
		const at = this.tlsBase + tlsCounters.index[name];
		counters[at] = (counters[at] as number) + 1;
	}

	/** Under way in this worker. */
	get activeRequests(): number {
		return this.context.stats.gauges[this.gaugeBase + clusterGauge.upstream_rq_active] as number;
	}

	/** One of `clusterGauge`. */
	gauge(stat: number, by: number): void {
		const { gauges } = this.context.stats;
		const at = this.gaugeBase + stat;
		gauges[at] = (gauges[at] as number) + by;
	}

	limits(priority: "default" | "high"): BreakerLimits {
		return this.#effective.breakers[priority];
	}

	/** False: over the limit of all workers together. */
	tryHold(resource: Resource, priority: "default" | "high"): boolean {
		const limits = this.limits(priority);
		const limit =
			resource === "connections"
				? limits.connectionsMax
				: resource === "pending"
					? limits.pendingRequestsMax
					: resource === "requests"
						? limits.requestsMax
						: limits.retriesMax;
		return tryAcquire(this.words, breakerWord(this.breakerSlot, priority, resource), limit);
	}

	/** False: over the cluster's limit, or the host's own. One connection a host is always allowed (`isFirst`). */
	holdConnection(host: HostEntry, priority: "default" | "high", isFirst: boolean): boolean {
		const { words } = this.context;
		const hostSlot = host.host.slot;
		const hostMax = this.limits(priority).perHostConnectionsMax;
		const countsHost = hostMax !== undefined && hostSlot !== noSlot;
		if (countsHost && !tryAcquire(words, hostConnectionsOf(hostSlot), hostMax)) {
			if (!isFirst) return false;
			acquire(words, hostConnectionsOf(hostSlot));
		}
		if (isFirst) this.hold("connections", priority);
		else if (!this.tryHold("connections", priority)) {
			if (countsHost) release(words, hostConnectionsOf(hostSlot));
			return false;
		}
		return true;
	}

	letConnectionGo(host: HostEntry, priority: "default" | "high"): void {
		this.letGo("connections", priority);
		const { perHostConnectionsMax } = this.limits(priority);
		const hostSlot = host.host.slot;
		// The slot of a host that is gone may be another's already.
		if (perHostConnectionsMax !== undefined && hostSlot !== noSlot && host.inUse) release(this.context.words, hostConnectionsOf(hostSlot));
	}

	/** Health checks are more frequent from now on. */
	markConnected(): void {
		markConnected(this.words, this.breakerSlot);
	}

	/** Whatever the limit. */
	hold(resource: Resource, priority: "default" | "high"): void {
		acquire(this.words, breakerWord(this.breakerSlot, priority, resource));
	}

	letGo(resource: Resource, priority: "default" | "high"): void {
		release(this.words, breakerWord(this.breakerSlot, priority, resource));
	}

	poolsOf(host: HostEntry): HostPools {
		const pools = host.attachment;
		if (pools instanceof HostPools) return pools;
		const fresh = new HostPools(this, host);
		host.attachment = fresh;
		return fresh;
	}

	/** How long a host took to answer, for balancers that go by it. */
	observeLatency(host: HostEntry, latencyMs: number): void {
		if (this.#ewmaAlpha === 0) return;
		host.latencyMs = addToEwma(host.latencyMs, latencyMs, this.#ewmaAlpha);
		host.latencyAtMs = this.context.wallMs();
	}

	/** A host failed its health checks: its connections are not to be used again. */
	hostFailed(address: string): void {
		for (const host of this.hosts.entries()) {
			if (host.address !== address) continue;
			if (host.attachment instanceof HostPools) host.attachment.drain();
			if (this.config.closesConnectionsOnHealthFailure) for (const close of [...(host.tcpConnections ?? [])]) close();
		}
	}

	/** An answer carried `x-envoy-immediate-health-check-fail`. */
	failImmediately(host: HostEntry): void {
		this.context.post({ kind: "immediateFail", cluster: this.config.name, hostSlot: host.host.slot });
	}

	updateHosts(hosts: ClusterHosts): void {
		this.#dropRatio = hosts.dropOverload?.ratio ?? 0;
		const gone = this.hosts.update(hosts, this.#effective);
		this.count(clusterStat.membership_change);
		for (const host of gone) if (host.attachment instanceof HostPools) host.attachment.drain();
	}

	/** The runtime says something else than it did. */
	followRuntime(hosts: ClusterHosts): void {
		const before = this.#effective;
		this.#effective = clusterInRuntime(this.config, this.context.runtime);
		this.#maintenancePercent = this.#readMaintenance();
		if (before === this.#effective) return;
		if (this.#effective.outlier !== undefined) this.outlier.follow(this.#effective.outlier);
		this.hosts.update(hosts, this.#effective);
	}

	#readMaintenance(): number {
		return this.context.runtime.percent(`upstream.maintenance_mode.${this.config.name}`, 0);
	}

	/** No route leads here any more: idle connections close now, busy ones when they are done. */
	remove(): void {
		this.isRemoved = true;
		for (const host of this.hosts.entries()) if (host.attachment instanceof HostPools) host.attachment.drain();
		this.scope.close();
	}

	/** Certificates changed: connections made with the old ones are used up, new ones take the new. */
	refreshTls(): void {
		this.transports.refresh();
	}
}
