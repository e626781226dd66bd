import { parseArgs } from "node:util";
import type { LogLevel } from "@weft/runtime";
import { componentLevelsOf, logLevelOf } from "../main/flags.ts";
import type { ComponentLevels } from "../main/loggers.ts";

/** `weft-proxy proxy ROLE …`: the command line of Istio's pilot-agent, as injected pods carry it. */
export interface PodArguments {
	readonly role: "sidecar" | "router";
	readonly domain: string | undefined;
	readonly serviceCluster: string | undefined;
	readonly concurrency: number | undefined;
	/** Of the data path. */
	readonly proxyLogLevel: LogLevel;
	/** Of single loggers of the data path. */
	readonly componentLevels: ComponentLevels;
	/** Of everything else. */
	readonly agentLogLevel: string;
	readonly logAsJson: boolean;
	/** MeshConfig, whose `defaultConfig` is the ProxyConfig that others are laid over; undefined: where Istio's tools put it on a machine. */
	readonly meshConfigFile: string | undefined;
}

export type ParsedPodArguments =
	| { readonly kind: "arguments"; readonly arguments: PodArguments; readonly warnings: readonly string[] }
	| { readonly kind: "help" }
	| { readonly kind: "error"; readonly message: string };

const own = {
	domain: { type: "string" },
	serviceCluster: { type: "string" },
	concurrency: { type: "string" },
	proxyLogLevel: { type: "string" },
	proxyComponentLogLevel: { type: "string" },
	log_output_level: { type: "string" },
	log_as_json: { type: "boolean" },
	meshConfig: { type: "string" },
	help: { type: "boolean", short: "h" },
} as const;

/** Flags of pilot-agent that mean nothing here: accepted, and named in one warning. */
const inert = {
	templateFile: { type: "string" },
	tokenManagerPlugin: { type: "string" },
	stsPort: { type: "string" },
	outlierLogPath: { type: "string" },
	profiling: { type: "boolean" },
	log_caller: { type: "string" },
	log_stacktrace_level: { type: "string" },
	log_target: { type: "string", multiple: true },
	log_rotate: { type: "string" },
	log_rotate_max_age: { type: "string" },
	log_rotate_max_backups: { type: "string" },
	log_rotate_max_size: { type: "string" },
	vklog: { type: "string" },
} as const;

export const podHelp = `weft-proxy proxy: serve inside a pod, configured by what the injector wrote

  weft-proxy proxy sidecar [flags]   beside an application
  weft-proxy proxy router [flags]    as a gateway

  --domain NAME                DNS suffix of the pod's services (default $POD_NAMESPACE.svc.cluster.local)
  --serviceCluster NAME        default: the label app and the namespace
  --concurrency N              worker threads (default: ProxyConfig, else up to the CPU limit, as the work asks for them; 0: all CPUs)
  --proxyLogLevel LEVEL        of the data path: trace, debug, info, warning, error, critical, off (default warning)
  --proxyComponentLogLevel NAME:LEVEL,…  of single loggers of it
  --log_output_level LEVEL     of everything else, such as default:info
  --log_as_json
  --meshConfig FILE            MeshConfig, for its defaultConfig (default: ./etc/istio/config/mesh or /etc/istio/config/mesh, where it is there)

Reads POD_NAME, POD_NAMESPACE, INSTANCE_IP, SERVICE_ACCOUNT, PROXY_CONFIG, CA_ADDR, CA_PROVIDER, CA_ROOT_CA, XDS_ROOT_CA,
PILOT_CERT_PROVIDER, ISTIO_CPU_LIMIT, ISTIO_META_*, ISTIO_METAJSON_*, ISTIO_KUBE_APP_PROBERS, ISTIO_PROMETHEUS_ANNOTATIONS, EXIT_ON_ZERO_ACTIVE_CONNECTIONS,
MINIMUM_DRAIN_DURATION, SECRET_TTL, OUTPUT_CERTS, PROV_CERT, FILE_MOUNTED_CERTS, WORKLOAD_IDENTITY_SOCKET_FILE; /etc/istio/pod/{labels,annotations}, /var/run/secrets/{istio,tokens}.
`;

export function parsePodArguments(args: readonly string[]): ParsedPodArguments {
	let values: Readonly<Record<string, unknown>>;
	let positionals: readonly string[];
	try {
		// Go's flag parser takes `--flag=true` for a boolean.
		const plain = args.flatMap((arg) => (/^--(log_as_json|profiling)=false$/.test(arg) ? [] : [arg.replace(/^--(log_as_json|profiling)=true$/, "--$1")]));
		({ values, positionals } = parseArgs({ args: plain, options: { ...own, ...inert }, strict: true, allowPositionals: true }));
	} catch (error) {
		return { kind: "error", message: (error as Error).message };
	}
	if (values["help"] === true) return { kind: "help" };
	const [role = "sidecar", ...rest] = positionals;
	if (role !== "sidecar" && role !== "router") return { kind: "error", message: `invalid role ${role}: sidecar or router is wanted` };
	if (rest.length > 0) return { kind: "error", message: `unexpected argument ${rest[0]}` };
	const text = (name: keyof typeof own) => values[name] as string | undefined;
	const concurrency = text("concurrency");
	if (concurrency !== undefined && !/^\d{1,4}$/.test(concurrency))
		return { kind: "error", message: `--concurrency: expected a whole number, got ${concurrency}` };
	const proxyLogLevel = logLevelOf(text("proxyLogLevel") ?? "warning");
	if (proxyLogLevel === undefined) return { kind: "error", message: `--proxyLogLevel: unknown level ${text("proxyLogLevel")}` };
	const componentLevels = componentLevelsOf(text("proxyComponentLogLevel") ?? "");
	if (typeof componentLevels === "string") return { kind: "error", message: `--proxyComponentLogLevel: ${componentLevels}` };
	const agentLogLevel = agentLevel(text("log_output_level") ?? "default:info");
	if (agentLogLevel === undefined) return { kind: "error", message: `--log_output_level: expected [SCOPE:]LEVEL,…, got ${text("log_output_level")}` };
	const ignored = Object.keys(inert).filter((name) => values[name] !== undefined);
	return {
		kind: "arguments",
		arguments: {
			role,
			domain: text("domain"),
			serviceCluster: text("serviceCluster"),
			concurrency: concurrency === undefined ? undefined : Number(concurrency),
			proxyLogLevel,
			componentLevels,
			agentLogLevel,
			logAsJson: values["log_as_json"] === true,
			meshConfigFile: text("meshConfig"),
		},
		warnings: ignored.length === 0 ? [] : [`these flags have no effect here: ${ignored.map((name) => `--${name}`).join(", ")}`],
	};
}

/** `info`, `default:info`, `default:info,dns:debug`: what holds for the default scope. undefined: a level nobody knows. */
function agentLevel(text: string): string | undefined {
	let level = "info";
	for (const part of text.split(",").filter(Boolean)) {
		const [scope = "", name] = part.includes(":") ? part.split(":") : ["default", part];
		const known = logLevelOf(name ?? "");
		if (known === undefined) return undefined;
		if (scope === "default" || scope === "all") level = known;
	}
	return level;
}
