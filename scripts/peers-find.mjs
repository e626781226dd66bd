import { accessSync, constants, globSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The virtual environment that `npm run peers` makes. */
export const venvDirectory = join(dirname(dirname(fileURLToPath(import.meta.url))), ".venv");

/**
 * The Envoy to compare with or to run under our agent: WEFT_ENVOY if set, else the one that `npm run peers` installed.
 * @returns {string | undefined} an absolute path of an executable, or undefined when there is none
 */
export function findEnvoy() {
	const named = process.env.WEFT_ENVOY;
	if (named !== undefined && named !== "") return [resolve(named)].find(isExecutable);
	// The program itself, not the Python script around it: a measurement must see one process, and signals must reach it.
	return globSync("lib/python3*/site-packages/envoy/_bin/envoy", { cwd: venvDirectory })
		.map((path) => join(venvDirectory, path))
		.find(isExecutable);
}

/**
 * A program by name, on PATH or in the administrator's folders, where Debian puts servers and where PATH often does not look.
 * @param {string} name
 * @returns {string | undefined}
 */
export function findProgram(name) {
	const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"].filter((folder) => folder !== "");
	return folders.map((folder) => join(folder, name)).find(isExecutable);
}

/**
 * Helm: WEFT_HELM if set, else the one on PATH, else the one that the cluster of ../shared built.
 * @returns {string | undefined}
 */
export function findHelm() {
	const named = process.env.WEFT_HELM;
	if (named !== undefined && named !== "") return [resolve(named)].find(isExecutable);
	const cache = process.env.WEFT_CLUSTER_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "weft-cluster");
	return (
		findProgram("helm") ??
		globSync("bin/*/helm", { cwd: cache })
			.map((path) => join(cache, path))
			.find(isExecutable)
	);
}

/** The newest version that module proxies serve. */
export const h2specModule = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible";

/**
 * On PATH, or where `go install` puts it.
 * @returns {string | undefined}
 */
export function findH2spec() {
	return findProgram("h2spec") ?? [join(process.env.GOPATH ?? join(homedir(), "go"), "bin", "h2spec")].find(isExecutable);
}

/** @param {string} path */
function isExecutable(path) {
	try {
		accessSync(path, constants.X_OK);
		return true;
	} catch {
		// Absent or not ours to run: both mean "not found" here.
		return false;
	}
}
