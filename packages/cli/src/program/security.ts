import type { Command } from "commander";
import { clusterOptions, files, outputOption, stateDir } from "./options.ts";

/** Who may ask whom, and how. */
export function addSecurityCommands(program: Command): void {
	clusterOptions(program.command("authz").description("authorization policies").command("check"))
		.description("the AuthorizationPolicies that a pod's proxy runs now")
		.argument("[pod]", "POD, POD.NAMESPACE or deployment/NAME")
		.option("-n, --namespace <namespace>", "namespace of the pod")
		.option("-f, --file <file>", "read the proxy's config_dump from a file, or - for standard input")
		.addOption(outputOption())
		.option(...stateDir)
		.action(async (pod, options) => (await import("../commands/authz-check.ts")).authzCheckCommand(pod, options));

	clusterOptions(program.command("can-i"))
		.description("whether a request would be let through, and the policy and rule that decide; status 1: no")
		.argument("<method>", "GET, POST, …")
		.argument("<url>", "http://HOST[:PORT]/PATH, or tcp://HOST:PORT")
		.requiredOption("--from <namespace/serviceaccount>", "who asks")
		.option("-f, --filename <path>", "judge by files alone; may be repeated (default: what the proxies run now, on this machine or in the cluster)", files)
		.option("--mesh-config <file>", "MeshConfig, with -f")
		.option("-H, --header <name: value>", "header of the request; may be repeated", files)
		.option("--jwt-claims <json>", "claims of a valid token, as JSON or @FILE")
		.option("--plaintext", "the caller has no sidecar")
		.option("--ip <address>", "address of the caller")
		.option("--trust-domain <name>", "of the caller", "cluster.local")
		.addOption(outputOption())
		.option(...stateDir)
		.action(async (method, url, options) => (await import("../commands/can-i.ts")).canICommand(method, url, options));

	clusterOptions(program.command("mtls").description("mutual TLS").command("check"))
		.description("the clients that STRICT would refuse, by what the proxies of a namespace have counted; status 1: there are some")
		.argument("<namespace>")
		.option("--for <duration>", "watch so long, rather than take all since the proxies started")
		.addOption(outputOption())
		.option(...stateDir)
		.action(async (namespace, options) => (await import("../commands/mtls-check.ts")).mtlsCheckCommand(namespace, options));
}
