import { type Diagnostic, diagnosticCodes } from "../diagnostic.ts";
import { type AnyConfig, apiVersionsOf, type Kind, type KindInfo, kindInfo, kindNames, objectKindOf, resolveKind } from "../kinds.ts";
import type { Origin } from "../metadata.ts";
import { walkMetadata } from "./metadata-walk.ts";
import { createReport, type Finding, formatPath, type Path } from "./report.ts";
import { checkAuthorizationPolicy, checkAuthorizationPolicyAnnotations } from "./rules-authorization-policy.ts";
import { checkDestinationRule, checkDestinationRuleAnnotations } from "./rules-destination-rule.ts";
import { checkEnvoyFilter } from "./rules-envoy-filter.ts";
import { checkGateway } from "./rules-gateway.ts";
import { checkBackendTlsPolicy, checkKubernetesGateway, checkListenerSet, checkReferenceGrant } from "./rules-gateway-api.ts";
import { checkGrpcRoute, checkHttpRoute, checkL4Route } from "./rules-gateway-api-routes.ts";
import { checkIngress } from "./rules-ingress.ts";
import { checkService } from "./rules-kubernetes.ts";
import { checkPeerAuthentication } from "./rules-peer-authentication.ts";
import { checkTrafficExtension, checkWasmPlugin } from "./rules-proxy-extension.ts";
import { checkRateLimit } from "./rules-rate-limit.ts";
import { checkRequestAuthentication } from "./rules-request-authentication.ts";
import { checkServiceEntry, checkWorkloadEntry } from "./rules-service-entry.ts";
import { checkSidecar } from "./rules-sidecar.ts";
import { checkTelemetry } from "./rules-telemetry.ts";
import { checkVirtualService } from "./rules-virtual-service.ts";
import { checkProxyConfigResource, checkWorkloadGroup } from "./rules-workload-group.ts";
import { isRecord, walkSchema } from "./schema-walk.ts";
import { didYouMean, quote } from "./suggestion.ts";

/** Where the object stands, so that diagnostics name lines. */
export interface Location {
	readonly file?: string;
	/** Line and column (1-based) of a path's value, or of its key; for a path that is not there, of the nearest parent that is. */
	position?(path: Path, onKey: boolean): { readonly line: number; readonly column: number } | undefined;
	readonly origin?: Origin;
}

export interface Decoded {
	/** Absent where there are errors. */
	readonly object?: AnyConfig;
	readonly diagnostics: readonly Diagnostic[];
}

/** All problems of one object as it was written (plain JSON values): schema and Istio's semantic rules at once. Never throws. */
export function validateObject(value: unknown, location: Location = {}): Diagnostic[] {
	return [...decodeObject(value, location).diagnostics];
}

/** The typed object, normalised (nulls gone, namespace filled in), together with `validateObject`'s diagnostics. */
export function decodeObject(value: unknown, location: Location = {}): Decoded {
	if (!isRecord(value)) {
		const finding: Finding = { severity: "error", code: diagnosticCodes.schema, message: "must be an object with apiVersion, kind and metadata", path: [] };
		return { diagnostics: [toDiagnostic(finding, location, {})] };
	}
	const name = typeof value["kind"] === "string" ? value["kind"] : "";
	const kind = resolveKind(typeof value["apiVersion"] === "string" ? value["apiVersion"] : "", name);
	if (kind === undefined) {
		const near = didYouMean(name, kindNames.map(objectKindOf));
		const message = name === "" ? "the field kind is required; add it" : `unknown kind ${quote(name)}${near}`;
		const finding: Finding = { severity: "error", code: diagnosticCodes.unknownKind, message, path: ["kind"] };
		return { diagnostics: [toDiagnostic(finding, location, { kind: name })] };
	}
	return decodeKind(kind, value, location);
}

