/** Runs a bench and gives the exit status. */
type Bench = (args: readonly string[], log: (line: string) => void, signal: AbortSignal) => Promise<number>;

// Loaded when asked for: no bench needs what another one imports.
const benches: ReadonlyMap<string, () => Promise<Bench>> = new Map<string, () => Promise<Bench>>([
	["data-plane", async () => (await import("./data-plane/data-plane.ts")).runDataPlane],
	["profile", async () => (await import("./data-plane/profile.ts")).runProfile],
	["attacks", async () => (await import("./data-plane/attacks.ts")).runAttacks],
	["cluster", async () => (await import("./cluster/main.ts")).clusterBench],
	["control-plane", async () => (await import("./control-plane/main.ts")).controlPlaneBench],
	[
		"policies",
		async () => {
			const { policiesBench } = await import("./policies/main.ts");
			return (_args, log, signal) => policiesBench(log, signal);
		},
	],
	[
		"citadel",
		async () => {
			const { citadelBench } = await import("./citadel/main.ts");
			return (_args, log) => citadelBench(log).then(() => 0);
		},
	],
]);

const [name = "", ...args] = process.argv.slice(2);
const load = benches.get(name);
if (load === undefined) {
	process.stderr.write(`usage: npm run bench -- NAME [FLAGS…]\nNAME is one of: ${[...benches.keys()].join(", ")}\n`);
	process.exit(64);
}

const abort = new AbortController();
process.once("SIGINT", () => abort.abort()).once("SIGTERM", () => abort.abort());
try {
	const bench = await load();
	process.exitCode = await bench(args, (line) => process.stdout.write(`${line}\n`), abort.signal);
} catch (error) {
	process.stderr.write(`${name}: ${error instanceof Error ? error.message : String(error)}\n`);
	process.exitCode = 1;
}
