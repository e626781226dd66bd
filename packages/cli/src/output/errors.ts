import { type Diagnostic, formatDiagnostic } from "@weft/api";

/** Ends a command with this message and status; anything else that is thrown is a bug and keeps its stack. */
export class CommandError extends Error {
	readonly status: number;
	constructor(message: string, status = 1) {
		super(message);
		this.status = status;
	}
}

export function printDiagnostics(diagnostics: readonly Diagnostic[]): void {
	const seen = new Set<string>();
	for (const line of diagnostics.filter((d) => d.severity !== "info").map(formatDiagnostic)) {
		if (seen.has(line)) continue;
		seen.add(line);
		process.stderr.write(`${line}\n`);
	}
}