function decodeKind(kind: Kind, value: Readonly<Record<string, unknown>>, location: Location): Decoded {
	const info = kindInfo(kind);
	const metadata = walkMetadata(value["metadata"], info);
	const content = walkContent(kind, value);
	const findings: Finding[] = [...apiVersionFindings(kind, value["apiVersion"]), ...metadata.findings.filter((f) => f.severity !== "info")];
	for (const finding of content.findings) findings.push(finding);
	const illFormed = content.findings.filter((finding) => finding.severity === "error" && !finding.wellFormed);
	// Rules over content that is wrong all over would repeat it.
	if (illFormed.length <= findingsMax) {
		const rules: Finding[] = [];
		runRules(kind, content.value, metadata.value.namespace, rules, info.content === "spec" ? ["spec"] : []);
		for (const rule of rules) if (!illFormed.some((known) => isSamePlace(known.path, rule.path))) findings.push(rule);
	}
	const annotations = createReport(findings, ["metadata", "annotations"]);
	if (kind === "DestinationRule") checkDestinationRuleAnnotations(annotations, metadata.value.annotations);
	if (kind === "AuthorizationPolicy") checkAuthorizationPolicyAnnotations(annotations, metadata.value.annotations, actionOf(content.value));
	const status = walkStatus(info, value["status"]);
	for (const finding of status.findings) findings.push(finding);
	const subject = { kind, name: metadata.value.name, namespace: metadata.value.namespace };
	const diagnostics = limited(findings).map((finding) => toDiagnostic(finding, location, subject));
	if (findings.some((finding) => finding.severity === "error")) return { diagnostics };
	// The schema walk has just proved that `content.value` is SpecOf[kind].
	const object = {
		apiVersion: String(value["apiVersion"]),
		kind,
		metadata: metadata.value,
		spec: content.value,
		...(status.value !== undefined && { status: status.value }),
		...(location.origin && { origin: location.origin }),
	} as AnyConfig;
	return { object, diagnostics };
}

function actionOf(spec: unknown): string | undefined {
	return isRecord(spec) && typeof spec["action"] === "string" ? spec["action"] : undefined;
}

function walkStatus(info: KindInfo, status: unknown): { readonly value: unknown; readonly findings: readonly Finding[] } {
	if (status === undefined || status === null) return { value: undefined, findings: [] };
	if (!info.status) return { value: status, findings: [] };
	return walkSchema(info.status, status, ["status"], { unknownFields: "info" });
}

/** So many findings are told of one object: more are one and the same mistake. */
const findingsMax = 100;

function limited(findings: readonly Finding[]): readonly Finding[] {
	const left = findings.length - findingsMax;
	if (left <= 0) return findings;
	const severity = findings.slice(findingsMax).some((finding) => finding.severity === "error") ? "error" : "warning";
	const message = `there are ${left} more problems; mend those above first`;
	return [...findings.slice(0, findingsMax), { severity, code: diagnosticCodes.limit, message, path: [] }];
}

const envelope: ReadonlySet<string> = new Set(["apiVersion", "kind", "metadata", "status"]);

function walkContent(kind: Kind, value: Readonly<Record<string, unknown>>): { readonly value: unknown; readonly findings: readonly Finding[] } {
	const info = kindInfo(kind);
	// A newer Gateway API may have fields that we do not know: they are told, not refused.
	const options = { unknownFields: info.istio ? "error" : "warning" } as const;
	const rest = Object.fromEntries(Object.entries(value).filter(([key]) => !envelope.has(key)));
	if (info.content === "root") return walkSchema(info.schema, rest, [], options);
	const extra: Finding[] = Object.keys(rest)
		.filter((key) => key !== "spec" && info.istio)
		.map((key) => ({
			severity: "error",
			code: diagnosticCodes.schema,
			message: `unknown field ${quote(key)}${didYouMean(key, ["spec"]) || "; it belongs under spec"}`,
			path: [key],
			onKey: true,
		}));
	const spec = value["spec"];
	if ((spec === undefined || spec === null) && !info.specOptional) {
		const missing: Finding = { severity: "error", code: diagnosticCodes.schema, message: "the field spec is required; add it", path: ["spec"] };
		return { value: walkSchema(info.schema, {}, ["spec"], options).value, findings: [missing, ...extra] };
	}
	const walked = walkSchema(info.schema, spec ?? {}, ["spec"], options);
	return { value: walked.value, findings: [...walked.findings, ...extra] };
}

