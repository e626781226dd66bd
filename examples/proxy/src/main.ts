import { exampleNames, loadExample } from "./example.ts";
import { startExample } from "./start-example.ts";

const usage = `usage: node examples/proxy/run.mjs NAME [--envoy PATH]

Starts weft-proxy (or a real Envoy) with the example's envoy.yaml, and the services that it expects.
NAME is one of: ${exampleNames().join(", ")}
`;

const [name, ...rest] = process.argv.slice(2);
const envoy = rest[0] === "--envoy" ? rest[1] : undefined;
if (name === undefined || name.startsWith("-") || (rest.length > 0 && envoy === undefined)) {
	process.stderr.write(usage);
	process.exit(64);
}
try {
	const example = loadExample(name);
	const running = await startExample(example, { envoy, log: (line) => process.stdout.write(`${line}\n`) });
	const steps = example.try.map((line) => `  ${line}\n`).join("");
	process.stdout.write(`\n${example.summary}\nFiles: ${running.folder}\nTry:\n${steps}\nCtrl-C ends it.\n`);
	const signals = Promise.race([new Promise((resolve) => process.once("SIGINT", resolve)), new Promise((resolve) => process.once("SIGTERM", resolve))]);
	await Promise.race([signals, running.ended]);
	await running.stop();
	process.exit(0);
} catch (error) {
	process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
	process.exit(1);
}
