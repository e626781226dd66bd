import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { accepted, type Checked, checkedCall, refused } from "@weft/pki";
import { revocationsFile } from "../main/revocations.ts";
import { type AgentVariables, readAgentVariables } from "./agent-variables.ts";
import type { NodeIdentity } from "./bootstrap.ts";
import { caProviderOfIstio, refusedCaProvider, serverNameOf } from "./certificate-client.ts";
import { requestedIdOf } from "./requested-id.ts";
import type { CredentialOptions } from "./credentials.ts";
import { nodeReadinessProbe, type ReadinessProbe } from "../pod/readiness-probe.ts";

export const agentUsage = `Usage: weft-proxy agent [flags] -- ENVOY ARGS…

Runs a foreign Envoy as a sidecar of the mesh: obtains its certificate, serves it over SDS, relays ADS over mutual TLS.

  --discovery-address HOST:PORT  control plane, TLS (default istiod.istio-system.svc:15012)
  --ca-address HOST:PORT         certificate authority (default $CA_ADDR, else the discovery address)
  --root-cert FILE               roots the control plane must lead to (default $XDS_ROOT_CA, else /var/run/secrets/istio/root-cert.pem)
  --ca-root-cert FILE            roots the certificate authority must lead to (default $CA_ROOT_CA, else those of the control plane)
  --token-file FILE              bearer token of the workload (default /var/run/secrets/tokens/istio-token)
  --secret-ttl DURATION          asked for its certificates, such as 24h or 1h30m (default $SECRET_TTL, else what the authority gives by itself)
  --server-name NAME             name in the control plane's certificate (default istiod.istio-system.svc)
  --node-id ID                   default sidecar~$INSTANCE_IP~$POD_NAME.$POD_NAMESPACE~$POD_NAMESPACE.svc.cluster.local
  --node-metadata JSON|@FILE     laid over what the ISTIO_META_ variables say
  --locality REGION/ZONE/SUBZONE default: the label istio-locality of the node metadata
  --service-cluster NAME         default: the pod part of the node id
  --admin-port PORT              on 127.0.0.1 (default 15000)
  --xds-protocol delta|sotw      default delta
  --envoy PATH                   default $WEFT_ENVOY, else envoy from PATH
  --state-dir DIR                where a directory for sockets and bootstrap is made, and removed at the end (default: the temporary directory)
  --workload-socket PATH         serves the SPIFFE Workload API and SDS there; where somebody does already, the certificate comes from there
  --crl-file FILE                revocation lists that peers are held against (default /var/run/secrets/istio/crl/ca-crl.pem, where there is one)
  --log-level LEVEL              of the agent: debug, info, warn, error, none (default info)
`;

export interface AgentOptions extends AgentVariables {
	readonly discoveryAddress: string;
	readonly caAddress: string;
	/** Or SYSTEM: the well-known authorities. */
	readonly rootCertFile: string;
	/** What the authority's certificate must lead to; default: the same. */
	readonly caRootCertFile?: string;
	/** The name in the authority's certificate; default: the same as the control plane's. */
	readonly caServerName?: string;
	/** `spiffe://…` to ask the authority for; undefined: what it gives by itself. */
	readonly requestedId: string | undefined;
	readonly tokenFile: string;
	readonly secretTtlMs: number | undefined;
	readonly serverName: string | undefined;
	readonly node: NodeIdentity;
	readonly adminPort: number;
	readonly delta: boolean;
	readonly envoyPath: string;
	readonly stateDirectory: string | undefined;
	readonly credentials: CredentialOptions;
	readonly crlFile: string;
	readonly logLevel: AgentLogLevel;
	readonly envoyArguments: readonly string[];
	/** How the workload is probed for the control plane; undefined: by nobody here. */
	readonly readinessProbe?: ReadinessProbe;
}

