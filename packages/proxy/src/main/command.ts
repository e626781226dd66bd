import { helpText, parseFlags } from "./flags.ts";
import { runFile } from "./run-file.ts";
import { version } from "../config/version.ts";

/** `weft-proxy …`. Resolves to the exit code: 0 done, 1 the configuration cannot be served, 2 wrong usage. */
export async function runCommand(args: readonly string[], variables: NodeJS.ProcessEnv): Promise<number> {
	switch (args[0]) {
		case "agent": {
			const { runAgent } = await import("../agent/main.ts");
			return runAgent(args.slice(1));
		}
		case "sidecar": {
			const { runSidecar } = await import("./sidecar.ts");
			return runSidecar(args.slice(1), variables);
		}
		case "proxy": {
			const { runInPod } = await import("../pod/pod-command.ts");
			return runInPod(args.slice(1), variables);
		}
		case "wait": {
			const { runWait } = await import("../pod/wait.ts");
			return runWait(args.slice(1));
		}
		case "request": {
			const { runRequest } = await import("../pod/request.ts");
			return runRequest(args.slice(1));
		}
		// The name that injected init containers call it by.
		case "istio-iptables":
		case "iptables": {
			const { runIptables } = await import("../iptables/command.ts");
			return runIptables(args.slice(1), variables);
		}
	}
	const parsed = parseFlags(args);
	switch (parsed.kind) {
		case "help":
			process.stdout.write(helpText);
			return 0;
		case "version":
			process.stdout.write(`weft-proxy version: ${version}/node-${process.version.slice(1)}\n`);
			return 0;
		case "error":
			process.stderr.write(`weft-proxy: ${parsed.message}\nSee weft-proxy --help.\n`);
			return 2;
		case "flags":
			return runFile(parsed.flags, parsed.warnings, variables);
	}
}
