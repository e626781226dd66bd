import { diagnosticCodes } from "../diagnostic.ts";
import { type MeshConfig, meshConfigDefaults } from "../schema/mesh-config.ts";
import type { Report } from "./report.ts";

/** Fields of MeshConfig that nothing reads yet, with what stands in their place. */
const unused: Readonly<Partial<Record<keyof MeshConfig, string>>> = {
	ca: "the authority is this control plane's own",
	certificates: "Istio has dropped it, too",
	compliancePolicy: "TLS is as by default",
	configSources: "resources are read from where the command line says",
	enableEnvoyAccessLogService: "access logs go to files, and to the services that extensionProviders name",
	serviceSettings: "there is one cluster",
	verifyCertificateAtClient: "servers are verified by what their DestinationRule says",
};

/** Who starts the proxies: the injector hands them all of `defaultConfig`; a mesh on one machine starts them itself. */
export interface MeshConfigReader {
	readonly injectsPods: boolean;
}

/** Of `defaultConfig`, what the control plane itself reads. */
const readProxyFields = new Set(["discoveryAddress", "gatewayTopology", "proxyHeaders", "tracing"]);

/** Of `defaultConfig.proxyMetadata`, what the control plane itself reads. */
const readMetadata = new Set(["WEFT_REASON_HEADER"]);

/** Warns of what is set to another value than Istio's default and changes nothing. */
export function checkUnusedFields(report: Report, value: MeshConfig, { injectsPods }: MeshConfigReader): void {
	for (const [field, instead] of Object.entries(unused)) {
		if (isSet(value, meshConfigDefaults, field)) warn(report.at(field), field, instead);
	}
	if (injectsPods) return;
	if (isSet(value, meshConfigDefaults, "caCertificates"))
		warn(report.at("caCertificates"), "caCertificates", "outside of a cluster only the mesh's own roots are trusted");
	if (isSet(value, meshConfigDefaults, "enablePrometheusMerge"))
		warn(report.at("enablePrometheusMerge"), "enablePrometheusMerge", "applications' metrics are not merged");
	for (const field of Object.keys(value.defaultConfig ?? {})) {
		if (field === "proxyMetadata" && Object.keys(value.defaultConfig?.proxyMetadata ?? {}).every((name) => readMetadata.has(name))) continue;
		if (readProxyFields.has(field) || !isSet(value.defaultConfig ?? {}, meshConfigDefaults.defaultConfig, field)) continue;
		warn(report.at("defaultConfig", field), `defaultConfig.${field}`, "proxies have it from their own command line");
	}
}

function isSet(value: object, defaults: object, field: string): boolean {
	const own: unknown = (value as Readonly<Record<string, unknown>>)[field];
	return own !== undefined && JSON.stringify(own) !== JSON.stringify((defaults as Readonly<Record<string, unknown>>)[field]);
}

function warn(report: Report, field: string, instead: string): void {
	report.warn(`${field} has no effect in this version of Weft: ${instead}; remove it`, diagnosticCodes.meshConfig);
}
