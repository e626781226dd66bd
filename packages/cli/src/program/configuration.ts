import { type Command, Option } from "commander";
import { files, outputOption, stateDir } from "./options.ts";

/** What a mesh is told, and what comes of it. */
export function addConfigurationCommands(program: Command): void {
	program
		.command("apply")
		.description("apply configuration; returns when every affected proxy has it in force")
		.requiredOption("-f, --filename <path>", "file, folder or - for standard input; may be repeated", files)
		.option("--no-wait", "return at once")
		.option("--dry-run", "only check")
		.option("--timeout <seconds>", "longest wait", "30")
		.addOption(outputOption())
		.option(...stateDir)
		.action(async (options) => (await import("../commands/apply.ts")).applyCommand(options));

	program
		.command("get")
		.description("show configuration")
		.argument("<kind>")
		.argument("[name]")
		.option("-n, --namespace <namespace>", "namespace", "default")
		.option("-A, --all-namespaces", "all namespaces")
		.addOption(outputOption("wide"))
		.option(...stateDir)
		.action(async (kind, name, options) => (await import("../commands/get.ts")).getCommand(kind, name, options));

	program
		.command("delete")
		.description("delete configuration")
		.argument("[kind]")
		.argument("[names...]")
		.option("-f, --filename <path>", "delete what this file holds; may be repeated", files)
		.option("-n, --namespace <namespace>", "namespace", "default")
		.option("--no-wait", "return at once")
		.option(...stateDir)
		.action(async (kind, names, options) => (await import("../commands/delete.ts")).deleteCommand(kind, names, options));

	program
		.command("xds")
		.description("print the Envoy resources that a proxy would get, offline")
		.requiredOption("-f, --filename <path>", "file or folder of YAML; may be repeated", files)
		.option("--proxy <pod.namespace>", "the proxy of this pod")
		.option("--node <file>", "node id and metadata as JSON")
		.option("--mesh-config <file>", "MeshConfig")
		.option("--mesh-networks <file>", "MeshNetworks: which endpoints are in which network, behind which gateways")
		.option("--type <types>", "comma-separated: cds,lds,rds,eds,ecds,sds")
		.option("--out <dir>", "write one file a type")
		.addOption(new Option("-o, --output <format>", "output format").choices(["json", "yaml"]).default("json"))
		.action(async (options) => (await import("../commands/xds.ts")).xdsCommand(options));

	program
		.command("control-plane")
		.description("the control plane alone, over a watched directory of YAML")
		.requiredOption("--files <dir>", "directory of YAML")
		.option("--grpc <address>", "plain-text ADS; loopback only, and only when asked for (e.g. 127.0.0.1:15010)")
		.option("--http <address>", "readiness, metrics and debug pages", "127.0.0.1:15014")
		.option("--secure-grpc <address>", "ADS and certificates over TLS (e.g. 127.0.0.1:15012)")
		.option("--https <address>", "where instances register themselves, over TLS (e.g. 127.0.0.1:15017)")
		.option("--ca-dir <dir>", "where the certificate authority is kept")
		.option("--token-key <file>", "key of the tokens that the local launcher issues")
		.option("--certificate-ttl <duration>", "lifetime of workload certificates (default 24h)")
		.option("--mesh-config <file>", "MeshConfig")
		.option("--mesh-networks <file>", "MeshNetworks: which endpoints are in which network, behind which gateways")
		.option("--api-token-file <file>", "turns on the configuration API, for callers with this token")
		.option("--api-dir <dir>", "where the configuration API writes")
		.addOption(new Option("--log-level <level>", "log level").choices(["debug", "info", "warn", "error", "none"]).default("info"))
		.option("--log-as-json", "log as JSON")
		.action(async (options) => (await import("../commands/control-plane.ts")).controlPlaneCommand(options));
}
