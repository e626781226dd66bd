import { type Command, InvalidArgumentError } from "commander";
import { clusterOptions, files, istioNamespace, stateDir } from "./options.ts";

/** As istioctl takes levels and formats: in any case. */
function oneOf<T extends string>(values: readonly T[]): (text: string) => T {
	return (text) => {
		const found = values.find((value) => value.toLowerCase() === text.toLowerCase());
		if (found === undefined) throw new InvalidArgumentError(`Write one of ${values.join(", ")}.`);
		return found;
	};
}

const truth = (text: string): boolean => oneOf(["true", "false"])(text) === "true";
const level = oneOf(["Info", "Warning", "Error"]);

/** With the flags and statuses of istioctl. */
export function addAnalyzeCommand(program: Command): void {
	clusterOptions(program.command("analyze"))
		.description(
			"what is odd about the configuration of a cluster, or of the mesh on this machine, as it would be with these files in it; status 79: there are errors",
		)
		.argument("[files...]", "files, folders or - for standard input")
		.option(
			"-k, --use-kube <true|false>",
			"look at the mesh that runs (--use-kube=false: at the files alone, by what can be judged without a cluster)",
			truth,
			true,
		)
		.option("-A, --all-namespaces", "all namespaces")
		.option("-n, --namespace <namespace>", "the namespace to analyze, and of objects in files that name none (default: the kubeconfig context's, or default)")
		.option("-o, --output <format>", "log, json or yaml", oneOf(["log", "json", "yaml"]), "log")
		.option("--output-threshold <level>", "show findings from this level on: Info, Warning or Error", level, "Info")
		.option("--failure-threshold <level>", "end with status 79 from this level on", level, "Error")
		.option("-S, --suppress <code=object>", 'leave out a finding, such as "IST0103=Pod *.testing"; may be repeated', files)
		.option("--meshConfigFile <file>", "MeshConfig, instead of the cluster's")
		.option("--ignore-unknown", "do not fail for documents that cannot be read, nor tell of unknown kinds")
		.option("-L, --list-analyzers", "list what is looked for, and end")
		.option("-R, --recursive", "says nothing any more: folders are always read with what is below them")
		.option("-r, --revision <revision>", "in a cluster, leave out configuration for other revisions than this", "default")
		.option("--timeout <duration>", "longest wait for the cluster", "30s")
		.option("--color <true|false>", "colors (default: on a terminal)", truth)
		.option("-v, --verbose", "tell which analyzers ran, and what was not analyzed")
		.option(...istioNamespace)
		.option(...stateDir)
		// Statuses are interface of this command: 64 is istioctl's for what is wrong with the command line.
		.exitOverride(({ exitCode }) => process.exit(exitCode === 0 ? 0 : 64))
		.action(async (names, options) => (await import("../commands/analyze.ts")).analyzeCommand(names, options));
}

/** istioctl's flags that are true by themselves and can be told false: `--color` and `--color=false`, `-k` and `-k=false`. */
const truthFlag = /^(?:-k|--use-kube|--color)(?:=(.*))?$/;
/** The command line as commander takes it. */
export const normalizeArguments = (argv: readonly string[]): string[] =>
	argv.map((argument) => {
		const [flag, value = "true"] = (argv[2] === "analyze" && truthFlag.exec(argument)) || [];
		return flag === undefined ? argument : `${argument.startsWith("--c") ? "--color" : "--use-kube"}=${value}`;
	});
