import { dynamicHostKey, dynamicPortKey } from "../../config/stream-data.ts";
import type { LbMetadata } from "../../config/load-balancing.ts";
import type { TcpProxy } from "../../config/network-filters.ts";
import type { IstioReporter } from "../http/istio-telemetry.ts";
import { DynamicHostSet } from "../lb/dynamic-hosts.ts";
import { createChooseContext, type HostEntry } from "../lb/host-entry.ts";
import { originalDestination } from "../lb/original-destination.ts";
import { filterStateObject } from "../log/filter-state.ts";
import { wantedMetadata } from "../lb/wanted-metadata.ts";
import type { LogStream } from "../log/access-log.ts";
import { responseFlags } from "../log/response-flags.ts";
import { type ConnectionInfo, createStreamInfo, setFilterState, type StreamInfo } from "../log/stream-info.ts";
import type { RequestHasher } from "../match/request-hash.ts";
import type { tcpCounters, tcpOnDemandCounters } from "../stats/families.ts";
import { Direction, type PassOwner, Side, type Way } from "./direction.ts";
import { TcpAttempt } from "./tcp-attempt.ts";
import { TcpReport } from "./tcp-report.ts";
import { type CompiledTunnel, Tunnel, type TunnelOwner } from "./tunnel.ts";
import { upstreamTlsInfo } from "../tls/upstream-tls.ts";
import { closeSent } from "../transport/close-sent.ts";
import { type Connection, silentHandler } from "../transport/connection.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";
import { clusterStat } from "../upstream/cluster-stats.ts";
import type { UpstreamExchange } from "../upstream/exchange.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { WantedAnswer } from "../worker/wanted-names.ts";

/** Compiled once per filter chain. */
export interface CompiledTcpProxy {
	/** Of what a server name leads to, where the cluster finds its hosts by names. */
	readonly sniPort: number;
	readonly config: TcpProxy;
	readonly context: WorkerContext;
	readonly hash: RequestHasher | undefined;
	/** undefined: bytes go to the host as they come. */
	readonly tunnel: CompiledTunnel | undefined;
	readonly accessLogs: readonly LogStream[];
	readonly close: () => void;
	/** Istio's TCP metrics; undefined: not asked for. */
	readonly istio: IstioReporter | undefined;
	count(name: keyof typeof tcpCounters.index, by?: number): void;
	/** Nothing where clusters are not asked for. */
	countOnDemand(name: keyof typeof tcpOnDemandCounters.index): void;
}

export interface TcpTarget {
	/** Name of the cluster; "" when none was found. */
	readonly cluster: string;
	/** Which subset of its hosts. */
	readonly metadata: LbMetadata | undefined;
	/** Read from the client already. */
	readonly bytes: Buffer | undefined;
}

/** One connection passed through: bytes both ways, ends of stream both ways. */
export class TcpSession implements TunnelOwner, PassOwner {
	readonly proxy: CompiledTcpProxy;
	readonly context: WorkerContext;
	readonly downstream: Connection;
	readonly info: StreamInfo;
	upstream: Connection | undefined;
	#tunnel: Tunnel | undefined;
	cluster: ClusterRuntime | undefined;
	#host: HostEntry | undefined;
	#cancel: (() => void) | undefined;
	#isOver = false;
	#attempts = 0;
	#attempt: TcpAttempt | undefined;
	/** Called where the host has failed its health checks. */
	readonly #close = (): void => this.#end(undefined);
	#lastActiveAt: number;
	readonly #idleTimer: Timer;
	readonly #durationTimer: Timer;
	readonly #onOver: () => void;
	/** Read before there was an upstream to pass it to. */
	#early: Buffer[] = [];
	#hasEndedEarly = false;
	/** The last that ended was the upstream. */
	#isUpstreamLast = false;
	#toUpstream: Direction | undefined;
	#toDownstream: Direction | undefined;
	readonly #chooseContext = createChooseContext();
	readonly #report: TcpReport;

