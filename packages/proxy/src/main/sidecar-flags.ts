import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { LogLevel } from "@weft/runtime";
import { type AgentVariables, readAgentVariables } from "../agent/agent-variables.ts";
import { durationMs } from "../agent/arguments.ts";
import type { CredentialOptions } from "../agent/credentials.ts";
import { serverNameOf } from "../agent/certificate-client.ts";
import { requestedIdOf } from "../agent/requested-id.ts";
import type { PodOptions } from "../pod/pod-options.ts";
import { nodeReadinessProbe, type ReadinessProbe } from "../pod/readiness-probe.ts";
import { componentLevelsOf, logLevelOf } from "./flags.ts";
import type { ComponentLevels } from "./loggers.ts";
import { revocationsFile } from "./revocations.ts";

export interface SidecarFlags extends AgentVariables {
	/** host:port of the control plane. */
	readonly discoveryAddress: string;
	/** host:port of the certificate authority. */
	readonly caAddress: string;
	/** What the control plane's certificate must lead to; or SYSTEM: the well-known authorities. */
	readonly rootCertFile: string;
	/** What the authority's certificate must lead to; undefined: the same. */
	readonly caRootCertFile: string | undefined;
	/** `spiffe://…` to ask the authority for; undefined: what it gives by itself. */
	readonly requestedId: string | undefined;
	readonly tokenFile: string | undefined;
	/** Where the certificate comes from, and who gets it beside the proxy. */
	readonly credentials: CredentialOptions;
	/** Revocation lists that peers are held against, where there is such a file. */
	readonly crlFile: string;
	/** The name that the control plane's certificate carries. */
	readonly serverName: string | undefined;
	/** The name that the authority's certificate carries; undefined: the same. */
	readonly caServerName: string | undefined;
	readonly nodeId: string;
	readonly nodeCluster: string;
	readonly nodeMetadata: Readonly<Record<string, unknown>>;
	readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
	readonly concurrency: number | undefined;
	/** Nobody said how many: as many as `concurrency` may come, when there is work for them. */
	readonly workersOnDemand: boolean;
	readonly adminPort: number;
	readonly stateDir: string | undefined;
	readonly drainTimeSeconds: number;
	/** Lifetime to ask for ($SECRET_TTL, as Istio's agent reads it); undefined: what the authority gives by itself. */
	readonly secretTtlMs: number | undefined;
	readonly logLevel: LogLevel;
	/** Of single loggers. */
	readonly componentLevels: ComponentLevels;
	/** How the workload is probed for the control plane, outside of Kubernetes; undefined: it is not. */
	readonly readinessProbe: ReadinessProbe | undefined;
	/** In a pod: what Kubernetes asks of a sidecar beside its traffic. */
	readonly pod: PodOptions | undefined;
}

/** The workload's own addresses, the one in the node's id first. */
export function instanceIpsOf({ nodeId, nodeMetadata }: Pick<SidecarFlags, "nodeId" | "nodeMetadata">): readonly string[] {
	const listed = nodeMetadata["INSTANCE_IPS"];
	const own = nodeId.split("~")[1] ?? "";
	return [...new Set([own, ...(typeof listed === "string" ? listed.split(",") : [])].filter((ip) => ip !== ""))];
}

export type ParsedSidecarFlags =
	| { readonly kind: "flags"; readonly flags: SidecarFlags }
	| { readonly kind: "help" }
	| { readonly kind: "error"; readonly message: string };

const names = {
	"discovery-address": { type: "string" },
	"ca-address": { type: "string" },
	"root-cert": { type: "string" },
	"ca-root-cert": { type: "string" },
	"token-file": { type: "string" },
	"workload-socket": { type: "string" },
	"crl-file": { type: "string" },
	"server-name": { type: "string" },
	"node-id": { type: "string" },
	"node-cluster": { type: "string" },
	"node-metadata": { type: "string" },
	locality: { type: "string" },
	concurrency: { type: "string" },
	"admin-port": { type: "string" },
	"state-dir": { type: "string" },
	"drain-time-s": { type: "string" },
	"log-level": { type: "string", short: "l" },
	"component-log-level": { type: "string" },
	help: { type: "boolean", short: "h" },
} as const;

