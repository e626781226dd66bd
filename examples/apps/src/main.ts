import { setTimeout as delay } from "node:timers/promises";
import { apps } from "./apps.ts";

const [name = "", ...args] = process.argv.slice(2);
const start = apps.get(name);
if (start === undefined) {
	process.stderr.write(`usage: main.ts APP [ARGS…]\nAPP is one of: ${[...apps.keys()].join(", ")}\n`);
	process.exit(64);
}

// In a cluster others learn only with the signal that this pod goes, and send requests a moment longer: they are answered.
// https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow
const lingerMs = process.env["KUBERNETES_SERVICE_HOST"] === undefined ? 0 : 3_000;

const log = (line: string): void => {
	process.stdout.write(`${name}: ${line}\n`);
};

try {
	const app = await start({ env: process.env, args, log });
	const stop = (): void => {
		// A second signal ends the process at once, as it does by default.
		process.removeAllListeners("SIGTERM").removeAllListeners("SIGINT");
		delay(lingerMs)
			.then(() => app.close())
			.then(
				() => process.exit(0),
				(error: unknown) => {
					log(`stopping failed: ${String(error)}`);
					process.exit(1);
				},
			);
	};
	process.once("SIGTERM", stop).once("SIGINT", stop);
} catch (error) {
	process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
	process.exit(1);
}
