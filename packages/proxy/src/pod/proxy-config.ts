import { parse } from "yaml";

type Json = Readonly<Record<string, unknown>>;

/** Istio's ProxyConfig as far as this process acts on it. https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#ProxyConfig */
export interface ProxyConfig {
	/** host:port. */
	readonly discoveryAddress: string;
	/** undefined: by the CPU limit; 0: all CPUs. */
	readonly concurrency: number | undefined;
	readonly proxyMetadata: Readonly<Record<string, string>>;
	/** How long connections may finish after SIGTERM. */
	readonly terminationDrainMs: number;
	/** How long a drain asked for with `/drain` spreads its closing over. */
	readonly drainMs: number;
	readonly proxyAdminPort: number;
	readonly statusPort: number;
	readonly serviceCluster: string | undefined;
	/** Everything as it was given, defaults filled in: the control plane reads it from the node metadata. */
	readonly raw: Json;
}

export interface ReadProxyConfig {
	readonly value: ProxyConfig;
	readonly errors: readonly string[];
	readonly warnings: readonly string[];
}

const defaults = {
	discoveryAddress: "istiod.istio-system.svc:15012",
	proxyAdminPort: 15_000,
	statusPort: 15_020,
	terminationDrainDuration: "5s",
	drainDuration: "45s",
} as const;

/** Of Envoy's process, or of sinks that this proxy does not have. */
const without = [
	"binaryPath",
	"configPath",
	"customConfigFile",
	"proxyBootstrapTemplatePath",
	"envoyAccessLogService",
	"envoyMetricsService",
	"envoyMetricsServiceAddress",
	"statsdUdpAddress",
	"privateKeyProvider",
	"fileFlushInterval",
	"fileFlushMinSizeKb",
];

const aliasesMax = 100;

export interface ProxyConfigText {
	readonly name: string;
	readonly text: string;
	/** Of a MeshConfig: the field that holds the ProxyConfig. */
	readonly field?: "defaultConfig";
}

/** Reads the texts in turn, each laid over what came before: MeshConfig, PROXY_CONFIG, then the pod's annotation. Empty texts say nothing. */
export function readProxyConfig(texts: readonly ProxyConfigText[]): ReadProxyConfig {
	const errors: string[] = [];
	const layers = texts.map((text) => readLayer(text, errors));
	const proxyMetadata = Object.assign({}, ...layers.map((layer) => asStrings(layer["proxyMetadata"]))) as Readonly<Record<string, string>>;
	const given: Json = { ...(Object.assign({}, ...layers) as Json), ...(Object.keys(proxyMetadata).length === 0 ? {} : { proxyMetadata }) };
	const raw: Json = { ...defaults, ...given };
	const ignored = without.filter((name) => given[name] !== undefined && given[name] !== "");
	return {
		value: decode(raw, errors),
		errors,
		warnings: ignored.length === 0 ? [] : [`these fields of ProxyConfig have no effect here: ${ignored.join(", ")}`],
	};
}

function readLayer({ name, text, field }: ProxyConfigText, errors: string[]): Json {
	let value: unknown;
	try {
		value = parse(text, { maxAliasCount: aliasesMax });
	} catch (error) {
		errors.push(`${name}: ${(error as Error).message.split("\n")[0]}`);
		return {};
	}
	const whole = asFields(name, value, errors);
	return field === undefined ? whole : asFields(`${name}: ${field}`, whole[field], errors);
}

function asFields(name: string, value: unknown, errors: string[]): Json {
	if (value === null || value === undefined) return {};
	if (typeof value !== "object" || Array.isArray(value)) {
		errors.push(`${name}: an object is wanted`);
		return {};
	}
	// Protobuf's JSON allows both spellings.
	return Object.fromEntries(Object.entries(value).map(([key, field]) => [key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()), field]));
}

function decode(raw: Json, errors: string[]): ProxyConfig {
	const text = (name: string): string | undefined => {
		const value = raw[name];
		if (value === undefined || value === null) return undefined;
		if (typeof value === "string") return value;
		errors.push(`ProxyConfig.${name}: a text is wanted, got ${JSON.stringify(value)}`);
		return undefined;
	};
	const whole = (name: string, max: number): number | undefined => {
		const value = raw[name];
		if (value === undefined || value === null) return undefined;
		if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= max) return value as number;
		errors.push(`ProxyConfig.${name}: a whole number from 0 to ${max} is wanted, got ${JSON.stringify(value)}`);
		return undefined;
	};
	const duration = (name: "terminationDrainDuration" | "drainDuration"): number => {
		const ms = parseDurationMs(raw[name]);
		if (ms === undefined) errors.push(`ProxyConfig.${name}: a duration such as 5s is wanted, got ${JSON.stringify(raw[name])}`);
		return ms ?? 0;
	};
	const discoveryAddress = text("discoveryAddress") ?? defaults.discoveryAddress;
	if (!/^.+:\d{1,5}$/.test(discoveryAddress)) errors.push(`ProxyConfig.discoveryAddress: HOST:PORT is wanted, got ${JSON.stringify(discoveryAddress)}`);
	return {
		discoveryAddress,
		concurrency: whole("concurrency", 1024),
		proxyMetadata: asStrings(raw["proxyMetadata"]),
		terminationDrainMs: duration("terminationDrainDuration"),
		drainMs: duration("drainDuration"),
		proxyAdminPort: whole("proxyAdminPort", 65_535) ?? defaults.proxyAdminPort,
		statusPort: whole("statusPort", 65_535) || defaults.statusPort,
		serviceCluster: text("serviceCluster"),
		raw,
	};
}

function asStrings(value: unknown): Readonly<Record<string, string>> {
	if (typeof value !== "object" || value === null) return {};
	return Object.fromEntries(Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === "string"));
}

const unitsMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1000, ms: 1 };

/** As Go and protobuf write durations: `5s`, `1m30s`, `0.5s`. */
export function parseDurationMs(value: unknown): number | undefined {
	if (typeof value !== "string" || !/^(\d{1,9}(\.\d{1,9})?(ms|h|m|s))+$/.test(value)) return undefined;
	let sum = 0;
	for (const [, number, unit] of value.matchAll(/([\d.]+)(ms|h|m|s)/g)) sum += Number(number) * (unitsMs[unit ?? ""] ?? 0);
	return Math.round(sum);
}
