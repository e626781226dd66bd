import { createLogger, systemClock } from "@weft/runtime";
import { startAgent } from "./agent.ts";
import { agentUsage, decodeAgentArguments } from "./arguments.ts";
import { instanceIpsOf } from "../main/sidecar-flags.ts";
import { envoyAdmin } from "../pod/envoy-admin.ts";
import { runWorkloadHealth } from "../pod/workload-health.ts";
import { runEnvoy } from "./envoy-process.ts";

/** `weft-proxy agent`: `argv` is what follows the word agent. Resolves to the exit code, Envoy's own if it ran; 2 on wrong usage. */
export async function runAgent(argv: readonly string[]): Promise<number> {
	const ownFlags = new Set(argv.includes("--") ? argv.slice(0, argv.indexOf("--")) : argv);
	if (ownFlags.has("--help") || ownFlags.has("-h")) {
		process.stdout.write(agentUsage);
		return 0;
	}
	const options = decodeAgentArguments(argv, process.env);
	if (!options.ok) {
		process.stderr.write(`weft-proxy agent: ${options.reason}\nSee weft-proxy agent --help.\n`);
		return 2;
	}
	const logger = createLogger({ level: options.value.logLevel, scope: "agent" });
	const starting = new AbortController();
	const stop = () => starting.abort();
	process.once("SIGTERM", stop).once("SIGINT", stop);
	try {
		const agent = await startAgent(options.value, { clock: systemClock, random: Math.random, logger, signal: starting.signal });
		process.off("SIGTERM", stop).off("SIGINT", stop);
		const ended = new AbortController();
		try {
			if (starting.signal.aborted) return 0;
			const { adminPort, envoyPath: path, envoyArguments, node, readinessProbe: probe } = options.value;
			const health = {
				instanceIps: instanceIpsOf({ nodeId: node.id, nodeMetadata: node.metadata }),
				proxyNotReady: envoyAdmin(adminPort).notReady,
				report: agent.reportHealth,
			};
			if (probe) void runWorkloadHealth({ ...health, probe, logger: logger.child("health"), clock: systemClock, signal: ended.signal });
			return await runEnvoy({ path, arguments: envoyArguments, bootstrapPath: agent.bootstrapPath, logger, signals: process });
		} finally {
			ended.abort();
			await agent.close();
		}
	} catch (error) {
		logger.error("agent could not be started", { error });
		return 1;
	}
}
