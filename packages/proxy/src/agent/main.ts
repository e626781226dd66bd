import { createLogger, systemClock } from "@weft/runtime";
import { startAgent } from "./agent.ts";
import { agentUsage, decodeAgentArguments } from "./arguments.ts";
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
	try {
		const agent = await startAgent(options.value, { clock: systemClock, random: Math.random, logger });
		try {
			const { envoyPath: path, envoyArguments } = options.value;
			return await runEnvoy({ path, arguments: envoyArguments, bootstrapPath: agent.bootstrapPath, logger, signals: process });
		} finally {
			await agent.close();
		}
	} catch (error) {
		logger.error("agent could not be started", { error });
		return 1;
	}
}
