import { type AnyConfig, type Diagnostic, diagnosticCodes, formatDiagnostic } from "@weft/api";
import type { PushSnapshot } from "../model/push.ts";
import type { Spread } from "./distribution.ts";

export interface ConfigCondition {
	/** Istio's `Reconciled`: proxies have it in force; and `PassedValidation`. */
	readonly type: "Reconciled" | "PassedValidation";
	readonly status: "True" | "False" | "Unknown";
	readonly reason: string;
	readonly message: string;
}

/** Istio's AnalysisMessageBase: https://istio.io/latest/docs/reference/config/analysis/ */
export interface ValidationMessage {
	readonly type: { readonly name: string; readonly code: string };
	readonly level: "ERROR" | "WARNING" | "INFO";
	readonly documentationUrl?: string;
}

/** `status` of an Istio resource: https://istio.io/latest/docs/reference/config/config-status/. Times are for who writes it. */
export interface ConfigStatus {
	readonly conditions: readonly ConfigCondition[];
	readonly validationMessages: readonly ValidationMessage[];
	/** The generation that was judged, where objects have one. */
	readonly observedGeneration?: number;
}

export interface ConfigStatusInput {
	readonly kind: string;
	readonly namespace: string;
	readonly name: string;
	/** Of all proxies of the mesh. */
	readonly spread: Spread;
	/** What there is to say about the object as it is now: an error means that its last valid content, if any, is in force. */
	readonly findings: readonly Diagnostic[];
	readonly generation?: number | undefined;
}

/** Texts of conditions end here; Kubernetes' own allow 32 KiB. */
const messageMax = 2_000;
const messagesMax = 20;

/** Whether an object is valid, and how many of the proxies that see it have it in force. Pure. */
export function configStatus(push: Pick<PushSnapshot, "heldVirtualServices">, input: ConfigStatusInput): ConfigStatus {
	const { findings, generation } = input;
	return {
		conditions: [validation(push, input), reconciliation(push, input)],
		validationMessages: findings.slice(0, messagesMax).map(validationMessage),
		...(generation !== undefined && { observedGeneration: generation }),
	};
}

function validation(push: Pick<PushSnapshot, "heldVirtualServices">, input: ConfigStatusInput): ConfigCondition {
	const { findings } = input;
	const errors = findings.filter(({ severity }) => severity === "error");
	if (errors.length > 0) return { type: "PassedValidation", status: "False", reason: "Invalid", message: textOf(errors) };
	const held = heldReason(push, input);
	if (held !== undefined) return { type: "PassedValidation", status: "False", reason: "SubsetNotFound", message: held };
	return { type: "PassedValidation", status: "True", reason: "Valid", message: textOf(findings) };
}

function heldReason({ heldVirtualServices }: Pick<PushSnapshot, "heldVirtualServices">, { kind, namespace, name }: ConfigStatusInput): string | undefined {
	return kind === "VirtualService" ? heldVirtualServices.get(`${namespace}/${name}`) : undefined;
}

function textOf(findings: readonly Diagnostic[]): string {
	const text = findings.map(({ severity, code, path, message }) => formatDiagnostic({ severity, code, path, message })).join("; ");
	return text.length > messageMax ? `${text.slice(0, messageMax)}…` : text;
}

function reconciliation(push: Pick<PushSnapshot, "heldVirtualServices">, input: ConfigStatusInput): ConfigCondition {
	const { seeing, inForce, refusal } = input.spread;
	const isInvalid = input.findings.some(({ severity }) => severity === "error");
	const message = `${inForce}/${seeing} proxies up to date.`;
	const because = (reason: string, text = message): ConfigCondition => ({ type: "Reconciled", status: "False", reason, message: text });
	if (isInvalid) return because("Invalid", seeing > 0 ? `${message} The last valid content is in force.` : message);
	if (heldReason(push, input) !== undefined) return because("Held");
	if (refusal !== undefined) return because("Rejected", `${message} ${refusal}`);
	if (inForce < seeing) return because("Progressing");
	return { type: "Reconciled", status: "True", reason: "UpToDate", message };
}

const codeNames = new Map<string, string>(Object.entries(diagnosticCodes).map(([name, code]) => [code, `${name.charAt(0).toUpperCase()}${name.slice(1)}`]));
const levels = { error: "ERROR", warning: "WARNING", info: "INFO" } as const;

function validationMessage({ code, severity }: Diagnostic): ValidationMessage {
	return {
		type: { name: codeNames.get(code) ?? code, code },
		level: levels[severity],
		...(code.startsWith("IST") && { documentationUrl: `https://istio.io/latest/docs/reference/config/analysis/${code.toLowerCase()}/` }),
	};
}

/** What a status is computed of, for an object of the push. */
export const statusInput = (
	{ kind, metadata: { namespace, name, generation } }: AnyConfig,
	spread: Spread,
	findings: readonly Diagnostic[],
): ConfigStatusInput => ({ kind, namespace, name, spread, findings, generation });
