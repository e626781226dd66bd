import { networkInterfaces } from "node:os";
import { defaultConcurrency } from "../main/concurrency.ts";
import { istioVersion } from "../config/version.ts";
import { revocationsFile } from "../main/revocations.ts";
import type { SidecarFlags } from "../main/sidecar-flags.ts";
import { noAgentVariables, readAgentVariables, truths } from "../agent/agent-variables.ts";
import { durationMs } from "../agent/arguments.ts";
import { caProviderOfIstio, refusedCaProvider, serverNameOf } from "../agent/certificate-client.ts";
import { requestedIdOf } from "../agent/requested-id.ts";
import type { PodArguments } from "./arguments.ts";
import { buildNodeMetadata, labelsOf } from "./node-metadata.ts";
import { readPodCredentials } from "./pod-credentials.ts";
import { asksAuthority, readPodRoots } from "./pod-roots.ts";
import { isDirectory, parseDownwardApi, podFile, podFiles, readPodFile } from "./pod-files.ts";
import { decodeProbers } from "./probers.ts";
import { type PodOptions, podPorts } from "./pod-options.ts";
import { type ProxyConfig, parseDurationMs, readProxyConfig } from "./proxy-config.ts";
import { decodeReadinessProbe } from "./readiness-probe.ts";
import { decodeScrapeConfig } from "./scrape-config.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** What the pod's world says beside its environment; an argument, so that tests need no pod. */
export interface PodSources {
	readonly env: Environment;
	/** Text of a file of the pod's volumes; undefined: not mounted. */
	readonly readFile: (path: string) => string | undefined;
	readonly pathOf: (path: string) => string;
	readonly isDirectory: (path: string) => boolean;
	readonly addresses: () => readonly string[];
	readonly cpus: () => number;
}

export type PodFlags = { readonly flags: SidecarFlags; readonly warnings: readonly string[] } | { readonly errors: readonly string[] };

export function systemSources(env: Environment): PodSources {
	return {
		env,
		readFile: (path) => readPodFile(path),
		pathOf: (path) => podFile(path),
		isDirectory,
		addresses: localAddresses,
		cpus: () => defaultConcurrency(),
	};
}

/** Of every interface but loopback; link-local ones tell pods nothing. */
function localAddresses(): readonly string[] {
	const all = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
	return all.filter(({ internal, address }) => !internal && !address.startsWith("fe80:") && !address.startsWith("169.254.")).map(({ address }) => address);
}

/** The flags of `weft-proxy sidecar` as the pod's environment gives them. All problems at once. */
export function readPodEnvironment(args: PodArguments, sources: PodSources): PodFlags {
	const { env, readFile } = sources;
	const errors: string[] = [];
	const warnings: string[] = [];
	const labels = optional(readFile(podFiles.labels), parseDownwardApi);
	const annotations = optional(readFile(podFiles.annotations), parseDownwardApi);
	const meshConfig = readFile(args.meshConfigFile ?? podFiles.meshConfig);
	if (meshConfig === undefined && args.meshConfigFile !== undefined) errors.push(`--meshConfig: ${args.meshConfigFile} cannot be read`);
	const config = readProxyConfig([
		{ name: args.meshConfigFile ?? podFiles.meshConfig, text: meshConfig ?? "", field: "defaultConfig" },
		{ name: "PROXY_CONFIG", text: env["PROXY_CONFIG"] ?? "" },
		{ name: "annotation proxy.istio.io/config", text: annotations?.["proxy.istio.io/config"] ?? "" },
	]);
	errors.push(...config.errors);
	warnings.push(...config.warnings);
	const instanceIps = instanceIpsOf(sources);
	if (instanceIps.length === 0) errors.push("INSTANCE_IP is not set, and this machine has no address");
	const pod = podOptions(args, sources, config.value, instanceIps, errors);
	const metadata = buildNodeMetadata(
		{
			env,
			config: config.value,
			labels,
			annotations,
			instanceIps,
			istioVersion,
			ports: podPorts,
			exitsOnZeroConnections: pod.drain.exitsOnZeroConnections,
		},
		warnings,
	);
	const effective = labelsOf({ env, labels }, []);
	const probe = decodeReadinessProbe(config.value.raw["readinessProbe"]);
	errors.push(...probe.errors);
	const ttl = durationMs(env["SECRET_TTL"]);
	if (!ttl.ok) errors.push(`SECRET_TTL ${ttl.reason}`);
	const variables = readAgentVariables(env);
	if (!variables.ok) errors.push(variables.reason);
	const credentials = readPodCredentials(sources, metadata, errors, warnings);
	const roots = readPodRoots(sources, credentials, errors);
	const caProvider = env["CA_PROVIDER"] || caProviderOfIstio;
	if (caProvider !== caProviderOfIstio && asksAuthority(credentials)) errors.push(refusedCaProvider(caProvider));
	if (errors.length > 0) return { errors };
	const namespace = env["POD_NAMESPACE"] ?? "";
	const { discoveryAddress } = config.value;
	const domain = args.domain || `${namespace || "default"}.svc.cluster.local`;
	const caAddress = env["CA_ADDR"] || discoveryAddress;
	return {
		warnings,
		flags: {
			...(variables.ok ? variables.value : noAgentVariables),
			discoveryAddress,
			caAddress,
			...roots,
			requestedId: requestedIdOf(env["TRUST_DOMAIN"], namespace, env["SERVICE_ACCOUNT"]),
			credentials,
			crlFile: revocationsFile,
			tokenFile: sources.pathOf(env["JWT_POLICY"] === "first-party-jwt" ? podFiles.serviceAccountToken : podFiles.token),
			serverName: serverNameOf(discoveryAddress),
			caServerName: serverNameOf(caAddress),
			nodeId: `${args.role}~${instanceIps[0]}~${env["POD_NAME"] ?? ""}.${namespace}~${domain}`,
			nodeCluster: args.serviceCluster ?? config.value.serviceCluster ?? serviceCluster(effective, namespace),
			nodeMetadata: metadata,
			locality: localityOf(effective),
			concurrency: concurrencyOf(args, config.value, sources),
			workersOnDemand: wantedConcurrency(args, config.value) === undefined,
			adminPort: config.value.proxyAdminPort,
			stateDir: undefined,
			drainTimeSeconds: Math.ceil(config.value.terminationDrainMs / 1000),
			secretTtlMs: ttl.ok ? ttl.value : undefined,
			logLevel: args.proxyLogLevel,
			componentLevels: args.componentLevels,
			readinessProbe: probe.value,
			pod: { ...pod, dns: metadata["DNS_CAPTURE"] === "true" && pod.isSidecar ? { namespace, domain } : undefined },
		},
	};
}

