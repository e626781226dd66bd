import { Command, InvalidArgumentError, Option } from "commander";
import { CommandError } from "./output/errors.ts";
import { outputFormats } from "./output/format.ts";
import { version } from "./version.ts";

// Each command's code is loaded when it runs: `weft get` does not pay for the control plane.

const files = (value: string, before: readonly string[] = []) => [...before, value];

function outputOption(...more: readonly string[]): Option {
	return new Option("-o, --output <format>", "output format").choices([...outputFormats, ...more]).default("table");
}

const program = new Command("weft").description("Weft: a service mesh").version(version, "-v, --client-version").showHelpAfterError().enablePositionalOptions();

const clusterOptions = (command: Command): Command =>
	command.option("-c, --kubeconfig <file>", "kubeconfig (default: $KUBECONFIG or ~/.kube/config)").option("--context <name>", "context of the kubeconfig");
const istioNamespace = ["-i, --istioNamespace <namespace>", "namespace of the control plane", "istio-system"] as const;
const stateDir = ["--state-dir <dir>", "folder of the local mesh (default: $WEFT_STATE_DIR or .weft)"] as const;

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
	.action(async (options) => (await import("./commands/up.ts")).upCommand(options));

program
	.command("down")
	.description("end the mesh on this machine")
	.option(...stateDir)
	.action(async (options) => (await import("./commands/down.ts")).downCommand(options));

clusterOptions(program.command("status"))
	.description(
		"pods, proxies, registered workloads and the addresses of services of the mesh on this machine; of a cluster that is named, its control planes and registered workloads",
	)
	.addOption(outputOption())
	.option(...istioNamespace)
	.option(...stateDir)
	.action(async (options) => (await import("./commands/status.ts")).statusCommand(options));

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
	.action(async (service, options) => (await import("./commands/register.ts")).registerCommand(service, options));

registrationOptions(program.command("deregister"))
	.description("take out a registered instance")
	.argument("<name>", "of the instance")
	.action(async (name, options) => (await import("./commands/register.ts")).deregisterCommand(name, options));

program
	.command("apply")
	.description("apply configuration; returns when every affected proxy has it in force")
	.requiredOption("-f, --filename <path>", "file, folder or - for standard input; may be repeated", files)
	.option("--no-wait", "return at once")
	.option("--dry-run", "only check")
	.option("--timeout <seconds>", "longest wait", "30")
	.addOption(outputOption())
	.option(...stateDir)
	.action(async (options) => (await import("./commands/apply.ts")).applyCommand(options));

program
	.command("get")
	.description("show configuration")
	.argument("<kind>")
	.argument("[name]")
	.option("-n, --namespace <namespace>", "namespace", "default")
	.option("-A, --all-namespaces", "all namespaces")
	.addOption(outputOption("wide"))
	.option(...stateDir)
	.action(async (kind, name, options) => (await import("./commands/get.ts")).getCommand(kind, name, options));

program
	.command("delete")
	.description("delete configuration")
	.argument("[kind]")
	.argument("[names...]")
	.option("-f, --filename <path>", "delete what this file holds; may be repeated", files)
	.option("-n, --namespace <namespace>", "namespace", "default")
	.option("--no-wait", "return at once")
	.option(...stateDir)
	.action(async (kind, names, options) => (await import("./commands/delete.ts")).deleteCommand(kind, names, options));

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
	.action(async (options) => (await import("./commands/xds.ts")).xdsCommand(options));

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
	.action(async (options) => (await import("./commands/control-plane.ts")).controlPlaneCommand(options));

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
	.action(async (names, options) => (await import("./commands/analyze.ts")).analyzeCommand(names, options));

const injectOutput = ["-o, --output <format>", "yaml, json, or a file to write YAML to", "yaml"] as const;

program
	.command("inject")
	.aliases(["kube-inject"])
	.description("add the sidecar to workloads in YAML, as the webhook would, without a cluster")
	.requiredOption("-f, --filename <path>", "file, folder or - for standard input; may be repeated", files)
	.option(...injectOutput)
	.option("-n, --namespace <namespace>", "namespace of objects that name none", "default")
	.option("--meshConfigFile <file>", "MeshConfig")
	.option("--injectConfigFile <file>", "key `config` of the ConfigMap istio-sidecar-injector")
	.option("--valuesFile <file>", "key `values` of the ConfigMap istio-sidecar-injector")
	.option("-r, --revision <revision>", "control plane revision", "default")
	.option("--native-sidecars", "every node's kubelet is 1.33 or newer: the proxy becomes an init container that keeps running")
	.action(async (options) => (await import("./commands/inject.ts")).injectCommand(options));

program
	.command("uninject")
	.description("take the sidecar out of injected workloads in YAML")
	.requiredOption("-f, --filename <path>", "file, folder or - for standard input; may be repeated", files)
	.option(...injectOutput)
	.action(async (options) => (await import("./commands/inject.ts")).uninjectCommand(options));

