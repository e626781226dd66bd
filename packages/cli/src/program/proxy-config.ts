import { type Command, Option } from "commander";
import { clusterOptions } from "./options.ts";

/** What a proxy runs, a table a command. */
export function addProxyConfigCommands(program: Command): void {
	const proxyConfig = program.command("proxy-config").alias("pc").description("the configuration that a proxy runs");

	/** One `proxy-config` table. */
	function proxyConfigCommand(name: string, aliases: readonly string[], description: string, filters: readonly (readonly [string, string])[] = []): void {
		const command = clusterOptions(proxyConfig.command(name).aliases([...aliases]))
			.description(description)
			.argument("[pod]", "POD, POD.NAMESPACE or deployment/NAME")
			.option("-n, --namespace <namespace>", "namespace of the pod")
			.option("--file <file>", "read the proxy's config_dump from a file, or - for standard input")
			.addOption(new Option("-o, --output <format>", "output format").choices(["short", "json", "yaml"]).default(name === "bootstrap" ? "json" : "short"));
		for (const [flag, meaning] of filters) command.option(flag, meaning);
		command.action(async (pod, options) => (await import("../commands/proxy-config.ts")).proxyConfigCommand(name, pod, options));
	}

	proxyConfigCommand("all", ["a"], "everything, one table after the other");
	proxyConfigCommand("cluster", ["clusters", "c"], "clusters", [
		["--fqdn <name>", "those of this service"],
		["--port <port>", "those of this port"],
		["--direction <direction>", "inbound or outbound"],
		["--subset <name>", "those of this subset"],
	]);
	proxyConfigCommand("listener", ["listeners", "l"], "listeners and what each filter chain leads to", [
		["--address <address>", "those bound here"],
		["--port <port>", "those of this port"],
		["--type <type>", "HTTP, TCP or HTTP+TCP"],
	]);
	proxyConfigCommand("route", ["routes", "r"], "routes", [["--name <name>", "those of this route table"]]);
	proxyConfigCommand("endpoint", ["endpoints", "ep"], "endpoints", [
		["--address <address>", "those of this address"],
		["--port <port>", "those of this port"],
		["--cluster <name>", "those of this cluster"],
		["--status <status>", "healthy or unhealthy"],
	]);
	proxyConfigCommand("secret", ["secrets", "s"], "certificates");
	proxyConfigCommand("bootstrap", ["b"], "what the proxy was started with");
}