const logLevels = ["debug", "info", "warn", "error", "none"] as const;
export type AgentLogLevel = (typeof logLevels)[number];
type Environment = Readonly<Record<string, string | undefined>>;

const flags = [
	"discovery-address",
	"ca-address",
	"root-cert",
	"ca-root-cert",
	"token-file",
	"secret-ttl",
	"server-name",
	"node-id",
	"node-metadata",
	"locality",
	"service-cluster",
	"admin-port",
	"xds-protocol",
	"envoy",
	"state-dir",
	"workload-socket",
	"crl-file",
	"log-level",
] as const;
type Flags = Partial<Readonly<Record<(typeof flags)[number], string>>>;

/** Reads the agent's flags up to `--` and leaves Envoy's after it alone. The refusal is one line for the user. */
export function decodeAgentArguments(argv: readonly string[], env: Environment): Checked<AgentOptions> {
	const cut = argv.indexOf("--");
	const own = cut === -1 ? argv : argv.slice(0, cut);
	const envoyArguments = cut === -1 ? [] : argv.slice(cut + 1);
	const options = Object.fromEntries(flags.map((name) => [name, { type: "string" as const }]));
	const parsed = checkedCall("arguments", () => parseArgs({ args: [...own], options, strict: true, allowPositionals: false }));
	if (!parsed.ok) return parsed;
	const values = parsed.value.values as Flags;
	const config = envoyArguments.find((argument) => /^(-c$|--config-path(=|$))/.test(argument));
	if (config !== undefined) return refused(`${config}: the agent generates Envoy's bootstrap; lay more over it with --config-yaml`);
	const node = nodeOf(values, env);
	if (!node.ok) return node;
	const discoveryAddress = values["discovery-address"] ?? "istiod.istio-system.svc:15012";
	const caAddress = values["ca-address"] ?? env["CA_ADDR"] ?? discoveryAddress;
	for (const [flag, address] of [
		["--discovery-address", discoveryAddress],
		["--ca-address", caAddress],
	] as const) {
		if (!/^.+:\d{1,5}$/.test(address)) return refused(`${flag} ${JSON.stringify(address)}: HOST:PORT is wanted`);
	}
	const caProvider = env["CA_PROVIDER"] || caProviderOfIstio;
	if (caProvider !== caProviderOfIstio) return refused(refusedCaProvider(caProvider));
	const adminPort = Number(values["admin-port"] ?? "15000");
	if (!Number.isInteger(adminPort) || adminPort < 0 || adminPort > 65_535) return refused("--admin-port: a port from 0 to 65535 is wanted");
	const protocol = values["xds-protocol"] ?? "delta";
	if (protocol !== "delta" && protocol !== "sotw") return refused(`--xds-protocol ${JSON.stringify(protocol)}: delta or sotw`);
	const secretTtlMs = durationMs(values["secret-ttl"] ?? env["SECRET_TTL"]);
	if (!secretTtlMs.ok) return refused(`--secret-ttl ${secretTtlMs.reason}`);
	const logLevel = logLevels.find((level) => level === (values["log-level"] ?? "info"));
	if (logLevel === undefined) return refused(`--log-level: one of ${logLevels.join(", ")} is wanted`);
	const probe = nodeReadinessProbe(node.value.metadata);
	if (probe.errors.length > 0) return refused(probe.errors.join("; "));
	const variables = readAgentVariables(env);
	if (!variables.ok) return variables;
	return accepted({
		...variables.value,
		...(probe.value && { readinessProbe: probe.value }),
		discoveryAddress,
		caAddress,
		rootCertFile: values["root-cert"] ?? (env["XDS_ROOT_CA"] || "/var/run/secrets/istio/root-cert.pem"),
		caRootCertFile: values["ca-root-cert"] ?? (env["CA_ROOT_CA"] || undefined),
		caServerName: caAddress === discoveryAddress ? undefined : serverNameOf(caAddress),
		tokenFile: values["token-file"] ?? "/var/run/secrets/tokens/istio-token",
		secretTtlMs: secretTtlMs.value,
		serverName: values["server-name"],
		requestedId: requestedIdOf(env["TRUST_DOMAIN"], env["POD_NAMESPACE"], env["SERVICE_ACCOUNT"]),
		node: node.value,
		adminPort,
		delta: protocol === "delta",
		envoyPath: values.envoy ?? env["WEFT_ENVOY"] ?? "envoy",
		stateDirectory: values["state-dir"],
		crlFile: values["crl-file"] ?? revocationsFile,
		credentials: values["workload-socket"] === undefined ? {} : { workloadSocket: values["workload-socket"] },
		logLevel,
		envoyArguments,
	});
}

