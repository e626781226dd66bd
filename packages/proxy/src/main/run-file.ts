import { readFileSync, writeFileSync } from "node:fs";
import { createLogger, type Logger, systemClock } from "@weft/runtime";
import { type BootstrapConfig, decodeBootstrap } from "../config/bootstrap/decode-bootstrap.ts";
import { type BootstrapText, loadBootstrap } from "../config/bootstrap/load.ts";
import { type DecodeEnvironment, registerImplemented } from "../config/decode/index.ts";
import { defaultConcurrency } from "./concurrency.ts";
import type { Flags } from "./flags.ts";
import { drainUntilIdle, superviseServer } from "./lifetime.ts";
import { type Server, startServer } from "./server.ts";
import { version } from "../config/version.ts";

/** Reads the configuration that the flags name, and checks or serves it. Resolves to the exit code. */
export async function runFile(flags: Flags, warnings: readonly string[], variables: NodeJS.ProcessEnv): Promise<number> {
	registerImplemented();
	const environment: DecodeEnvironment = {
		readFile: (path) => readFileSync(path),
		variable: (name) => variables[name],
	};
	const read = readConfig(flags, environment);
	for (const warning of [...warnings, ...read.warnings]) process.stderr.write(`weft-proxy: warning: ${warning}\n`);
	for (const error of read.errors) process.stderr.write(`weft-proxy: error: ${error}\n`);
	if (read.config === undefined) return 1;
	if (flags.mode === "validate") return validate(flags, read.config);
	const logger = createLogger({ level: flags.logLevel, scope: "proxy" });
	return serve(flags, withNames(read.config, flags), environment, logger);
}

/** Loads what workers run, which a process that serves leaves to them. */
async function validate({ configPath: file = "--config-yaml" }: Flags, config: BootstrapConfig): Promise<number> {
	const { findRefusals } = await import("./find-refusals.ts");
	const refusals = await findRefusals(config);
	for (const { resource, message } of refusals) process.stderr.write(`weft-proxy: error: ${file}: ${resource}: ${message}\n`);
	if (refusals.length > 0) return 1;
	process.stdout.write(`configuration '${file}' OK\n`);
	return 0;
}

interface ReadConfig {
	readonly config: BootstrapConfig | undefined;
	readonly errors: readonly string[];
	readonly warnings: readonly string[];
}

function readConfig(flags: Flags, environment: DecodeEnvironment): ReadConfig {
	const texts: BootstrapText[] = [];
	if (flags.configPath !== undefined) {
		const extension = flags.configPath.slice(flags.configPath.lastIndexOf("."));
		if (extension === ".pb" || extension === ".pb_text")
			return { config: undefined, errors: [`${flags.configPath}: binary and text protobuf files are not implemented; use YAML or JSON`], warnings: [] };
		try {
			texts.push({ name: flags.configPath, text: readFileSync(flags.configPath, "utf8") });
		} catch (error) {
			return { config: undefined, errors: [`unable to read file: ${flags.configPath}: ${(error as Error).message}`], warnings: [] };
		}
	}
	if (flags.configYaml !== undefined) texts.push({ name: "--config-yaml", text: flags.configYaml });
	const loaded = loadBootstrap(texts, { strict: flags.strict });
	if (loaded.bootstrap === undefined) return { config: undefined, errors: loaded.errors, warnings: loaded.warnings };
	const decoded = decodeBootstrap(loaded.bootstrap, environment);
	const file = flags.configPath ?? "--config-yaml";
	return { config: decoded.value, errors: decoded.errors.map((error) => `${file}: ${error}`), warnings: [...loaded.warnings, ...decoded.warnings] };
}

function withNames(config: BootstrapConfig, { serviceNode, serviceCluster }: Flags): BootstrapConfig {
	const { node } = config;
	return { ...config, node: { ...node, id: node.id || (serviceNode ?? ""), cluster: node.cluster || (serviceCluster ?? "") } };
}

const drainDefaultSeconds = 5;

async function serve(flags: Flags, config: BootstrapConfig, environment: DecodeEnvironment, logger: Logger): Promise<number> {
	const concurrency = flags.concurrency || defaultConcurrency();
	const quit = Promise.withResolvers<"now">();
	let server: Server;
	try {
		server = await startServer({
			config,
			environment,
			concurrency,
			workersOnDemand: flags.concurrency === undefined,
			logLevel: flags.logLevel,
			componentLevels: flags.componentLevels,
			accessLogFlushMs: flags.fileFlushIntervalMs,
			version,
			clock: systemClock,
			random: Math.random,
			logger,
			ownSecrets: new Set(),
			initialSecrets: [],
			secretsOverAds: false,
			onQuit: () => quit.resolve("now"),
		});
	} catch (error) {
		logger.error("could not be started", { error });
		return 1;
	}
	if (server.adminAddress !== undefined && flags.adminAddressPath !== undefined) writeFileSync(flags.adminAddressPath, server.adminAddress);
	logger.info("serving", { workers: concurrency, admin: server.adminAddress ?? "none", listeners: config.listeners.length, clusters: config.clusters.length });
	await superviseServer({ server, logger, quit: quit.promise, drain: drainUntilIdle((flags.drainTimeSeconds ?? drainDefaultSeconds) * 1000) });
	return 0;
}
