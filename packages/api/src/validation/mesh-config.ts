import { type Diagnostic, diagnosticCodes } from "../diagnostic.ts";
import { type MeshConfig, meshConfigSchema } from "../schema/mesh-config.ts";
import { checkUnusedFields, type MeshConfigReader } from "./mesh-config-unused.ts";
import { checkProvider } from "./rules-extension-provider.ts";
import { isDnsLabel, isDnsSubdomain } from "./names.ts";
import { createReport, type Finding, type Report } from "./report.ts";
import { checkDuration, checkExportTo, checkPort, checkRetries } from "./rules-common.ts";
import { checkLocality } from "./rules-load-balancer.ts";
import { checkProxyConfig } from "./rules-proxy-config.ts";
import { walkSchema } from "./schema-walk.ts";
import { quote } from "./suggestion.ts";
import { type Location, toDiagnostic } from "./validate.ts";

/**
 * Reads a MeshConfig as the user wrote it (defaults are not filled in: see `resolveMeshConfig`).
 * Unknown fields are warnings, as one mesh config serves several versions; ill-typed ones are errors and left out of `value`.
 */
export function decodeMeshConfigValue(
	input: unknown,
	location: Location = {},
	reader: MeshConfigReader = { injectsPods: false },
): { readonly value: MeshConfig; readonly diagnostics: readonly Diagnostic[] } {
	const walked = walkSchema(meshConfigSchema, input ?? {}, [], { unknownFields: "warning" });
	// The walk has made the value fit meshConfigSchema.
	const value = walked.value as MeshConfig;
	const findings: Finding[] = walked.findings.filter((finding) => !isLack(finding));
	const report = createReport(findings);
	checkDuration(report.at("connectTimeout"), value.connectTimeout);
	checkDuration(report.at("protocolDetectionTimeout"), value.protocolDetectionTimeout, 0);
	const retries = value.defaultHttpRetryPolicy;
	// Unlike a VirtualService's, these conditions may have spaces between them.
	checkRetries(report.at("defaultHttpRetryPolicy"), retries && { ...retries, ...(retries.retryOn && { retryOn: retries.retryOn.replaceAll(" ", "") }) });
	if (value.localityLbSetting) checkLocality(report.at("localityLbSetting"), value.localityLbSetting, true);
	for (const field of ["proxyListenPort", "proxyInboundListenPort", "proxyHttpPort"] as const) {
		if (value[field] !== 0 || field === "proxyListenPort") checkPort(report.at(field), value[field]);
	}
	if (value.defaultConfig) checkProxyConfig(report.at("defaultConfig"), value.defaultConfig);
	if (value.meshMTLS?.ecdhCurves?.length)
		report.at("meshMTLS", "ecdhCurves").error("curves of the mesh's own TLS cannot be chosen; write tlsDefaults.ecdhCurves for other TLS");
	checkCurves(report.at("tlsDefaults", "ecdhCurves"), value.tlsDefaults?.ecdhCurves ?? []);
	if (value.trustDomain !== undefined) checkTrustDomain(report.at("trustDomain"), value.trustDomain);
	for (const [i, alias] of (value.trustDomainAliases ?? []).entries()) checkTrustDomain(report.at("trustDomainAliases", i), alias);
	if (value.rootNamespace !== undefined && value.rootNamespace !== "" && !isDnsLabel(value.rootNamespace)) {
		report.at("rootNamespace").error(`${quote(value.rootNamespace)} is no valid namespace`);
	}
	for (const field of ["defaultServiceExportTo", "defaultVirtualServiceExportTo", "defaultDestinationRuleExportTo"] as const) {
		checkExportTo(report.at(field), value[field], { namespace: ".", isServiceEntry: true });
	}
	checkDefaultProviders(report, value);
	checkUnusedFields(report, value, reader);
	const ofProviders = walked.findings.filter(isLack);
	checkProviders(createReport(ofProviders), value);
	for (const finding of ofProviders) findings.push(withoutRefusal(finding));
	return { value: withoutBadProviders(value, ofProviders), diagnostics: findings.map((finding) => toDiagnostic(finding, location, { kind: "MeshConfig" })) };
}

/** As istiod knows them. */
const curves: ReadonlySet<string> = new Set(["P-224", "P-256", "P-384", "P-521", "X25519", "X25519Kyber768Draft00", "X25519MLKEM768"]);

function checkCurves(report: Report, names: readonly string[]): void {
	const unknown = new Set(names.filter((name) => !curves.has(name)));
	if (unknown.size > 0) report.warn(`detected unrecognized ECDH curves: [${[...unknown].sort().join(" ")}]`, diagnosticCodes.meshConfig);
	const twice = new Set(names.filter((name, i) => curves.has(name) && names.indexOf(name) !== i));
	if (twice.size > 0) report.warn(`detected duplicate ECDH curves: [${[...twice].sort().join(" ")}]`, diagnosticCodes.meshConfig);
}

function checkTrustDomain(report: Report, name: string): void {
	if (!isDnsSubdomain(name.replaceAll("_", "-"))) report.error(`${quote(name)} is no valid trust domain; write a lower-case DNS name`);
}

/** What a provider lacks; one that is ill-typed is refused, in Istio, too. */
const isLack = ({ path, isMissing }: Finding): boolean => path[0] === "extensionProviders" && isMissing === true;

const withoutRefusal = (finding: Finding): Finding =>
	finding.severity === "error" ? { ...finding, severity: "warning", message: `${finding.message}; the provider is left out` } : finding;

/** As in Istio one bad provider does not take the mesh's whole configuration with it: who names it finds none. */
function withoutBadProviders(value: MeshConfig, findings: readonly Finding[]): MeshConfig {
	const bad = new Set(findings.filter(({ severity }) => severity === "error").map(({ path }) => path[1]));
	if (bad.size === 0) return value;
	return { ...value, extensionProviders: (value.extensionProviders ?? []).filter((_, i) => !bad.has(i)) };
}

function checkProviders(report: Report, value: MeshConfig): void {
	const seen = new Set<string>();
	for (const [i, provider] of (value.extensionProviders ?? []).entries()) {
		const at = report.at("extensionProviders", i);
		if (seen.has(provider.name)) at.at("name").error(`the provider ${quote(provider.name)} is defined twice; rename one`);
		seen.add(provider.name);
		checkProvider(at, provider);
	}
}

function checkDefaultProviders(report: Report, value: MeshConfig): void {
	const names = new Set(["envoy", "prometheus", ...(value.extensionProviders ?? []).map(({ name }) => name.toLowerCase())]);
	for (const signal of ["tracing", "metrics", "accessLogging"] as const) {
		for (const [i, name] of (value.defaultProviders?.[signal] ?? []).entries()) {
			if (names.has(name.toLowerCase())) continue;
			report.at("defaultProviders", signal, i).warn(`no provider ${quote(name)} in extensionProviders; it is ignored`, diagnosticCodes.meshConfig);
		}
	}
}