// Go's durations, of which whole hours, minutes and seconds make sense here.
/** `24h`, `1h30m`, `90s` as Go writes durations; undefined for no text. */
export function durationMs(text: string | undefined): Checked<number | undefined> {
	if (text === undefined) return accepted(undefined);
	const [, hours = "0", minutes = "0", seconds = "0"] = /^(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?$/.exec(text) ?? [];
	const total = Number(hours) * 3_600_000 + Number(minutes) * 60_000 + Number(seconds) * 1_000;
	return total > 0 ? accepted(total) : refused(`${JSON.stringify(text)}: a duration such as 24h or 1h30m is wanted`);
}

function nodeOf(values: Flags, env: Environment): Checked<NodeIdentity> {
	const metadata = metadataOf(values["node-metadata"], env);
	if (!metadata.ok) return metadata;
	const { POD_NAME: pod, POD_NAMESPACE: namespace, INSTANCE_IP: address } = env;
	const derived = pod && namespace && address ? `sidecar~${address}~${pod}.${namespace}~${namespace}.svc.cluster.local` : undefined;
	const id = values["node-id"] ?? derived;
	if (id === undefined) return refused("--node-id is missing, and POD_NAME, POD_NAMESPACE and INSTANCE_IP are not all set");
	const parts = id.split("~");
	if (parts.length !== 4) return refused(`--node-id ${JSON.stringify(id)}: TYPE~IP~POD.NAMESPACE~DOMAIN is wanted`);
	const locality = localityOf(values.locality, metadata.value);
	if (!locality.ok) return locality;
	return accepted({ id, cluster: values["service-cluster"] ?? parts[2] ?? id, metadata: metadata.value, locality: locality.value });
}

function metadataOf(flag: string | undefined, env: Environment): Checked<Readonly<Record<string, unknown>>> {
	const prefix = "ISTIO_META_";
	const fromEnvironment = Object.entries(env).filter(([name]) => name.startsWith(prefix) && name.length > prefix.length);
	const base = Object.fromEntries(fromEnvironment.map(([name, value]) => [name.slice(prefix.length), value]));
	if (flag === undefined) return accepted(base);
	const read = checkedCall("--node-metadata", (): unknown => JSON.parse(flag.startsWith("@") ? readFileSync(flag.slice(1), "utf8") : flag));
	if (!read.ok) return read;
	if (!isObject(read.value)) return refused("--node-metadata: a JSON object is wanted");
	return accepted({ ...base, ...read.value });
}

function localityOf(flag: string | undefined, metadata: Readonly<Record<string, unknown>>): Checked<NodeIdentity["locality"]> {
	const labels = metadata["LABELS"];
	const label = isObject(labels) ? labels["istio-locality"] : undefined;
	// A label cannot hold a slash, so Istio writes dots there.
	const text = flag ?? (typeof label === "string" ? label.replaceAll(".", "/") : "");
	if (text === "") return accepted(undefined);
	const [region = "", zone = "", subZone = "", ...rest] = text.split("/");
	return rest.length > 0 ? refused(`--locality ${JSON.stringify(text)}: REGION/ZONE/SUBZONE is wanted`) : accepted({ region, zone, subZone });
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
