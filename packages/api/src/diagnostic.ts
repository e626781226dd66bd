import { isKind, objectKindOf } from "./kinds.ts";

export type Severity = "error" | "warning" | "info";

/** One finding about what a user wrote. `file`, `line` and `column` (1-based) are there when the text is at hand. */
export interface Diagnostic {
	readonly severity: Severity;
	/** Istio's code where Istio has one (IST0101 …), else WEFT-Vnnn; see `diagnosticCodes`. */
	readonly code: string;
	/** What is wrong and how to mend it. */
	readonly message: string;
	/** From the object's root: `spec.http[0].route[1].destination.host`; empty for the object as a whole. */
	readonly path: string;
	readonly kind?: string;
	readonly name?: string;
	readonly namespace?: string;
	readonly file?: string;
	readonly line?: number;
	readonly column?: number;
}

/** Every code that this package and galley give, in one place: a code is an interface. */
export const diagnosticCodes = {
	deprecated: "IST0002",
	referenceNotFound: "IST0101",
	namespaceNotInjected: "IST0102",
	podMissingProxy: "IST0103",
	schema: "IST0106",
	misplacedAnnotation: "IST0107",
	unknownAnnotation: "IST0108",
	conflictingVirtualServiceHosts: "IST0109",
	conflictingSidecarSelectors: "IST0110",
	multipleSidecarsWithoutSelectors: "IST0111",
	virtualServicePortRequired: "IST0112",
	servicesWithDifferentProtocols: "IST0116",
	portNameNotUnderConvention: "IST0118",
	multipleInjectionLabels: "IST0123",
	noMatchingWorkload: "IST0127",
	noServerCertificateVerification: "IST0128",
	noServerCertificateVerificationPort: "IST0129",
	unreachableRule: "IST0130",
	ineffectiveMatch: "IST0131",
	hostNotInGateway: "IST0132",
	schemaWarning: "IST0133",
	serviceEntryAddressesRequired: "IST0134",
	deprecatedAnnotation: "IST0135",
	servicesWithDifferentPorts: "IST0137",
	duplicateGatewayCertificate: "IST0138",
	invalidWebhook: "IST0139",
	subsetWithoutEffectAtIngress: "IST0140",
	invalidApplicationUid: "IST0144",
	conflictingGateways: "IST0145",
	autoImageNotInjected: "IST0146",
	autoImageWithoutInjection: "IST0147",
	namespaceInjectedByDefault: "IST0148",
	claimRoutingWithoutAuthentication: "IST0149",
	externalNameServicePort: "IST0150",
	envoyFilterRelative: "IST0151",
	envoyFilterReplace: "IST0152",
	envoyFilterAdd: "IST0153",
	envoyFilterRemove: "IST0154",
	envoyFilterRelativeWithVersion: "IST0155",
	telemetryWithoutProviders: "IST0157",
	proxyImageMismatch: "IST0158",
	conflictingTelemetrySelectors: "IST0159",
	multipleTelemetriesWithoutSelectors: "IST0160",
	invalidGatewayCredential: "IST0161",
	gatewayPortNotOnService: "IST0162",
	internalGateway: "IST0165",
	ineffectiveSelector: "IST0166",
	negativeCondition: "IST0171",
	subsetSelectsNothing: "IST0173",
	destinationRuleHostNotFound: "IST0174",
	unrestrictedJwksFetch: "IST0175",
	syntax: "WEFT-V001",
	unknownKind: "WEFT-V002",
	notImplemented: "WEFT-V003",
	ignoredKind: "WEFT-V004",
	limit: "WEFT-V005",
	metadata: "WEFT-V006",
	duplicateObject: "WEFT-V007",
	unreadable: "WEFT-V008",
	weightSum: "WEFT-V009",
	meshConfig: "WEFT-V010",
	patch: "WEFT-V011",
} as const;

/** `file:line:column: error [CODE] Kind ns/name path: message`; what is unknown is left out. */
export function formatDiagnostic(d: Diagnostic): string {
	const place = [d.file, d.line, d.line === undefined ? undefined : d.column].filter((part) => part !== undefined).join(":");
	const name = d.namespace ? `${d.namespace}/${d.name ?? ""}` : (d.name ?? "");
	const kind = d.kind !== undefined && isKind(d.kind) ? objectKindOf(d.kind) : d.kind;
	const subject = [kind, name, d.path].filter((part) => part !== undefined && part !== "").join(" ");
	const head = `${d.severity} [${d.code}]`;
	return `${place ? `${place}: ` : ""}${head}${subject ? ` ${subject}` : ""}: ${d.message}`;
}

export function hasErrors(diagnostics: readonly Diagnostic[]): boolean {
	return diagnostics.some((d) => d.severity === "error");
}
