import type { Severity } from "../diagnostic.ts";
import { diagnosticCodes } from "../diagnostic.ts";

export type Segment = string | number;
export type Path = readonly Segment[];

export interface Finding {
	readonly severity: Severity;
	readonly code: string;
	readonly message: string;
	readonly path: Path;
	/** The finding is about the field's name, not its value. */
	readonly onKey?: boolean;
	/** The field is not there at all. */
	readonly isMissing?: boolean;
	/** The value as such is well-formed, so rules about what is inside it still tell something. */
	readonly wellFormed?: boolean;
}

/** Collects findings below one path; `at` goes deeper. */
export interface Report {
	at(...segments: Segment[]): Report;
	error(message: string, code?: string): void;
	warn(message: string, code?: string): void;
	info(message: string, code?: string): void;
}

export function createReport(findings: Finding[], path: Path = []): Report {
	return {
		at: (...segments) => createReport(findings, [...path, ...segments]),
		error: (message, code = diagnosticCodes.schema) => void findings.push({ severity: "error", code, message, path }),
		warn: (message, code = diagnosticCodes.schemaWarning) => void findings.push({ severity: "warning", code, message, path }),
		info: (message, code = diagnosticCodes.schemaWarning) => void findings.push({ severity: "info", code, message, path }),
	};
}

/** `spec.http[0].match[1]`; keys that are no identifiers are quoted: `metadata.labels["app.kubernetes.io/name"]`. */
export function formatPath(path: Path): string {
	let text = "";
	for (const segment of path) {
		if (typeof segment === "number") text += `[${segment}]`;
		else if (/^[A-Za-z_$][\w$-]*$/.test(segment)) text += text === "" ? segment : `.${segment}`;
		else text += `[${JSON.stringify(segment)}]`;
	}
	return text;
}
