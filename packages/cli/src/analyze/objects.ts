import { type AnyConfig, type Diagnostic, diagnosticCodes } from "@weft/api";
import { decodeValue, parseDocuments } from "@weft/galley";
import type { SourceFile } from "../local/mesh-client.ts";

/** What there is to analyze, of one source. */
export interface AnalyzedObjects {
	readonly objects: readonly AnyConfig[];
	/** Of single objects: what does not fit its schema is not among `objects`. */
	readonly diagnostics: readonly Diagnostic[];
	/** Documents that are no objects at all. */
	readonly unparsed: readonly Diagnostic[];
	/** Objects of kinds that the mesh does not have. */
	readonly ofOtherKinds: readonly Diagnostic[];
}

const otherKinds: ReadonlySet<string> = new Set([diagnosticCodes.unknownKind, diagnosticCodes.notImplemented, diagnosticCodes.ignoredKind]);

/** Objects of files; those that name no namespace are in `namespace`. */
export function objectsOfFiles(files: readonly SourceFile[], namespace: string): AnalyzedObjects {
	const into = { objects: [] as AnyConfig[], diagnostics: [] as Diagnostic[] };
	for (const { file, text } of files) {
		for (const { value, location } of parseDocuments(text, file, into.diagnostics)) decodeValue(inNamespace(value, namespace), location, into, 0);
	}
	return sortOut(into);
}

/** Diagnostics of reading, by what they mean for an analysis. */
export function sortOut({ objects, diagnostics }: Pick<AnalyzedObjects, "objects" | "diagnostics">): AnalyzedObjects {
	const isUnparsed = ({ kind }: Diagnostic) => !kind;
	// Fields of Kubernetes' own kinds that the mesh does not read.
	const isUnreadField = ({ severity, code }: Diagnostic) => severity === "info" && code === diagnosticCodes.schemaWarning;
	const isOtherKind = (d: Diagnostic) => !isUnparsed(d) && otherKinds.has(d.code);
	return {
		objects,
		diagnostics: diagnostics.filter((d) => !isUnparsed(d) && !isOtherKind(d) && !isUnreadField(d)),
		unparsed: diagnostics.filter(isUnparsed),
		ofOtherKinds: diagnostics.filter(isOtherKind),
	};
}

/** As kubectl does with -n; of kinds without namespaces decoding takes it away again. */
function inNamespace(value: unknown, namespace: string): unknown {
	if (!isRecord(value)) return value;
	const { items, metadata } = value;
	if (Array.isArray(items)) return { ...value, items: items.map((item) => inNamespace(item, namespace)) };
	return isRecord(metadata) && !metadata["namespace"] ? { ...value, metadata: { ...metadata, namespace } } : value;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