export const sidecarHelp = `weft-proxy sidecar: serve what a control plane says, with a workload identity

  --discovery-address HOST:PORT  control plane (delta ADS over mutual TLS)
  --ca-address HOST:PORT         certificate authority (default: the discovery address)
  --root-cert FILE               roots that both must lead to (SYSTEM: the well-known ones)
  --ca-root-cert FILE            roots that the certificate authority must lead to (default: the same)
  --token-file FILE              what this workload shows to the authority for its first certificate
  --workload-socket PATH         serve the SPIFFE Workload API and SDS there; where somebody does already, the certificate comes from there
  --crl-file FILE                revocation lists that peers are held against (default ${revocationsFile})
  --server-name NAME             name in their certificate (default istiod.istio-system.svc; of an authority elsewhere: its host's)
  --node-id ID                   e.g. sidecar~10.0.0.1~web-1.default~default.svc.cluster.local
  --node-cluster NAME            e.g. web.default
  --node-metadata JSON|@FILE     Istio's node metadata
  --locality REGION/ZONE/SUBZONE
  --concurrency N                worker threads (default: up to 2, as the work asks for them)
  --admin-port N                 on 127.0.0.1 (default 15000; 0: any)
  --state-dir DIR                where the file admin-address is written
  --drain-time-s N               how long connections may take to finish on SIGTERM (default 5)
  -l, --log-level LEVEL
  --component-log-level NAME:LEVEL,…
`;

export function parseSidecarFlags(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): ParsedSidecarFlags {
	let values: Partial<Record<keyof typeof names, string | boolean>>;
	try {
		values = parseArgs({ args: [...args], options: names, strict: true, allowPositionals: false }).values;
	} catch (error) {
		return { kind: "error", message: (error as Error).message };
	}
	if (values.help === true) return { kind: "help" };
	try {
		return { kind: "flags", flags: readFlags((name) => values[name] as string | undefined, env) };
	} catch (error) {
		return { kind: "error", message: (error as Error).message };
	}
}

function readFlags(text: (name: keyof typeof names) => string | undefined, env: Readonly<Record<string, string | undefined>>): SidecarFlags {
	const needed = (name: keyof typeof names) => {
		const value = text(name);
		if (value === undefined || value === "") throw new Error(`--${name} is needed`);
		return value;
	};
	const count = (name: keyof typeof names, fallback: number, max: number) => {
		const value = text(name);
		if (value === undefined) return fallback;
		if (!/^\d{1,9}$/.test(value) || Number(value) > max) throw new Error(`--${name}: expected a whole number up to ${max}, got ${value}`);
		return Number(value);
	};
	const logLevel = logLevelOf(text("log-level") ?? "info");
	if (logLevel === undefined) throw new Error(`--log-level: unknown level ${text("log-level")}`);
	const componentLevels = componentLevelsOf(text("component-log-level") ?? "");
	if (typeof componentLevels === "string") throw new Error(`--component-log-level: ${componentLevels}`);
	const ttl = durationMs(env["SECRET_TTL"]);
	if (!ttl.ok) throw new Error(`SECRET_TTL ${ttl.reason}`);
	const variables = readAgentVariables(env);
	if (!variables.ok) throw new Error(variables.reason);
	const [region = "", zone = "", subZone = ""] = (text("locality") ?? "").split("/");
	const discoveryAddress = needed("discovery-address");
	const caAddress = text("ca-address") ?? discoveryAddress;
	const nodeMetadata = readMetadata(text("node-metadata"));
	const probe = nodeReadinessProbe(nodeMetadata);
	if (probe.errors.length > 0) throw new Error(`--node-metadata: ${probe.errors.join("; ")}`);
	return {
		...variables.value,
		discoveryAddress,
		caAddress,
		rootCertFile: needed("root-cert"),
		caRootCertFile: text("ca-root-cert"),
		requestedId: requestedIdOf(env["TRUST_DOMAIN"], nodeMetadata["NAMESPACE"], nodeMetadata["SERVICE_ACCOUNT"]),
		tokenFile: text("token-file"),
		credentials: { workloadSocket: text("workload-socket") },
		crlFile: text("crl-file") ?? revocationsFile,
		serverName: text("server-name"),
		caServerName: caAddress === discoveryAddress ? undefined : serverNameOf(caAddress),
		nodeId: needed("node-id"),
		nodeCluster: text("node-cluster") ?? "",
		nodeMetadata,
		locality: { region, zone, subZone },
		concurrency: text("concurrency") === undefined ? undefined : count("concurrency", 0, 1024),
		workersOnDemand: text("concurrency") === undefined,
		adminPort: count("admin-port", 15_000, 65_535),
		stateDir: text("state-dir"),
		secretTtlMs: ttl.value,
		drainTimeSeconds: count("drain-time-s", 5, 86_400),
		logLevel,
		componentLevels,
		readinessProbe: probe.value,
		pod: undefined,
	};
}

function readMetadata(text: string | undefined): Readonly<Record<string, unknown>> {
	if (text === undefined) return {};
	const source = text.startsWith("@") ? readFileSync(text.slice(1), "utf8") : text;
	let json: unknown;
	try {
		json = JSON.parse(source);
	} catch (error) {
		throw new Error(`--node-metadata: ${(error as Error).message}`, { cause: error });
	}
	if (typeof json !== "object" || json === null || Array.isArray(json)) throw new Error("--node-metadata: expected a JSON object");
	return json as Readonly<Record<string, unknown>>;
}
