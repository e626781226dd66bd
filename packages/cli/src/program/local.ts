import type { Command } from "commander";
import { clusterOptions, files, istioNamespace, outputOption, stateDir } from "./options.ts";

/** Where registrations go and who asks: the mesh on this machine, or any other control plane. */
function registrationOptions(command: Command): Command {
	return command
		.option("-n, --namespace <namespace>", "namespace", "default")
		.option("--service-account <name>", "on this machine: the service account that the instance runs as", "default")
		.option("--server <url>", "https://HOST:PORT of a control plane (default: the mesh on this machine)")
		.option("--server-name <name>", "name in its certificate", "istiod.istio-system.svc")
		.option("--ca-file <file>", "roots that its certificate leads to")
		.option("--token-file <file>", "service account token for the audience istio-ca, read anew for every request")
		.option("--cert-file <file>", "client certificate of the mesh, instead of a token")
		.option("--key-file <file>", "its key")
		.option(...stateDir);
}

/** The mesh on this machine, and what registers itself with a control plane. */
export function addLocalCommands(program: Command): void {
	program
		.command("up")
		.description("run a whole mesh on this machine from Kubernetes and Istio YAML")
		.requiredOption("-f, --filename <path>", "file or folder of YAML; may be repeated", files)
		.option("-d, --detach", "return when the mesh runs")
		.option("--images <file>", "image map (default: weft.local.yaml here and beside the files); may be repeated", files)
		.option("--mesh-config <file>", "MeshConfig")
		.option("--concurrency <n>", "worker threads of each sidecar", "1")
		.option("--certificate-ttl <duration>", "lifetime of workload certificates (default 24h)")
		.option("--envoy <path>", "Envoy binary for pods annotated weft.dev/proxy: envoy (default: $WEFT_ENVOY)")
		.option(...stateDir)
		.action(async (options) => (await import("../commands/up.ts")).upCommand(options));

	program
		.command("down")
		.description("end the mesh on this machine")
		.option(...stateDir)
		.action(async (options) => (await import("../commands/down.ts")).downCommand(options));

	clusterOptions(program.command("status"))
		.description(
			"pods, proxies, registered workloads and the addresses of services of the mesh on this machine; of a cluster that is named, its control planes and registered workloads",
		)
		.addOption(outputOption())
		.option(...istioNamespace)
		.option(...stateDir)
		.action(async (options) => (await import("../commands/status.ts")).statusCommand(options));

	registrationOptions(program.command("register"))
		.description("register an instance of a service that runs outside of the mesh's own machinery, and send heartbeats until Ctrl-C, which deregisters it")
		.argument("<service>", "name or host of a Service or ServiceEntry")
		.option("--name <name>", "of the instance (default: SERVICE-ADDRESS)")
		.option("--address <ip>", "where it listens (default: the address from which this machine reaches the control plane)")
		.option("--port <name=port>", "where it serves a port of the service (default: the service's targetPort); may be repeated", files, [])
		.option("-l, --label <name=value>", "label, beside the service's selector; may be repeated", files, [])
		.option("--network <name>", "network that the address is in")
		.option("--locality <region/zone/subzone>", "where it stands")
		.option("--weight <n>", "its share of requests")
		.option("--ttl <duration>", "without a heartbeat for so long it drains, for as long again and it is removed", "30s")
		.option("--check <url>", "http(s)://HOST:PORT/PATH or tcp://HOST:PORT, asked before every heartbeat: an instance that fails gets no requests")
		.option("--once", "register and return")
		.action(async (service, options) => (await import("../commands/register.ts")).registerCommand(service, options));

	registrationOptions(program.command("deregister"))
		.description("take out a registered instance")
		.argument("<name>", "of the instance")
		.action(async (name, options) => (await import("../commands/register.ts")).deregisterCommand(name, options));
}
