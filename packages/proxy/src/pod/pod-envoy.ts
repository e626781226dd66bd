import { EventEmitter } from "node:events";
import { type Clock, createLogger, type Logger, systemClock } from "@weft/runtime";
import { startAgent } from "../agent/agent.ts";
import type { AgentOptions } from "../agent/arguments.ts";
import { createCertificateOverGrpc } from "../agent/certificate-client.ts";
import { runEnvoy } from "../agent/envoy-process.ts";
import { registerImplemented } from "../config/decode/index.ts";
import { transportKind } from "../data/transport/transport.ts";
import { createGrpcEnvironment } from "../grpc/environment.ts";
import { instanceIpsOf, type SidecarFlags } from "../main/sidecar-flags.ts";
import { type EnvoyAdmin, envoyAdmin } from "./envoy-admin.ts";
import { buildPodResources } from "./pod-bootstrap.ts";
import { podFile, podFiles } from "./pod-files.ts";
import type { PodOptions } from "./pod-options.ts";
import { createPodServices } from "./pod-services.ts";
import { runWorkloadHealth } from "./workload-health.ts";

/** How often connections are counted while a pod ends, as Istio's agent does. */
const countEveryMs = 1_000;

/** A pod's proxy that is a foreign Envoy under our agent: `proxy sidecar` with WEFT_ENVOY. Resolves to the exit code, Envoy's own if it ran. */
export async function runEnvoyInPod(flags: SidecarFlags, pod: PodOptions, envoyPath: string, logger: Logger): Promise<number> {
	registerImplemented();
	const common = { clock: systemClock, random: Math.random };
	const grpc = await createGrpcEnvironment({ ...common, transport: transportKind(process.env), logger: logger.child("grpc") });
	const services = createPodServices(pod, createCertificateOverGrpc(grpc, flags.caHeaders), systemClock, logger.child("status"));
	if (pod.dns) logger.warn("ISTIO_META_DNS_CAPTURE is true: a pod with a foreign Envoy answers no DNS; without the capture of port 53 names resolve as usual");
	const options = agentOptions(flags, envoyPath);
	const admin = envoyAdmin(flags.adminPort);
	const agent = await startAgent(options, {
		...common,
		logger: createLogger({ level: pod.logLevel as Logger["level"], format: pod.logAsJson ? "json" : "text", scope: "agent" }),
		createCertificate: services.createCertificate,
		resources: buildPodResources(pod, flags.adminPort),
	});
	const ended = new AbortController();
	try {
		await services.start(agent.identity);
		let isEnding = false;
		services.attach({
			notReady: async () => (isEnding ? "DRAINING" : admin.notReady()),
			metrics: admin.metrics,
			drain: () => void admin.drain(pod.isSidecar),
			responses: () => 0,
		});
		const signals = new EventEmitter();
		const end = async () => {
			// A second signal ends it at once.
			if (isEnding) return void signals.emit("SIGTERM", "SIGTERM");
			isEnding = true;
			await drain(admin, pod, systemClock);
			signals.emit("SIGTERM", "SIGTERM");
		};
		const onSignal = () => void end();
		const reopen = () => void signals.emit("SIGUSR1", "SIGUSR1");
		process.on("SIGTERM", onSignal).on("SIGINT", onSignal).on("SIGUSR1", reopen);
		void services.quit.then(onSignal);
		const { readinessProbe: probe } = flags;
		const proxyNotReady = async () => (isEnding ? "DRAINING" : admin.notReady());
		const health = { instanceIps: instanceIpsOf(flags), proxyNotReady, report: agent.reportHealth, logger: logger.child("health"), clock: systemClock };
		if (probe) void runWorkloadHealth({ ...health, probe, signal: ended.signal });
		return await runEnvoy({ path: envoyPath, arguments: options.envoyArguments, bootstrapPath: agent.bootstrapPath, logger, signals });
	} finally {
		ended.abort();
		await services.close();
		await agent.close();
	}
}

function agentOptions(flags: SidecarFlags, envoyPath: string): AgentOptions {
	const { caAddress, credentials, crlFile, discoveryAddress, drainTimeSeconds, locality, logLevel, rootCertFile, tokenFile } = flags;
	const drain = ["--drain-time-s", String(Math.max(1, drainTimeSeconds)), "--drain-strategy", "immediate"];
	return {
		xdsHeaders: flags.xdsHeaders,
		caHeaders: flags.caHeaders,
		asksForBootstrap: flags.asksForBootstrap,
		discoveryAddress,
		caAddress,
		rootCertFile,
		caRootCertFile: flags.caRootCertFile,
		caServerName: flags.caServerName,
		requestedId: flags.requestedId,
		credentials,
		crlFile,
		tokenFile: tokenFile ?? "",
		secretTtlMs: flags.secretTtlMs,
		serverName: flags.serverName,
		node: { id: flags.nodeId, cluster: flags.nodeCluster, metadata: flags.nodeMetadata, locality },
		adminPort: flags.adminPort,
		delta: true,
		envoyPath,
		// The only place in the container that may be written to.
		stateDirectory: podFile(podFiles.proxyDirectory),
		logLevel: "info",
		envoyArguments: ["--concurrency", String(flags.concurrency ?? 2), "-l", logLevel, ...drain],
	};
}

/** As Istio's agent ends: no new work is asked for, what is under way is served for a while or until nothing is left. */
async function drain(admin: EnvoyAdmin, { drain: { terminationMs, exitsOnZeroConnections, minimumMs }, isSidecar }: PodOptions, clock: Clock): Promise<void> {
	await admin.drain(isSidecar);
	if (!exitsOnZeroConnections) return clock.sleep(terminationMs);
	await clock.sleep(minimumMs);
	while ((await admin.activeConnections()) > 0) await clock.sleep(countEveryMs);
}
