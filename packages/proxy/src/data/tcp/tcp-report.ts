import type { HostEntry } from "../lb/host-entry.ts";
import type { LogType } from "../log/log-type.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import type { IstioRecorder } from "../stats/istio-metrics.ts";
import type { CompiledTcpProxy } from "./tcp-proxy.ts";
import { Timer } from "../transport/timers.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";

/** As often as Istio's filter reports. */
const reportMs = 5000;

/** What is told of one connection while it lasts and when it ends: lines of the access log, Istio's metrics. */
export class TcpReport {
	readonly #proxy: CompiledTcpProxy;
	readonly #info: StreamInfo;
	#recorder: IstioRecorder | undefined;
	/** Of its metrics, by expressions. */
	#tags = "";
	#reportedSent = 0;
	#reportedReceived = 0;
	readonly #reportTimer: Timer;
	readonly #logTimer: Timer;

	constructor(proxy: CompiledTcpProxy, info: StreamInfo) {
		const { config, context } = proxy;
		this.#proxy = proxy;
		this.#info = info;
		this.#reportTimer = new Timer(context.wheel, () => {
			this.#reportBytes();
			this.#reportTimer.arm(reportMs);
		});
		this.#logTimer = new Timer(context.wheel, () => {
			this.log("TcpPeriodic");
			this.#logTimer.arm(config.logIntervalMs);
		});
		this.#logTimer.arm(config.logIntervalMs);
	}

	/** Bytes pass from here on. */
	opened(cluster: ClusterRuntime | undefined, host: HostEntry | undefined): void {
		const { istio } = this.#proxy;
		if (istio === undefined) return;
		const info = this.#info;
		this.#recorder = istio.recorder(info.connection, cluster, host, info.upstreamTls, "");
		this.#tags = istio.tagsOf(info);
		this.#recorder?.tcpOpened(this.#tags);
		if (this.#recorder !== undefined) this.#reportTimer.arm(reportMs);
	}

	log(logType: LogType): void {
		const info = this.#info;
		info.logType = logType;
		for (const log of this.#proxy.accessLogs) log(info);
	}

	/** Long connections are counted while they last. */
	#reportBytes(): void {
		const { bytesSent, bytesReceived } = this.#info;
		this.#recorder?.tcpBytes(bytesSent - this.#reportedSent, bytesReceived - this.#reportedReceived, this.#tags);
		this.#reportedSent = bytesSent;
		this.#reportedReceived = bytesReceived;
	}

	end(): void {
		this.#reportBytes();
		this.#reportTimer.disarm();
		this.#recorder?.tcpClosed(this.#info.responseFlags, this.#tags);
		this.#logTimer.disarm();
		this.log("TcpConnectionEnd");
	}
}
