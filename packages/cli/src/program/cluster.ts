import { type Command, Option } from "commander";
import { clusterOptions, files, istioNamespace, outputOption, stateDir } from "./options.ts";

const injectOutput = ["-o, --output <format>", "yaml, json, or a file to write YAML to", "yaml"] as const;

/** The mesh of a Kubernetes cluster. */
export function addClusterCommands(program: Command): void {
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
		.action(async (options) => (await import("../commands/inject.ts")).injectCommand(options));

	program
		.command("uninject")
		.description("take the sidecar out of injected workloads in YAML")
		.requiredOption("-f, --filename <path>", "file, folder or - for standard input; may be repeated", files)
		.option(...injectOutput)
		.action(async (options) => (await import("../commands/inject.ts")).uninjectCommand(options));

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
		.action(async (options) => (await import("../commands/install.ts")).installCommand(options));

	clusterOptions(program.command("uninstall"))
		.description("remove the mesh from a Kubernetes cluster")
		.option("-r, --revision <name>", "only the control plane of this revision")
		.option("--purge", "remove the CustomResourceDefinitions, with all objects of theirs, and the certificate authority as well")
		.option(...istioNamespace)
		.option("-y, --skip-confirmation", "do not ask")
		.action(async (options) => (await import("../commands/uninstall.ts")).uninstallCommand(options));

	clusterOptions(program.command("version"))
		.description("print the versions of this program, the control planes and the proxies")
		.option("--no-remote", "this program's only")
		.option("-s, --short", "one line each")
		.addOption(new Option("-o, --output <format>", "output format").choices(["table", "json", "yaml"]).default("table"))
		.option(...istioNamespace)
		.action(async (options) => (await import("../commands/version.ts")).versionCommand(options));

	clusterOptions(program.command("proxy-status").alias("ps"))
		.description("the proxies of the mesh, and whether each has the newest configuration")
		.argument("[pod]", "POD or POD.NAMESPACE")
		.option("-n, --namespace <namespace>", "namespace of the pod")
		.option("-v, --verbosity <level>", "1: a column for each type of configuration", "0")
		.option("--file <file>", "read /debug/syncz of a control plane from a file")
		.addOption(new Option("-o, --output <format>", "output format").choices(["table", "json", "yaml"]).default("table"))
		.option(...istioNamespace)
		.action(async (pod, options) => (await import("../commands/proxy-status.ts")).proxyStatusCommand(pod, options));

	const ca = program.command("ca").description("the mesh's certificate authority: on this machine where a mesh runs here, else in the cluster");

	clusterOptions(ca.command("status"))
		.description("roots, which of them signs, how far a rotation is, and how many proxies have the roots")
		.addOption(outputOption())
		.option(...istioNamespace)
		.option(...stateDir)
		.action(async (options) => (await import("../commands/ca.ts")).caStatusCommand(options));

	clusterOptions(ca.command("rotate"))
		.description("make a new root; it signs once every proxy trusts it, and the old one stays trusted while its certificates live")
		.option("--wait", "wait until the new root signs, and show how far it is")
		.option("--timeout <duration>", "longest wait", "10m")
		.option(...istioNamespace)
		.option(...stateDir)
		.action(async (options) => (await import("../commands/ca.ts")).caRotateCommand(options));
}