	constructor(proxy: CompiledTcpProxy, downstream: Connection, connectionInfo: ConnectionInfo, onOver: () => void) {
		const { context, config } = proxy;
		this.proxy = proxy;
		this.context = context;
		this.downstream = downstream;
		this.#onOver = onOver;
		this.info = connectionInfo.stream ?? createStreamInfo(connectionInfo);
		this.info.startAt = this.#lastActiveAt = context.nowMs();
		this.info.startTimeMs = context.wallMs();
		this.#idleTimer = new Timer(context.wheel, () => this.#onIdle());
		this.#durationTimer = new Timer(context.wheel, () => {
			proxy.count("max_downstream_connection_duration");
			this.info.responseFlags |= responseFlags.DT;
			this.#end(undefined);
		});
		this.#report = new TcpReport(proxy, this.info);
		proxy.count("downstream_cx_total");
		this.#idleTimer.arm(config.idleTimeoutMs);
		this.#durationTimer.arm(config.maxDownstreamConnectionDurationMs);
	}

	start(target: TcpTarget): void {
		const { bytes } = target;
		const { downstream } = this;
		if (bytes !== undefined && bytes.length > 0) this.#early.push(bytes);
		// Nothing more is read before there is somebody to pass it to. TLS still hands over what it has decrypted
		// with the end of its handshake, at most one read's worth, and the end of the stream if that came along.
		downstream.pause();
		downstream.handler = {
			onData: (early, start, end) => void this.#early.push(Buffer.from(early.subarray(start, end))),
			onEnd: () => void (this.#hasEndedEarly = true),
			onBlocked() {},
			onDrain() {},
			onClose: () => this.#onDownstreamGone(),
		};
		const cluster = this.context.snapshot.clusters.get(target.cluster);
		if (cluster === undefined) this.#awaitCluster(target);
		else this.#startTo(cluster, target);
	}

	/** Asks the control plane for the cluster, where the proxy's configuration says so. */
	#awaitCluster(target: TcpTarget): void {
		const { context, proxy } = this;
		const { onDemand } = proxy.config;
		if (onDemand === undefined) return this.#endWithoutCluster();
		proxy.countOnDemand("on_demand_cluster_attempt");
		const answered = (answer: WantedAnswer) => {
			this.#cancel = undefined;
			if (this.#isOver) return;
			const cluster = context.snapshot.clusters.get(target.cluster);
			if (cluster !== undefined) {
				proxy.countOnDemand("on_demand_cluster_success");
				return this.#startTo(cluster, target);
			}
			proxy.countOnDemand(answer === "timeout" ? "on_demand_cluster_timeout" : "on_demand_cluster_missing");
			this.#endWithoutCluster();
		};
		this.#cancel = context.wanted.cluster.wait(context, target.cluster, onDemand.timeoutMs, answered);
		if (this.#cancel === undefined) answered("answered");
	}

	#endWithoutCluster(): void {
		this.proxy.count("downstream_cx_no_route");
		this.info.responseFlags |= responseFlags.NC;
		this.#end(undefined);
	}

	#startTo(cluster: ClusterRuntime, { cluster: name, metadata }: TcpTarget): void {
		const { info } = this;
		const { hash } = this.proxy;
		info.upstreamCluster = name;
		this.cluster = cluster;
		const onInvalid = () => cluster.count(clusterStat.original_dst_host_invalid);
		this.#chooseContext.destination = originalDestination(cluster.config.originalDst, info, { header: undefined, onInvalid });
		this.#chooseContext.metadata = wantedMetadata(info, metadata);
		if (hash !== undefined) this.#chooseContext.hash = hash(undefined, info).hash;
		if (cluster.hosts instanceof DynamicHostSet) this.#resolve(cluster.hosts);
		else this.#connect();
	}

	/** Where the cluster finds its hosts by name: that of the filter state, else what the client asked for in its SNI. */
	#resolve(hosts: DynamicHostSet): void {
		const { requestedServerName, localAddress } = this.info.connection;
		const name = filterStateObject(this.info, dynamicHostKey)?.text ?? requestedServerName;
		const said = Number(filterStateObject(this.info, dynamicPortKey)?.text ?? 0);
		const port = said > 0 && said <= 0xffff ? said : this.proxy.sniPort;
		if (name !== "") setFilterState(this.info.connection, dynamicPortKey, { text: String(port), kind: "number" });
		const destination = `${name.toLowerCase()}:${port}`;
		this.#chooseContext.destination = destination;
		const go = () => {
			if (this.#isOver) return;
			const address = hosts.choose({ destination })?.address;
			if (address !== undefined && address !== localAddress) return this.#connect();
			this.info.responseFlags |= address === undefined && name !== "" ? responseFlags.DF : responseFlags.UH;
			this.#end(undefined);
		};
		if (name === "" || hosts.resolution(destination) !== undefined) return go();
		this.#cancel = hosts.wait(destination, () => {
			this.#cancel = undefined;
			go();
		});
	}

	#connect(): void {
		const cluster = this.cluster as ClusterRuntime;
		const { info } = this;
		if (this.proxy.tunnel !== undefined) return this.#openTunnel(this.proxy.tunnel, cluster);
		const attempt = new TcpAttempt(cluster, this.context);
		const host = attempt.begin(this.#chooseContext);
		if (host === "noHost" || host === "overflow") {
			info.responseFlags |= host === "noHost" ? responseFlags.UH : responseFlags.UO;
			return this.#end(undefined);
		}
		this.#attempts++;
		this.#attempt = attempt;
		this.#host = host;
		this.#nameHost(host);
		attempt.connect(
			info.connection,
			(upstream) => this.#connected(upstream),
			({ cause, reason }) => this.#attemptFailed(reason, cause),
		);
	}

	#nameHost({ address, host }: HostEntry): void {
		this.info.attemptCount = this.#attempts;
		this.info.upstreamHost = address;
		this.info.upstreamHostName = host.hostname;
	}

	/** By a request that asks the host to pass everything on. */
	#openTunnel(compiled: CompiledTunnel, cluster: ClusterRuntime): void {
		const { info } = this;
		const tunnel = new Tunnel(compiled, this);
		const host = tunnel.begin(cluster, this.#chooseContext);
		if (host === "noHost" || host === "overflow") {
			info.responseFlags |= host === "noHost" ? responseFlags.UH : responseFlags.UO;
			return this.#end(undefined);
		}
		this.#attempts++;
		this.#host = host;
		this.#nameHost(host);
		this.#tunnel = tunnel;
		tunnel.connect();
	}

	onTunnelFailed(reason: string, cause: "connectFailure" | "timeout" | "overflow" | "response"): void {
		this.#tunnel = undefined;
		if (cause === "overflow") {
			this.info.responseFlags |= responseFlags.UO;
			return this.#end(undefined);
		}
		this.#attemptFailed(reason, cause === "timeout" ? "timeout" : "connectFailure");
	}

	onTunnelOpen(exchange: UpstreamExchange): void {
		const { info } = this;
		const { connection } = exchange;
		info.upstreamTls = connection.isTls ? upstreamTlsInfo(connection) : undefined;
		info.upstreamLocalAddress = exchange.localAddress;
		const tunnel = this.#tunnel as Tunnel;
		this.#pass(tunnel, tunnel);
	}

	onTunnelBytes(bytes: Buffer, start: number, end: number): void {
		this.#toDownstream?.pass(bytes, start, end);
	}

	onTunnelEnd(): void {
		this.#end(undefined);
	}

	onTunnelBlocked(): void {
		this.#toUpstream?.pause();
	}

	onTunnelDrain(): void {
		this.#toUpstream?.resume();
	}

	#attemptFailed(reason: string, cause: "timeout" | "connectFailure"): void {
		const { info, proxy } = this;
		info.upstreamTransportFailureReason = reason.slice(0, 512);
		this.cluster?.outlier.localFailure(this.#host as HostEntry, cause);
		info.responseFlags |= responseFlags.UF;
		this.cluster?.count(clusterStat.upstream_cx_destroy_remote);
		this.cluster?.count(clusterStat.upstream_rq_pending_failure_eject);
		this.#release();
		if (this.#attempts < proxy.config.connectAttemptsMax) return this.#connect();
		this.cluster?.count(clusterStat.upstream_cx_connect_attempts_exceeded);
		info.responseFlags |= responseFlags.URX;
		this.#end(undefined);
	}

	#connected(upstream: Connection): void {
		const { info } = this;
		this.upstream = upstream;
		this.cluster?.count(clusterStat.upstream_rq_total);
		this.cluster?.markConnected();
		if (upstream.isTls) info.upstreamTls = upstreamTlsInfo(upstream);
		info.upstreamLocalAddress = `${upstream.localAddress}:${upstream.localPort}`;
		this.#pass(upstream, undefined);
	}

	/** Bytes pass from here on. */
	#pass(upstream: Connection | Tunnel, tunnel: Tunnel | undefined): void {
		const { downstream, proxy } = this;
		if (this.cluster?.config.closesConnectionsOnHealthFailure === true) ((this.#host as HostEntry).tcpConnections ??= new Set()).add(this.#close);
		this.cluster?.outlier.connected(this.#host as HostEntry, true);
		this.#report.opened(this.cluster, this.#host);
		const up = (this.#toUpstream = new Direction(this, "up"));
		const down = (this.#toDownstream = new Direction(this, "down"));
		up.wire(downstream, upstream, tunnel);
		down.wire(upstream, downstream, undefined);
		downstream.handler = new Side(this, "downstream", up, down);
		if (!(upstream instanceof Tunnel)) upstream.handler = new Side(this, "upstream", down, up);
		for (const bytes of this.#early) up.pass(bytes, 0, bytes.length);
		this.#early = [];
		this.context.output.flush();
		if (proxy.config.logsWhenConnected) this.#report.log("TcpUpstreamConnected");
		if (this.#hasEndedEarly) up.end();
		downstream.resume();
		upstream.resume();
	}

	onBytes(way: Way, count: number): void {
		const { info, proxy, cluster } = this;
		this.#lastActiveAt = this.context.nowMs();
		if (way === "up") {
			info.bytesReceived += count;
			proxy.count("downstream_cx_rx_bytes_total", count);
			cluster?.count(clusterStat.upstream_cx_tx_bytes_total, count);
		} else {
			info.bytesSent += count;
			proxy.count("downstream_cx_tx_bytes_total", count);
			cluster?.count(clusterStat.upstream_cx_rx_bytes_total, count);
		}
	}

	onHalfClosed(way: Way): void {
		this.#isUpstreamLast = way === "down";
		if (this.#toUpstream?.isEnded === true && this.#toDownstream?.isEnded === true) this.#end(undefined);
	}

	/** A reset of one side is passed on to the other, as in Envoy. */
	onClosed(side: "downstream" | "upstream", error: NodeJS.ErrnoException | undefined): void {
		if (this.#isOver) return;
		this.#isUpstreamLast = side === "upstream";
		const isReset = error?.code === "ECONNRESET";
		if (!isReset) return this.#end(error);
		if (side === "upstream") this.info.responseFlags |= responseFlags.UR;
		const other = side === "upstream" ? this.downstream : this.upstream;
		if (other !== undefined) other.handler = silentHandler;
		other?.reset();
		this.#end(undefined);
	}

	#onIdle(): void {
		const rest = this.#lastActiveAt + this.proxy.config.idleTimeoutMs - this.context.nowMs();
		if (rest > 1) return this.#idleTimer.arm(rest);
		this.proxy.count("idle_timeout");
		this.#end(undefined);
	}

	#onDownstreamGone(): void {
		// Closing is how it ends, whoever does it.
		if (this.#isOver) return;
		this.info.responseFlags |= responseFlags.DC;
		this.#cancel?.();
		this.#end(undefined);
	}

	#release(): void {
		this.#attempt?.release(this.#close, this.#isUpstreamLast);
		this.#attempt = undefined;
	}

	#closeTunnel(tunnel: Tunnel): void {
		this.#tunnel = undefined;
		this.#host?.tcpConnections?.delete(this.#close);
		tunnel.close();
	}

	/** Both sides close; what was written leaves first. */
	#end(error: Error | undefined): void {
		if (this.#isOver) return;
		this.#isOver = true;
		const { info } = this;
		this.#idleTimer.disarm();
		this.#durationTimer.disarm();
		this.#attempt?.giveUp();
		this.#cancel?.();
		if (error !== undefined) info.connectionTerminationDetails = error.message.replace(/\s/g, "_");
		closeSent(this.downstream, this.context);
		if (this.upstream !== undefined) closeSent(this.upstream, this.context);
		if (this.#tunnel !== undefined) this.#closeTunnel(this.#tunnel);
		this.#release();
		info.endAt = this.context.nowMs();
		info.downstreamWireBytesReceived = info.bytesReceived;
		info.downstreamWireBytesSent = info.bytesSent;
		if (this.upstream !== undefined) {
			info.upstreamWireBytesSent = info.bytesReceived;
			info.upstreamWireBytesReceived = info.bytesSent;
		}
		this.#report.end();
		this.#onOver();
	}
}
