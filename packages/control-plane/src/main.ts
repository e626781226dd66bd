import { parseDurationMs } from "@weft/api";
import { buildGatewayObjects, decodeInjectorSettings, isRevision, reviewInjection } from "@weft/injector";
import { createKubeClient, createKubeTransport, inClusterConnection, kubeconfigConnection } from "@weft/kube";
import { createLogger, type LogLevel, logLevels, systemClock } from "@weft/runtime";
import { Command, Option } from "commander";
import { startControlZ } from "./control-z.ts";
import { versionText } from "./http-context.ts";
import { startKubernetesControlPlane } from "./kubernetes/control-plane.ts";
import { type DiscoveryFlags, readKubernetesOptions, SettingError } from "./kubernetes/environment.ts";

interface Flags extends DiscoveryFlags {
	readonly kubeconfig?: string;
	readonly log_output_level: string;
	readonly log_as_json?: boolean;
	readonly ctrlz_address: string;
	readonly ctrlz_port: string;
	readonly registries: string;
	readonly keepaliveMaxServerConnectionAge?: string;
	readonly shutdownDuration: string;
}

const program = new Command("weft-control-plane")
	.description("Weft's control plane: configuration, discovery, certificates and admission for a mesh in Kubernetes")
	.version(versionText)
	.showHelpAfterError();

program
	.command("discovery")
	.description("serve proxies of this cluster (flags and environment are those of pilot-discovery)")
	.option("--monitoringAddr <address>", "readiness, metrics, version and debug pages", ":15014")
	.option("--grpcAddr <address>", "plain-text ADS; loopback only, and only when asked for", "")
	.option("--secureGRPCAddr <address>", "ADS and certificates over TLS", ":15012")
	.option("--httpsAddr <address>", "admission webhooks", ":15017")
	.option("--httpAddr <address>", "readiness", ":8080")
	.option("--meshConfig <file>", "MeshConfig, where the ConfigMap istio[-REVISION] is mounted", "/etc/istio/config/mesh")
	.option("--networksConfig <file>", "MeshNetworks, where that ConfigMap is mounted", "/etc/istio/config/meshNetworks")
	.option("--configDir <dir>", "directory of YAML that is watched beside the cluster; its objects come before the cluster's of the same name")
	.option("--domain <domain>", "DNS domain of the cluster", "cluster.local")
	.option("--clusterID <id>", "the cluster's name (default: $CLUSTER_ID or Kubernetes)")
	.option("--namespace <namespace>", "the control plane's namespace (default: $POD_NAMESPACE or istio-system)")
	.option("--tlsCertFile <file>", "with ENABLE_CA_SERVER=false: the server's certificate (default: of the Secret istiod-tls)")
	.option("--tlsKeyFile <file>", "its key")
	.option("--caCertFile <file>", "roots of proxies' certificates (default: of the ConfigMap istio-ca-root-cert)")
	.option("--kubeconfig <file>", "kubeconfig (default: the pod's service account, else $KUBECONFIG)")
	.addOption(new Option("--registries <list>", "where services come from").choices(["Kubernetes"]).default("Kubernetes"))
	.option("--log_output_level <levels>", "comma-separated LEVEL or SCOPE:LEVEL", "default:info")
	.option("--log_as_json", "log as JSON")
	.option("--ctrlz_address <host>", "where log levels are read and set (istioctl admin log): a loopback address", "127.0.0.1")
	.option("--ctrlz_port <port>", "its port", "9876")
	.option("--keepaliveMaxServerConnectionAge <duration>", "accepted, as in Istio's charts; streams are not cut by age")
	.option("--shutdownDuration <duration>", "how long it goes on serving, not ready, after SIGTERM: until nobody is sent here any more", "5s")
	.action(async (flags: Flags) => run(flags));

async function run(flags: Flags): Promise<void> {
	const clock = systemClock;
	const options = readKubernetesOptions(flags, process.env);
	const { draining, stopping } = shutdown(durationOf("--shutdownDuration", flags.shutdownDuration));
	const logger = createLogger({ format: flags.log_as_json ? "json" : "text" });
	for (const { scope, level } of levelsOf(flags.log_output_level)) (scope === "default" ? logger : logger.child(scope)).level = level;
	const connection = flags.kubeconfig === undefined ? await inClusterConnection({ clock }) : undefined;
	const reached = connection ?? (await kubeconfigConnection({ ...(flags.kubeconfig !== undefined && { file: flags.kubeconfig }), clock }));
	const client = createKubeClient(createKubeTransport(reached));
	logger.info("starting", { version: versionText, server: reached.server.href, namespace: options.namespace, revision: options.revision });
	try {
		await startControlZ({ address: `${flags.ctrlz_address}:${flags.ctrlz_port}`, logger, signal: stopping });
		const controlPlane = await startKubernetesControlPlane({
			options,
			client,
			injector: { decodeInjectorSettings, reviewInjection, buildGatewayObjects, isRevision },
			clock,
			logger,
			draining,
			signal: stopping,
		});
		await controlPlane.closed;
	} catch (error) {
		if (stopping.aborted) return;
		throw error;
	}
}

/**
 * SIGTERM comes before the API server and the proxies hear that this replica goes: it serves on for a moment.
 * SIGINT, and whatever comes second, ends it at once.
 */
function shutdown(drainMs: number): { readonly draining: AbortSignal; readonly stopping: AbortSignal } {
	const [draining, stopping] = [new AbortController(), new AbortController()];
	process.once("SIGINT", () => stopping.abort());
	process.once("SIGTERM", () => {
		draining.abort();
		process.once("SIGTERM", () => stopping.abort());
		setTimeout(() => stopping.abort(), drainMs);
	});
	return { draining: draining.signal, stopping: stopping.signal };
}

function durationOf(name: string, text: string): number {
	const ms = parseDurationMs(text);
	if (ms === undefined || ms < 0) throw new SettingError(`${name}: "${text}" is not a duration such as 5s`);
	return ms;
}

interface ScopeLevel {
	readonly scope: string;
	readonly level: LogLevel;
}

/** Istio's form: `default:info`, `info`, `ads:debug,kube:warn`. */
function levelsOf(text: string): readonly ScopeLevel[] {
	return text.split(",").map((part) => {
		const [first = "", second] = part.trim().split(":");
		const [scope, level] = second === undefined ? ["default", first] : [first === "all" ? "default" : first, second];
		const known = logLevels.find((name) => name === level || (level === "fatal" && name === "error"));
		if (known === undefined) throw new SettingError(`--log_output_level: "${part}" is not LEVEL or SCOPE:LEVEL; levels are ${logLevels.join(", ")}`);
		return { scope, level: known };
	});
}

try {
	await program.parseAsync();
} catch (error) {
	process.stderr.write(`error: ${error instanceof Error ? error.message : String(error)}\n`);
	process.exitCode = error instanceof SettingError ? 2 : 1;
	// Watches and servers that are open already would keep a failed start alive.
	setTimeout(() => process.exit(), 100).unref();
}