function optional<T>(text: string | undefined, read: (text: string) => T): T | undefined {
	return text === undefined ? undefined : read(text);
}

/** The pod's own address first: it names the node. */
function instanceIpsOf({ env, addresses }: PodSources): readonly string[] {
	const given = (env["INSTANCE_IP"] ?? "").split(",").filter(Boolean);
	return [...new Set([...given, ...addresses()])];
}

function serviceCluster(labels: Readonly<Record<string, string>>, namespace: string): string {
	const app = labels["app"] || labels["app.kubernetes.io/name"] || labels["service.istio.io/canonical-name"] || "istio-proxy";
	return namespace === "" ? app : `${app}.${namespace}`;
}

/** A label cannot hold a slash, so Istio writes dots there. */
function localityOf(labels: Readonly<Record<string, string>>): SidecarFlags["locality"] {
	const text = labels["istio-locality"] ?? "";
	const [region = "", zone = "", subZone = ""] = (text.includes("/") ? text : text.replaceAll(".", "/")).split("/");
	return { region, zone, subZone };
}

const wantedConcurrency = (args: PodArguments, config: ProxyConfig): number | undefined => args.concurrency ?? config.concurrency;

function concurrencyOf(args: PodArguments, config: ProxyConfig, { env, cpus }: PodSources): number {
	const wanted = wantedConcurrency(args, config);
	if (wanted !== undefined) return wanted === 0 ? cpus() : wanted;
	// The downward API rounds the limit up; without a limit it gives all that the node has.
	const limit = Number(env["ISTIO_CPU_LIMIT"] ?? "");
	return Number.isInteger(limit) && limit > 0 ? Math.min(limit, cpus()) : cpus();
}

function podOptions(args: PodArguments, { env }: PodSources, config: ProxyConfig, instanceIps: readonly string[], errors: string[]): PodOptions {
	const minimumText = env["MINIMUM_DRAIN_DURATION"] || "5s";
	const minimumMs = parseDurationMs(minimumText);
	if (minimumMs === undefined) errors.push(`MINIMUM_DRAIN_DURATION: a duration such as 5s is wanted, got ${minimumText}`);
	const isSidecar = args.role === "sidecar";
	const [podIp = ""] = instanceIps;
	const probers = decodeProbers(env["ISTIO_KUBE_APP_PROBERS"]);
	const scrape = isSidecar ? decodeScrapeConfig(env["ISTIO_PROMETHEUS_ANNOTATIONS"], config.statusPort) : { value: undefined, errors: [] };
	errors.push(...probers.errors, ...scrape.errors);
	return {
		isSidecar,
		podIp,
		// Where the mesh's inboundTrafficPolicy is LOCALHOST, the injector says so.
		probeAddress: truths.has(env["REWRITE_PROBE_LEGACY_LOCALHOST_DESTINATION"] ?? "") ? (podIp.includes(":") ? "::1" : "127.0.0.1") : podIp,
		statusPort: config.statusPort,
		logLevel: args.agentLogLevel,
		logAsJson: args.logAsJson,
		probers: probers.value,
		scrape: scrape.value,
		drain: {
			terminationMs: config.terminationDrainMs,
			exitsOnZeroConnections: truths.has(env["EXIT_ON_ZERO_ACTIVE_CONNECTIONS"] ?? ""),
			minimumMs: minimumMs ?? 0,
			listenersMs: config.drainMs,
		},
		dns: undefined,
	};
}
