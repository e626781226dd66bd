import { type Clock, createBackoff, type Logger } from "@weft/runtime";
import type { ClusterStats } from "@weft/xds/generated/envoy/config/endpoint/v3/load_report.ts";
import type { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { LoadStatsResponse } from "@weft/xds/generated/envoy/service/load_stats/v3/lrs.ts";
import type { ClusterHosts } from "../config/hosts.ts";
import type { CountedLoad } from "../config/worker-messages.ts";
import { durationMsOr } from "../config/decode/issues.ts";
import type { GrpcCall } from "../grpc/call.ts";
import type { GrpcChannel } from "../grpc/channel.ts";
import { statusText } from "../grpc/status.ts";
import { type ClusterLoad, loadOf, noLoad, reportCluster } from "./load-report.ts";

export interface LoadReporterOptions {
	/** A channel of its own for each stream, closed with it. An error is a text. */
	readonly openChannel: () => GrpcChannel | string;
	readonly metadata: () => Readonly<Record<string, string>>;
	readonly node: Node;
	readonly countLoad: () => Promise<CountedLoad>;
	readonly clusterNames: () => Iterable<string>;
	readonly hostsOf: (cluster: string) => ClusterHosts | undefined;
	/** Name of the cluster's assignment, where it is another than the cluster's; "": it is not. */
	readonly serviceNameOf: (cluster: string) => string;
	readonly clock: Clock;
	readonly random: () => number;
	readonly logger: Logger;
}

const method = "/envoy.service.load_stats.v3.LoadReportingService/StreamLoadStats";
const backoffMs = { minMs: 500, maxMs: 30_000 };
const sendsAllFeature = "envoy.lrs.supports_send_all_clusters";

/**
 * Tells a management server the load of the clusters that it asks about, by locality and once an interval (LRS,
 * https://www.envoyproxy.io/docs/envoy/latest/api-v3/service/load_stats/v3/lrs.proto). It asks first; a stream that ends is opened again.
 */
export class LoadReporter {
	readonly #options: LoadReporterOptions;
	readonly stats = { requests: 0, responses: 0, errors: 0, retries: 0 };

	constructor(options: LoadReporterOptions) {
		this.#options = options;
	}

	async run(signal: AbortSignal): Promise<void> {
		const { clock, logger, random } = this.#options;
		const messages = await import("@weft/xds/generated/envoy/service/load_stats/v3/lrs.ts");
		const backoff = createBackoff({ ...backoffMs, random });
		while (!signal.aborted) {
			const reason = await this.#runStream(messages, signal, () => backoff.reset());
			if (signal.aborted) return;
			this.stats.errors++;
			const retryMs = backoff.nextMs();
			logger.debug("load reports are interrupted", { reason, retryMs: Math.round(retryMs) });
			await clock.sleep(retryMs, signal);
			this.stats.retries++;
		}
	}

	/** Resolves with why it ended. */
	async #runStream(
		messages: typeof import("@weft/xds/generated/envoy/service/load_stats/v3/lrs.ts"),
		signal: AbortSignal,
		onAnswer: () => void,
	): Promise<string> {
		const channel = this.#options.openChannel();
		if (typeof channel === "string") return channel;
		const { promise, resolve } = Promise.withResolvers<string>();
		const node = { ...this.#options.node, clientFeatures: [...this.#options.node.clientFeatures, sendsAllFeature] };
		const send = (clusterStats: ClusterStats[]) => {
			this.stats.requests++;
			call.send(messages.LoadStatsRequest.encode({ node, clusterStats }).finish());
		};
		const period = new ReportPeriod(this.#options, send);
		const call: GrpcCall = channel.open(
			{ path: method, metadata: this.#options.metadata() },
			{
				onMessage: (message) => {
					onAnswer();
					this.stats.responses++;
					const problem = decodeInto(messages, message, period);
					if (problem !== undefined) resolve(problem);
				},
				onEnd: (status) => resolve(status.code === 0 ? "the server ended the stream" : statusText(status)),
			},
		);
		const abort = () => resolve("stopped");
		signal.addEventListener("abort", abort, { once: true });
		send([]);
		const reason = await promise;
		signal.removeEventListener("abort", abort);
		period.stop();
		call.cancel();
		channel.close();
		return reason;
	}
}

function decodeInto(
	{ LoadStatsResponse }: typeof import("@weft/xds/generated/envoy/service/load_stats/v3/lrs.ts"),
	message: Buffer,
	period: ReportPeriod,
): string | undefined {
	try {
		period.begin(LoadStatsResponse.decode(message));
		return undefined;
	} catch (error) {
		return `not a LoadStatsResponse: ${error instanceof Error ? error.message : String(error)}`;
	}
}

/** What the server asked for last, and what was counted when it was last told. */
class ReportPeriod {
	readonly #options: LoadReporterOptions;
	readonly #send: (stats: ClusterStats[]) => void;
	#asked: LoadStatsResponse | undefined;
	#latched = new Map<string, { readonly load: ClusterLoad; readonly atMs: number }>();
	#timer: NodeJS.Timeout | undefined;
	#isStopped = false;

	constructor(options: LoadReporterOptions, send: (stats: ClusterStats[]) => void) {
		this.#options = options;
		this.#send = send;
	}

	begin(asked: LoadStatsResponse): void {
		this.#asked = asked;
		void this.#latchNew().then(() => this.#wait());
	}

	#wait(): void {
		clearTimeout(this.#timer);
		if (this.#isStopped) return;
		// 0 would be a loop.
		this.#timer = setTimeout(() => void this.#report(), Math.max(1, durationMsOr(this.#asked?.loadReportingInterval, 0)));
		this.#timer.unref();
	}

	#wanted(): readonly string[] {
		const known = [...this.#options.clusterNames()];
		return this.#asked?.sendAllClusters === true ? known : known.filter((name) => this.#asked?.clusters.includes(name));
	}

	/** Of clusters that were not asked about before counting begins now. */
	async #latchNew(): Promise<void> {
		const { clock, countLoad } = this.#options;
		const counted = await countLoad();
		const wanted = this.#wanted();
		for (const name of this.#latched.keys()) if (!wanted.includes(name)) this.#latched.delete(name);
		for (const name of wanted) if (!this.#latched.has(name)) this.#latched.set(name, { load: loadOf(name, counted), atMs: clock.monotonicMs() });
	}

	async #report(): Promise<void> {
		const { clock, countLoad, hostsOf, logger, serviceNameOf } = this.#options;
		try {
			const counted = await countLoad();
			const nowMs = clock.monotonicMs();
			const stats = this.#wanted().map((name) => {
				const latched = this.#latched.get(name);
				const load = loadOf(name, counted);
				this.#latched.set(name, { load, atMs: nowMs });
				return reportCluster({
					name,
					serviceName: serviceNameOf(name),
					assignment: hostsOf(name),
					counted: load,
					latched: latched?.load ?? noLoad,
					intervalMs: nowMs - (latched?.atMs ?? nowMs),
					namesEndpoints: this.#asked?.reportEndpointGranularity === true,
				});
			});
			if (!this.#isStopped) this.#send(stats);
		} catch (error) {
			logger.error("a load report was not made", { error: error instanceof Error ? error.message : String(error) });
		}
		this.#wait();
	}

	stop(): void {
		this.#isStopped = true;
		clearTimeout(this.#timer);
	}
}
