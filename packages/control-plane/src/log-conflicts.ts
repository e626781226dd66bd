import { type Diagnostic, formatDiagnostic } from "@weft/api";
import type { StoreOptions } from "@weft/galley";
import type { Logger } from "@weft/runtime";

/** Says of each object once that another source's is in force instead, as long as that holds. */
export function logConflicts(logger: Logger): NonNullable<StoreOptions["onConflicts"]> {
	let known: ReadonlySet<string> = new Set();
	return (conflicts: readonly Diagnostic[]) => {
		const now = new Set(conflicts.map(formatDiagnostic));
		for (const text of now) if (!known.has(text)) logger.warn("object is not in force", { problem: text });
		known = now;
	};
}
