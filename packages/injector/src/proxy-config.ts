import { decodeMeshConfigValue, diagnosticCodes, type ProxyConfig, type ResolvedMeshConfig } from "@weft/api";
import { parseDocument } from "yaml";
import type { SelectedProxyConfig } from "./select-proxy-config.ts";
import { fieldOf, isJsonObject, isSameJson, type Json, type JsonObject } from "./json.ts";

const annotationBytesMax = 256 * 1024;

/**
 * The annotation proxy.istio.io/config: YAML or JSON of a ProxyConfig. As in Istio, a field that is not known, or not any more, is
 * left out, so that one annotation serves several versions.
 */
export function decodeProxyConfigAnnotation(
	text: string,
):
	| { readonly value: ProxyConfig; readonly unknown: readonly string[]; readonly error?: undefined }
	| { readonly value?: undefined; readonly unknown?: undefined; readonly error: string } {
	const failed = (reason: string) => ({ error: `failed to convert to apply proxy config: ${reason}` });
	if (text.length > annotationBytesMax) return failed(`longer than ${annotationBytesMax} bytes`);
	const document = parseDocument(text, { prettyErrors: false, logLevel: "silent" });
	const [syntax] = document.errors;
	if (syntax) return failed(syntax.message);
	let input: unknown;
	try {
		input = document.toJS({ maxAliasCount: 100 }) ?? {};
	} catch (thrown) {
		return failed(thrown instanceof Error ? thrown.message : String(thrown));
	}
	if (!isJsonObject(input)) return failed("expected an object");
	const { value, diagnostics } = decodeMeshConfigValue({ defaultConfig: input }, {}, { injectsPods: true });
	const told = diagnostics.map((diagnostic) => ({ ...diagnostic, path: diagnostic.path.replace(/^defaultConfig\.?/, "") }));
	const isUnknown = ({ severity, code }: (typeof told)[number]) => severity === "warning" && code === diagnosticCodes.schema;
	if (value.defaultConfig?.statusPort === 0) return { error: "1 error occurred:\n\t* invalid status port: port number 0 must be in the range 1..65535\n\n" };
	const problem = told.find((diagnostic) => !isUnknown(diagnostic));
	if (problem) return failed(`${problem.path}: ${problem.message}`.replace(/^: /, ""));
	return { value: value.defaultConfig ?? {}, unknown: told.map(({ path }) => path) };
}

/** Of these fields entries are added to, or replaced in, what was there; any other field replaces it. As Istio has it. */
const mergedFields: ReadonlySet<string> = new Set(["proxyMetadata", "proxyHeaders"]);

export function mergeProxyConfig(base: ProxyConfig, over: ProxyConfig): ProxyConfig {
	const before = base as unknown as JsonObject;
	const merged: Record<string, Json | undefined> = { ...before };
	for (const [field, value] of Object.entries(over as unknown as JsonObject)) {
		const old = fieldOf(before, field);
		merged[field] = mergedFields.has(field) && isJsonObject(old) && isJsonObject(value) ? { ...old, ...value } : value;
	}
	return merged;
}

/** What the agent assumes by itself (`mesh.DefaultProxyConfig`), and what proto3 JSON leaves out. */
const agentDefaults: JsonObject = {
	configPath: "./etc/istio/proxy",
	binaryPath: "/usr/local/bin/envoy",
	serviceCluster: "istio-proxy",
	drainDuration: "45s",
	terminationDrainDuration: "5s",
	proxyAdminPort: 15000,
	controlPlaneAuthPolicy: "MUTUAL_TLS",
	discoveryAddress: "istiod.istio-system.svc:15012",
	statNameLength: 189,
	statusPort: 15020,
	interceptionMode: "REDIRECT",
};

/** The order of the fields in mesh/v1alpha1/proxy.proto, in which Istio writes them; others follow. */
const fieldOrder = [
	...["configPath", "binaryPath", "serviceCluster", "tracingServiceName", "drainDuration", "discoveryAddress", "statsdUdpAddress", "proxyAdminPort"],
	...["controlPlaneAuthPolicy", "customConfigFile", "statNameLength", "concurrency", "proxyBootstrapTemplatePath", "interceptionMode", "tracing"],
	...["envoyAccessLogService", "envoyMetricsService", "proxyMetadata", "runtimeValues", "statusPort", "extraStatTags", "gatewayTopology"],
	...["terminationDrainDuration", "meshId", "readinessProbe", "proxyStatsMatcher", "holdApplicationUntilProxyStarts", "caCertificatesPem", "image"],
];

/** PROXY_CONFIG: JSON of what differs from the agent's defaults. */
export function renderProxyConfig(config: ProxyConfig): string {
	const fields: JsonObject = config as unknown as JsonObject;
	const rest = Object.keys(fields).filter((field) => !fieldOrder.includes(field));
	const shown = [...fieldOrder, ...rest].filter((field) => !isEmpty(fields[field]) && !isSameJson(fields[field], fieldOf(agentDefaults, field)));
	return JSON.stringify(Object.fromEntries(shown.map((field) => [field, fields[field]])));
}

function isEmpty(value: Json | undefined): boolean {
	if (value === undefined || value === null || value === "") return true;
	if (Array.isArray(value)) return value.length === 0;
	return isJsonObject(value) && Object.keys(value).length === 0;
}

/** The configuration of a pod's proxy: mesh-wide, of ProxyConfig resources for all, of the pod's annotation, of a ProxyConfig that selects it. */
export function resolveProxyConfig(mesh: ResolvedMeshConfig, resources: SelectedProxyConfig | undefined, annotation: string | undefined): ProxyConfig {
	const onPod = annotation === undefined ? undefined : decodeProxyConfigAnnotation(annotation).value;
	const layers = [resources?.general, onPod, resources?.own];
	return layers.reduce<ProxyConfig>((config, layer) => (layer ? mergeProxyConfig(config, layer) : config), mesh.defaultConfig);
}