function apiVersionFindings(kind: Kind, apiVersion: unknown): readonly Finding[] {
	const versions = apiVersionsOf(kind);
	if (typeof apiVersion === "string" && versions.includes(apiVersion)) return [];
	const message =
		apiVersion === undefined || apiVersion === null
			? `the field apiVersion is required; write apiVersion: ${versions[0]}`
			: `${quote(apiVersion)} is no apiVersion of ${objectKindOf(kind)}; write ${versions.join(" or ")}`;
	return [{ severity: "error", code: diagnosticCodes.unknownKind, message, path: ["apiVersion"] }];
}

/** The rules of each kind over a value that the walk has made fit its schema. */
function runRules(kind: Kind, spec: unknown, namespace: string, findings: Finding[], path: Path): void {
	const report = createReport(findings, path);
	// `spec` has the kind's type by construction (walkSchema); the casts say which.
	const content = { kind, spec } as Pick<AnyConfig, "kind" | "spec"> as AnyConfig;
	switch (content.kind) {
		case "VirtualService":
			return checkVirtualService(report, content.spec, namespace);
		case "DestinationRule":
			return checkDestinationRule(report, content.spec, namespace);
		case "ServiceEntry":
			return checkServiceEntry(report, content.spec, namespace);
		case "WorkloadEntry":
			return checkWorkloadEntry(report, content.spec);
		case "Gateway":
			return checkGateway(report, content.spec);
		case "Sidecar":
			return checkSidecar(report, content.spec, namespace);
		case "PeerAuthentication":
			return checkPeerAuthentication(report, content.spec);
		case "RequestAuthentication":
			return checkRequestAuthentication(report, content.spec);
		case "AuthorizationPolicy":
			return checkAuthorizationPolicy(report, content.spec);
		case "Telemetry":
			return checkTelemetry(report, content.spec);
		case "EnvoyFilter":
			return checkEnvoyFilter(report, content.spec);
		case "ProxyConfig":
			return checkProxyConfigResource(report, content.spec);
		case "WorkloadGroup":
			return checkWorkloadGroup(report, content.spec);
		case "WasmPlugin":
			return checkWasmPlugin(report, content.spec);
		case "TrafficExtension":
			return checkTrafficExtension(report, content.spec);
		case "RateLimit":
			return checkRateLimit(report, content.spec);
		case "Service":
			return checkService(report, content.spec);
		case "KubernetesGateway":
			return checkKubernetesGateway(report, content.spec);
		case "ListenerSet":
			return checkListenerSet(report, content.spec);
		case "HTTPRoute":
			return checkHttpRoute(report, content.spec);
		case "GRPCRoute":
			return checkGrpcRoute(report, content.spec);
		case "TLSRoute":
		case "TCPRoute":
			return checkL4Route(report, content.spec);
		case "ReferenceGrant":
			return checkReferenceGrant(report, content.spec);
		case "BackendTLSPolicy":
			return checkBackendTlsPolicy(report, content.spec);
		case "Ingress":
			return checkIngress(report, content.spec);
		default:
			return;
	}
}

/** A rule that speaks of a part already reported as ill-formed, or of something inside it, says nothing new. */
function isSamePlace(reported: Path, path: Path): boolean {
	return reported.length <= path.length && reported.every((segment, i) => segment === path[i]);
}

interface Subject {
	readonly kind?: string;
	readonly name?: string;
	readonly namespace?: string;
}

export function toDiagnostic(finding: Finding, location: Location, subject: Subject): Diagnostic {
	const place = location.position?.(finding.path, finding.onKey === true) ?? location.origin;
	return {
		severity: finding.severity,
		code: finding.code,
		message: finding.message,
		path: formatPath(finding.path),
		...(subject.kind && { kind: subject.kind }),
		...(subject.name && { name: subject.name }),
		...(subject.namespace && { namespace: subject.namespace }),
		...(location.file !== undefined && { file: location.file }),
		...(place && { line: place.line, column: place.column }),
	};
}