clusterOptions(program.command("install"))
	.description("install or upgrade the mesh in a Kubernetes cluster, by the charts that ship with this program")
	.option("--set <key=value>", "a value of the charts, such as profile=demo or meshConfig.accessLogFile=/dev/stdout; may be repeated", files)
	.option("-f, --filename <file>", "file of values; may be repeated", files)
	.option("-r, --revision <name>", "name of this control plane, where several run")
	.option(...istioNamespace)
	.option("-d, --manifests <dir>", "folder of the charts (default: those that ship with this program)")
	.option("--dry-run", "print the manifests and change nothing")
	.option("-y, --skip-confirmation", "do not ask")
	.option("--wait", "wait until everything is ready (default)", true)
	.option("--no-wait", "return at once")
	.option("--readiness-timeout <duration>", "longest wait for a component", "5m")
	.action(async (options) => (await import("./commands/install.ts")).installCommand(options));

clusterOptions(program.command("uninstall"))
	.description("remove the mesh from a Kubernetes cluster")
	.option("-r, --revision <name>", "only the control plane of this revision")
	.option("--purge", "remove the CustomResourceDefinitions, with all objects of theirs, and the certificate authority as well")
	.option(...istioNamespace)
	.option("-y, --skip-confirmation", "do not ask")
	.action(async (options) => (await import("./commands/uninstall.ts")).uninstallCommand(options));

clusterOptions(program.command("version"))
	.description("print the versions of this program, the control planes and the proxies")
	.option("--no-remote", "this program's only")
	.option("-s, --short", "one line each")
	.addOption(new Option("-o, --output <format>", "output format").choices(["table", "json", "yaml"]).default("table"))
	.option(...istioNamespace)
	.action(async (options) => (await import("./commands/version.ts")).versionCommand(options));

clusterOptions(program.command("proxy-status").alias("ps"))
	.description("the proxies of the mesh, and whether each has the newest configuration")
	.argument("[pod]", "POD or POD.NAMESPACE")
	.option("-n, --namespace <namespace>", "namespace of the pod")
	.option("-v, --verbosity <level>", "1: a column for each type of configuration", "0")
	.option("--file <file>", "read /debug/syncz of a control plane from a file")
	.addOption(new Option("-o, --output <format>", "output format").choices(["table", "json", "yaml"]).default("table"))
	.option(...istioNamespace)
	.action(async (pod, options) => (await import("./commands/proxy-status.ts")).proxyStatusCommand(pod, options));

const ca = program.command("ca").description("the mesh's certificate authority: on this machine where a mesh runs here, else in the cluster");

clusterOptions(ca.command("status"))
	.description("roots, which of them signs, how far a rotation is, and how many proxies have the roots")
	.addOption(outputOption())
	.option(...istioNamespace)
	.option(...stateDir)
	.action(async (options) => (await import("./commands/ca.ts")).caStatusCommand(options));

clusterOptions(ca.command("rotate"))
	.description("make a new root; it signs once every proxy trusts it, and the old one stays trusted while its certificates live")
	.option("--wait", "wait until the new root signs, and show how far it is")
	.option("--timeout <duration>", "longest wait", "10m")
	.option(...istioNamespace)
	.option(...stateDir)
	.action(async (options) => (await import("./commands/ca.ts")).caRotateCommand(options));

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
	command.action(async (pod, options) => (await import("./commands/proxy-config.ts")).proxyConfigCommand(name, pod, options));
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

clusterOptions(program.command("authz").description("authorization policies").command("check"))
	.description("the AuthorizationPolicies that a pod's proxy runs now")
	.argument("[pod]", "POD, POD.NAMESPACE or deployment/NAME")
	.option("-n, --namespace <namespace>", "namespace of the pod")
	.option("-f, --file <file>", "read the proxy's config_dump from a file, or - for standard input")
	.addOption(outputOption())
	.option(...stateDir)
	.action(async (pod, options) => (await import("./commands/authz-check.ts")).authzCheckCommand(pod, options));

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
	.action(async (method, url, options) => (await import("./commands/can-i.ts")).canICommand(method, url, options));

clusterOptions(program.command("mtls").description("mutual TLS").command("check"))
	.description("the clients that STRICT would refuse, by what the proxies of a namespace have counted; status 1: there are some")
	.argument("<namespace>")
	.option("--for <duration>", "watch so long, rather than take all since the proxies started")
	.addOption(outputOption())
	.option(...stateDir)
	.action(async (namespace, options) => (await import("./commands/mtls-check.ts")).mtlsCheckCommand(namespace, options));

/** istioctl's flags that are true by themselves and can be told false: `--color` and `--color=false`, `-k` and `-k=false`. */
const truthFlag = /^(?:-k|--use-kube|--color)(?:=(.*))?$/;
const argv = process.argv.map((argument) => {
	const [flag, value = "true"] = (process.argv[2] === "analyze" && truthFlag.exec(argument)) || [];
	return flag === undefined ? argument : `${argument.startsWith("--c") ? "--color" : "--use-kube"}=${value}`;
});

try {
	await program.parseAsync(argv);
} catch (error) {
	if (!(error instanceof CommandError)) throw error;
	if (error.message !== "") process.stderr.write(`${error.status === 0 ? "" : "error: "}${error.message}\n`);
	process.exitCode = error.status;
}
