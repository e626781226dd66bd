import type { Clock, Logger } from "@weft/runtime";
import type { CreateCertificate } from "../agent/certificate-client.ts";
import type { WorkloadIdentity } from "../agent/workload-identity.ts";
import { createAgentCounts, renderAgentMetrics } from "./agent-metrics.ts";
import type { PodOptions } from "./pod-options.ts";
import { startStatusServer } from "./status-server.ts";

/** The proxy itself: our own in this process, or a foreign one beside it. */
export interface PodProxy {
	/** undefined: it serves; else why not. */
	notReady(): string | undefined | Promise<string | undefined>;
	/** Prometheus text. */
	metrics(query: URLSearchParams): Promise<Iterable<string> | string>;
	/** Inbound connections are to go elsewhere. */
	drain(): void;
	/** Of the control plane, so far. */
	responses(): number;
}

export interface PodServices {
	/** Counts what is asked of the certificate authority. */
	readonly createCertificate: CreateCertificate;
	/** Resolves when the process is asked over HTTP to end. */
	readonly quit: Promise<"drain">;
	/** Listens: answers "not ready" until there is a proxy. */
	start(identity: WorkloadIdentity): Promise<void>;
	/** From now on the proxy answers for itself. */
	attach(proxy: PodProxy): void;
	close(): Promise<void>;
}

/** What Kubernetes and the injected probes ask of a pod's proxy. It is there before the proxy is, to say that it is not ready. */
export function createPodServices(pod: PodOptions, createCertificate: CreateCertificate, clock: Clock, logger: Logger): PodServices {
	const startedMs = clock.nowMs() - process.uptime() * 1000;
	const counts = createAgentCounts();
	const quit = Promise.withResolvers<"drain">();
	let identity: WorkloadIdentity | undefined;
	let proxy: PodProxy | undefined;
	let startupMs: number | undefined;
	let close = () => Promise.resolve();
	const notReady = async () => {
		const reason = proxy === undefined ? "waiting for the workload certificate" : await proxy.notReady();
		if (reason === undefined) startupMs ??= clock.nowMs() - startedMs;
		return reason;
	};
	const agentMetrics = () => {
		const { userCPUTime, systemCPUTime } = process.resourceUsage();
		counts.xdsResponses = proxy?.responses() ?? 0;
		return renderAgentMetrics({
			counts,
			startedMs,
			nowMs: clock.nowMs(),
			startupMs,
			certificateExpiresAtMs: identity?.current?.expiresAtMs,
			cpuSeconds: (userCPUTime + systemCPUTime) / 1e6,
			residentBytes: process.memoryUsage.rss(),
		});
	};
	return {
		quit: quit.promise,
		createCertificate: async (call) => {
			counts.certificateRequests++;
			try {
				return await createCertificate(call);
			} catch (error) {
				counts.failedCertificateRequests++;
				throw error;
			}
		},
		async start(current) {
			identity = current;
			const proxyMetrics = async (query: URLSearchParams) => {
				if (proxy === undefined) throw new Error("the proxy has not started");
				return proxy.metrics(query);
			};
			const drain = () => proxy?.drain();
			const status = await startStatusServer({ pod, logger, notReady, proxyMetrics, agentMetrics, counts, drain, quit: () => quit.resolve("drain") });
			close = () => status.close();
		},
		attach(started) {
			proxy = started;
		},
		close: () => close(),
	};
}
