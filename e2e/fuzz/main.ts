// `npm run fuzz [-- TARGET…] [--seconds N] [--keep]`: gives each target generated inputs for a while, led by the coverage
// that they reach (libFuzzer by way of Jazzer.js). What breaks a target is kept in its corpus, which `replay.test.ts`
// runs; status 1 when something did. `--keep` adds to the corpus what reached new code.
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { bundleTarget } from "./bundle.ts";
import { corpusFolder, keepInteresting } from "./corpus.ts";
import { fuzzTarget } from "./run-target.ts";
import { installTool } from "./tool/install.ts";

const work = join(import.meta.dirname, ".weft");
const all = readdirSync(join(import.meta.dirname, "targets"))
	.filter((file) => file.endsWith(".ts"))
	.map((file) => file.slice(0, -3))
	.sort();

const { values, positionals } = parseArgs({
	allowPositionals: true,
	options: { seconds: { type: "string", default: "60" }, keep: { type: "boolean", default: false } },
});
const seconds = Number(values.seconds);
const unknown = positionals.filter((name) => !all.includes(name));
if (unknown.length > 0 || !Number.isInteger(seconds) || seconds < 1) {
	console.error(`usage: npm run fuzz [-- TARGET…] [--seconds N] [--keep]; targets: ${all.join(", ")}`);
	process.exit(2);
}

function emptyFolder(path: string): string {
	rmSync(path, { recursive: true, force: true });
	mkdirSync(path, { recursive: true });
	return path;
}

const cli = installTool();
let broken = 0;
for (const name of positionals.length > 0 ? positionals : all) {
	const bundle = await bundleTarget(name, work);
	const [found, findings] = ["found", "findings"].map((folder) => emptyFolder(join(work, folder, name))) as [string, string];
	const corpus = corpusFolder(name);
	mkdirSync(corpus, { recursive: true });
	const result = await fuzzTarget({ cli, bundle, name, seconds, corpus, found, findings, work });
	console.log(
		`${name.padEnd(20)} ${String(result.executions).padStart(9)} executions, ${result.perSecond}/s, coverage ${result.coverage} edges, ${result.features} features; ` +
			(result.finding === undefined ? "nothing found" : `FOUND ${result.finding}`),
	);
	if (result.finding !== undefined) {
		broken++;
		console.log(result.report);
	} else if (values.keep) console.log(`${" ".repeat(20)} ${await keepInteresting({ cli, bundle, corpus, found, work: join(work, name) })}`);
}
process.exitCode = broken > 0 ? 1 : 0;
