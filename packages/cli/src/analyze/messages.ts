import { type Diagnostic, diagnosticCodes, isKind, objectKindOf } from "@weft/api";
import { homeOf } from "./findings.ts";

/** From the gravest on. */
export const levels = ["Error", "Warning", "Info"] as const;
export type Level = (typeof levels)[number];

/** A finding as istioctl prints it. */
export interface Message {
	readonly code: string;
	readonly documentationUrl?: string;
	readonly level: Level;
	readonly message: string;
	/** `Kind namespace/name`. */
	readonly origin: string;
	/** `FILE:LINE`. */
	readonly reference?: string;
}

export interface Suppression {
	readonly code: string;
	/** Of `Kind namespace/name` or `Kind name.namespace`; `*` stands for any characters. */
	readonly pattern: string;
}

export interface MessageFilter {
	/** Undefined: all. */
	readonly namespace?: string;
	readonly suppressions: readonly Suppression[];
}

export const documentationUrl = "https://istio.io/v1.30/docs/reference/config/analysis";

/** Errors of Istio's that refuse nothing here, so they are warnings wherever something is applied. */
const errorCodes: ReadonlySet<string> = new Set([
	diagnosticCodes.referenceNotFound,
	diagnosticCodes.conflictingVirtualServiceHosts,
	diagnosticCodes.conflictingSidecarSelectors,
	diagnosticCodes.multipleSidecarsWithoutSelectors,
	diagnosticCodes.virtualServicePortRequired,
	diagnosticCodes.conflictingGateways,
	diagnosticCodes.autoImageWithoutInjection,
	diagnosticCodes.claimRoutingWithoutAuthentication,
	diagnosticCodes.envoyFilterReplace,
	diagnosticCodes.envoyFilterAdd,
	diagnosticCodes.envoyFilterRemove,
	diagnosticCodes.conflictingTelemetrySelectors,
	diagnosticCodes.multipleTelemetriesWithoutSelectors,
	diagnosticCodes.invalidGatewayCredential,
	diagnosticCodes.subsetSelectsNothing,
	diagnosticCodes.invalidWebhook,
]);

const severityLevels = { error: "Error", warning: "Warning", info: "Info" } as const;

/** Messages whose text says nothing of where in the object. */
const heads: Readonly<Record<string, string>> = {
	[diagnosticCodes.schema]: "Schema validation error: ",
	[diagnosticCodes.schemaWarning]: "Schema validation warning: ",
	[diagnosticCodes.deprecated]: "Deprecated: ",
};

export const isAtLeast = (level: Level, threshold: Level): boolean => levels.indexOf(level) <= levels.indexOf(threshold);

/** Each once, sorted as istioctl sorts: by level, code, kind, name, namespace and text. */
export function messagesOf(findings: readonly Diagnostic[], { namespace, suppressions }: MessageFilter): readonly Message[] {
	const isHere = (finding: Diagnostic) => namespace === undefined || ["", namespace].includes(homeOf(finding));
	const isSuppressed = (finding: Diagnostic) =>
		suppressions.some(({ code, pattern }) => code === finding.code && subjectsOf(finding).some((subject) => matchesPattern(subject, pattern)));
	const sorted = findings
		.filter((finding) => isHere(finding) && !isSuppressed(finding))
		.map((finding) => ({ finding, message: messageOf(finding) }))
		.sort((a, b) => compareTexts(sortKey(a), sortKey(b)))
		.map(({ message }) => message);
	return [...new Map(sorted.map((message) => [JSON.stringify(message), message])).values()];
}

function messageOf(finding: Diagnostic): Message {
	const { code, file, line } = finding;
	const isIstios = code.startsWith("IST");
	return {
		code,
		...(isIstios && { documentationUrl: `${documentationUrl}/${code.toLowerCase()}/?ref=istioctl-analyze` }),
		level: errorCodes.has(code) ? "Error" : severityLevels[finding.severity],
		message: textOf(finding),
		origin: originOf(finding),
		...(file !== undefined && { reference: line === undefined ? file : `${file}:${line}` }),
	};
}

function textOf({ code, path, message }: Diagnostic): string {
	const head = heads[code];
	if (head === undefined && code.startsWith("IST")) return message;
	return `${head ?? ""}${path === "" || path === "spec" ? "" : `${path}: `}${message}`;
}

const kindOf = ({ kind = "" }: Diagnostic): string => (isKind(kind) ? objectKindOf(kind) : kind);
const originOf = (finding: Diagnostic): string => `${kindOf(finding)} ${finding.namespace ? `${finding.namespace}/` : ""}${finding.name ?? ""}`;

/** The names by which -S knows an object: as messages write it, and as istioctl's help does. */
function subjectsOf(finding: Diagnostic): readonly string[] {
	const { name = "", namespace } = finding;
	return [originOf(finding), ...(namespace ? [`${kindOf(finding)} ${name}.${namespace}`] : [])];
}

function matchesPattern(text: string, pattern: string): boolean {
	const [head = "", ...rest] = pattern.split("*");
	const tail = rest.pop();
	if (tail === undefined) return text === pattern;
	if (!text.startsWith(head)) return false;
	let at = head.length;
	// The first place of each part leaves the most to the others.
	for (const part of rest) {
		const found = text.indexOf(part, at);
		if (found < 0) return false;
		at = found + part.length;
	}
	return text.length - tail.length >= at && text.endsWith(tail);
}

function sortKey({ finding, message }: { readonly finding: Diagnostic; readonly message: Message }): readonly string[] {
	const { name = "", namespace = "" } = finding;
	return [String(levels.indexOf(message.level)), message.code, `${kindOf(finding)}/${name}/${namespace}`, message.reference ?? "", message.message];
}

function compareTexts(a: readonly string[], b: readonly string[]): number {
	const i = a.findIndex((text, at) => text !== b[at]);
	return i < 0 ? 0 : (a[i] ?? "") < (b[i] ?? "") ? -1 : 1;
}
