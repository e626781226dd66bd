import { Command } from "commander";
import { CommandError } from "./output/errors.ts";
import { addAnalyzeCommand, normalizeArguments } from "./program/analyze.ts";
import { addClusterCommands } from "./program/cluster.ts";
import { addConfigurationCommands } from "./program/configuration.ts";
import { addLocalCommands } from "./program/local.ts";
import { addProxyConfigCommands } from "./program/proxy-config.ts";
import { addSecurityCommands } from "./program/security.ts";
import { version } from "./version.ts";

// Each command's code is loaded when it runs: `weft get` does not pay for the control plane.

const program = new Command("weft").description("Weft: a service mesh").version(version, "-v, --client-version").showHelpAfterError().enablePositionalOptions();

// In the order in which help lists them.
addLocalCommands(program);
addConfigurationCommands(program);
addAnalyzeCommand(program);
addClusterCommands(program);
addProxyConfigCommands(program);
addSecurityCommands(program);

try {
	await program.parseAsync(normalizeArguments(process.argv));
} catch (error) {
	if (!(error instanceof CommandError)) throw error;
	if (error.message !== "") process.stderr.write(`${error.status === 0 ? "" : "error: "}${error.message}\n`);
	process.exitCode = error.status;
}
