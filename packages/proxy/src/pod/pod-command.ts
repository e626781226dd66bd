import { createLogger, type Logger } from "@weft/runtime";
import { runServing } from "../main/sidecar.ts";
import { parsePodArguments, podHelp } from "./arguments.ts";
import { readPodEnvironment, systemSources } from "./pod-environment.ts";

/** `weft-proxy proxy ROLE …`, as injected pods start it. Resolves to the exit code. */
export async function runInPod(args: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
	const parsed = parsePodArguments(args);
	if (parsed.kind === "help") {
		process.stdout.write(podHelp);
		return 0;
	}
	if (parsed.kind === "error") {
		process.stderr.write(`weft-proxy proxy: ${parsed.message}\nSee weft-proxy proxy --help.\n`);
		return 2;
	}
	const { agentLogLevel, logAsJson } = parsed.arguments;
	const logger = createLogger({ level: agentLogLevel as Logger["level"], format: logAsJson ? "json" : "text", scope: "proxy" });
	const read = readPodEnvironment(parsed.arguments, systemSources(env));
	if ("errors" in read) {
		for (const error of read.errors) logger.error(error);
		return 1;
	}
	for (const warning of [...parsed.warnings, ...read.warnings]) logger.warn(warning);
	const envoy = env["WEFT_ENVOY"] ?? "";
	if (envoy === "" || read.flags.pod === undefined) return runServing(read.flags, env, logger);
	// gRPC servers of the agent: only those carry them who need them.
	const { runEnvoyInPod } = await import("./pod-envoy.ts");
	return runEnvoyInPod(read.flags, read.flags.pod, envoy, logger).catch((error: unknown) => {
		logger.error("could not be started", { error });
		return 1;
	});
}
