import type { ProxyConfig } from "./proxy-config.ts";

type Environment = Readonly<Record<string, string | undefined>>;
type Json = Readonly<Record<string, unknown>>;

export interface NodeMetadataInput {
	readonly env: Environment;
	readonly config: ProxyConfig;
	readonly labels: Readonly<Record<string, string>> | undefined;
	readonly annotations: Readonly<Record<string, string>> | undefined;
	readonly instanceIps: readonly string[];
	/** The release of Istio whose agent this behaves as: control planes choose what to send by it. */
	readonly istioVersion: string;
	readonly ports: { readonly status: number; readonly prometheus: number };
	readonly exitsOnZeroConnections: boolean;
}

const prefix = "ISTIO_META_";
const jsonPrefix = "ISTIO_METAJSON_";
const hashLabel = "pod-template-hash";

/**
 * The node metadata that Istio's agent sends. Later ones win: proxyMetadata, ISTIO_META_*, the keys of ISTIO_METAJSON_*
 * (whose own names mean nothing, but for LABELS and ANNOTATIONS), then what the pod's volumes and fields say.
 */
export function buildNodeMetadata(input: NodeMetadataInput, warnings: string[]): Json {
	const { env, config, instanceIps, ports } = input;
	const labels = labelsOf(input, warnings);
	const annotations = { ...jsonTexts("ISTIO_METAJSON_ANNOTATIONS", env, warnings), ...input.annotations };
	return {
		...freeMetadata(input, warnings),
		NAME: env["POD_NAME"] ?? "",
		NAMESPACE: env["POD_NAMESPACE"] ?? "",
		...(env["SERVICE_ACCOUNT"] ? { SERVICE_ACCOUNT: env["SERVICE_ACCOUNT"] } : {}),
		ISTIO_VERSION: env["ISTIO_META_ISTIO_VERSION"] || input.istioVersion,
		INSTANCE_IPS: instanceIps.join(","),
		LABELS: labels,
		ANNOTATIONS: annotations,
		PROXY_CONFIG: config.raw,
		ENVOY_STATUS_PORT: ports.status,
		ENVOY_PROMETHEUS_PORT: ports.prometheus,
		...(input.exitsOnZeroConnections ? { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true" } : {}),
		PILOT_SAN: [config.discoveryAddress.replace(/:\d+$/, "")],
	};
}

function freeMetadata({ env, config }: NodeMetadataInput, warnings: string[]): Json {
	const out: Record<string, unknown> = Object.create(null);
	for (const [name, value] of Object.entries(config.proxyMetadata)) if (name.startsWith(prefix)) out[name.slice(prefix.length)] = value;
	for (const [name, value] of Object.entries(env)) if (name.startsWith(prefix) && name.length > prefix.length) out[name.slice(prefix.length)] = value;
	for (const name of Object.keys(env)) {
		if (!name.startsWith(jsonPrefix) || name === "ISTIO_METAJSON_LABELS" || name === "ISTIO_METAJSON_ANNOTATIONS") continue;
		Object.assign(out, jsonObject(name, env[name], warnings));
	}
	return out;
}

/** The labels of the volume where it is mounted; the hash that a ReplicaSet adds is no workload's. */
export function labelsOf({ env, labels }: Pick<NodeMetadataInput, "env" | "labels">, warnings: string[]): Readonly<Record<string, string>> {
	const all = { ...jsonTexts("ISTIO_METAJSON_LABELS", env, warnings), ...labels };
	return Object.fromEntries(Object.entries(all).filter(([name]) => name !== hashLabel));
}

function jsonTexts(name: string, env: Environment, warnings: string[]): Readonly<Record<string, string>> {
	const entries = Object.entries(jsonObject(name, env[name], warnings));
	return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

function jsonObject(name: string, text: string | undefined, warnings: string[]): Json {
	if (text === undefined || text === "") return {};
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Json;
	} catch {
		// Said below, in the same words.
	}
	const warning = `${name} is not a JSON object and is left out`;
	if (!warnings.includes(warning)) warnings.push(warning);
	return {};
}
