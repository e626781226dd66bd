import { runDataPlane } from "./data-plane/data-plane.ts";

type Bench = (args: readonly string[], log: (line: string) => void, signal: AbortSignal) => Promise<number>;

const benches: ReadonlyMap<string, Bench> = new Map<string, Bench>([["data-plane", runDataPlane]]);

const [name = "", ...args] = process.argv.slice(2);
const bench = benches.get(name);
if (bench === undefined) {
	process.stderr.write(`usage: npm run bench -- NAME [FLAGS…]\nNAME is one of: ${[...benches.keys()].join(", ")}\n`);
	process.exit(64);
}

const abort = new AbortController();
process.once("SIGINT", () => abort.abort()).once("SIGTERM", () => abort.abort());
try {
	process.exitCode = await bench(args, (line) => process.stdout.write(`${line}\n`), abort.signal);
} catch (error) {
	process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
	process.exitCode = 1;
}
