// The entry of every npm script: installs what is missing, then runs the task on the pinned Node.
import { existsSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { ensureInstalled, pinnedNode, run } from "./workspace.mjs";

const [task = "help", ...args] = process.argv.slice(2);
const node = (script, ...rest) => run(pinnedNode(), [script, ...rest]);
const turbo = (...tasks) => run("turbo", ["run", ...tasks, "--output-logs=errors-only", "--log-prefix=none", "--no-update-notifier"]);

/** Runs steps until one fails; its status is the task's. */
async function sequence(...steps) {
	for (const step of steps) {
		const status = await step();
		if (status !== 0) return status;
	}
	return 0;
}

/** What `npm test` runs, by what it needs; `npm test -- RING…` runs some. The cluster has a task of its own (e2e). */
const rings = {
	unit: [
		"packages/*/src/**/!(*.interop|*.netns).test.ts",
		"examples/apps/src/**/*.test.ts",
		"scripts/**/*.test.ts",
		"e2e/{charts,fuzz,inprocess,replay,security}/**/*.test.ts",
	],
	interop: ["packages/*/src/**/*.interop.test.ts", "e2e/{differential,interop,verdicts}/**/*.test.ts"],
	namespaces: ["packages/*/src/**/*.netns.test.ts", "e2e/netns/**/*.test.ts"],
};

/** More files than these are no matter of a busy machine. */
const secondLookFilesMax = 5;

// The runner's own report last: it ends with the summary.
const reporters = ["./scripts/notes-reporter.mjs", "spec"].flatMap((name) => [`--test-reporter=${name}`, "--test-reporter-destination=stdout"]);

function runTests(concurrency, failedFiles, globs) {
	const options = ["--test", `--test-concurrency=${concurrency}`, "--test-timeout=240000", ...reporters];
	return run(pinnedNode(), [...options, ...globs], { env: { WEFT_FAILED_FILES: failedFiles } });
}

/**
 * Runs the tests. Files that fail are run once more, alone: most of what these tests start are servers and proxies,
 * and on a crowded machine one of thousands waits too long. What fails twice has failed; what does not is named.
 */
async function test() {
	const chosen = args.length > 0 ? args : Object.keys(rings);
	const globs = chosen.flatMap((name) => (Object.hasOwn(rings, name) ? rings[name] : [name]));
	const failedFiles = join(mkdtempSync(join(tmpdir(), "weft-tests-")), "failed");
	const status = await runTests(2, failedFiles, globs);
	const files = status !== 0 && existsSync(failedFiles) ? readFileSync(failedFiles, "utf8").split("\n").slice(0, -1) : [];
	if (files.length === 0 || files.length > secondLookFilesMax) return status;
	console.log(`\nFailed, and looked at once more, alone:\n${files.map((file) => `  - ${relative(".", file)}\n`).join("")}`);
	return runTests(1, failedFiles, files);
}

const tasks = {
	generate: () => turbo("generate"),
	build: () => turbo("build"),
	test: () => sequence(() => turbo("build"), test),
	types: () =>
		sequence(
			() => turbo("generate"),
			() => run("tsc", ["--noEmit", "-p", "tsconfig.json"]),
		),
	lint: () =>
		sequence(
			() => turbo("generate"),
			() => run("oxlint", ["--type-aware", "--deny-warnings", ...args]),
			() => run("biome", ["format", "."]),
		),
	format: () => run("biome", ["format", "--write", "."]),
	demo: () =>
		sequence(
			() => turbo("build"),
			() => node("scripts/demo.ts", `--installed-ms=${installedMs}`, `--started-ms=${startedMs}`, ...args),
		),
	bench: () =>
		sequence(
			() => turbo("build"),
			() => node("packages/bench/src/main.ts", ...args),
		),
	soak: () =>
		sequence(
			() => turbo("build"),
			// The cluster's long cases: fifty restarts, a minute without a control plane.
			() =>
				args[0] === "cluster"
					? node("e2e/cluster/main.ts", "--only", "no-interruption,injection-restarts", ...args.slice(1))
					: node("e2e/soak/main.ts", ...args),
		),
	fuzz: () =>
		sequence(
			() => turbo("generate"),
			() => node("e2e/fuzz/main.ts", ...args),
		),
	images: () =>
		sequence(
			() => turbo("build"),
			() => node("scripts/images/main.ts", ...args),
		),
	e2e: () =>
		sequence(
			() => turbo("build"),
			() => node("e2e/cluster/main.ts", ...args),
		),
	peers: () => node("scripts/peers.mjs", ...args),
};

const startedMs = Date.now();
if (!Object.hasOwn(tasks, task)) {
	console.error(`usage: npm run ${Object.keys(tasks).join(" | ")}`);
	process.exit(2);
}
const installedMs = ensureInstalled();
process.exitCode = await tasks[task]();
