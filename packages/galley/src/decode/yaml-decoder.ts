import {
	type AnyConfig,
	type Diagnostic,
	decodeMeshConfigValue,
	decodeMeshNetworksValue,
	decodeObject,
	diagnosticCodes,
	type Location,
	type MeshConfig,
	type MeshConfigReader,
	type MeshNetworks,
	type Path,
	resolveKind,
} from "@weft/api";
import { judgeKind } from "./kind-catalog.ts";
import { diagnosticAt, rememberLocation } from "./locations.ts";
import { parseDocuments, problem } from "./yaml-documents.ts";

/** Lists in Lists. */
const listDepthMax = 4;

export interface DecodedYaml {
	/** Without the objects that have errors. */
	readonly objects: readonly AnyConfig[];
	readonly diagnostics: readonly Diagnostic[];
}

/**
 * Every object of a YAML or JSON text: several documents, `kind: List`, what `kubectl get -o yaml` prints.
 * All problems come back as diagnostics with line and column. Never throws.
 */
export function decodeYaml(text: string, file: string): DecodedYaml {
	const objects: AnyConfig[] = [];
	const diagnostics: Diagnostic[] = [];
	for (const parsed of parseDocuments(text, file, diagnostics)) {
		decodeValue(parsed.value, parsed.location, { objects, diagnostics }, 0);
	}
	return { objects, diagnostics };
}

/** A MeshConfig file: one document. An empty one is an empty configuration. */
export function decodeMeshConfig(
	text: string,
	file: string,
	reader?: MeshConfigReader,
): { readonly value: MeshConfig; readonly diagnostics: readonly Diagnostic[] } {
	return decodeOneDocument(text, file, "a mesh config", (value, location) => decodeMeshConfigValue(value, location, reader));
}

/** A MeshNetworks file: one document. An empty one names no networks. */
export function decodeMeshNetworks(text: string, file: string): { readonly value: MeshNetworks; readonly diagnostics: readonly Diagnostic[] } {
	return decodeOneDocument(text, file, "mesh networks", decodeMeshNetworksValue);
}

function decodeOneDocument<T>(
	text: string,
	file: string,
	what: string,
	decode: (value: unknown, location: Location) => { readonly value: T; readonly diagnostics: readonly Diagnostic[] },
): { readonly value: T; readonly diagnostics: readonly Diagnostic[] } {
	const diagnostics: Diagnostic[] = [];
	const [first, second] = parseDocuments(text, file, diagnostics);
	if (second) diagnostics.push(problem(file, `${what} in one document; remove the others`, diagnosticCodes.syntax, second.location.position?.([], false)));
	const decoded = decode(first?.value ?? {}, first?.location ?? { file });
	return { value: decoded.value, diagnostics: [...diagnostics, ...decoded.diagnostics] };
}

interface Collected {
	readonly objects: AnyConfig[];
	readonly diagnostics: Diagnostic[];
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** One JSON value as an API server or a file gives it: an object, or a List of them. The one place where kinds are judged. */
export function decodeValue(value: unknown, location: Location, into: Collected, listDepth: number): void {
	if (!isRecord(value)) {
		into.diagnostics.push(...decodeObject(value, location).diagnostics);
		return;
	}
	const kind = typeof value["kind"] === "string" ? value["kind"] : "";
	const apiVersion = typeof value["apiVersion"] === "string" ? value["apiVersion"] : "";
	if (kind.endsWith("List") && Array.isArray(value["items"])) return decodeList(kind, apiVersion, value["items"], location, into, listDepth);
	const verdict = kind === "" ? undefined : judgeKind(apiVersion, kind);
	if (verdict !== undefined && verdict.verdict !== "known") {
		into.diagnostics.push(verdictDiagnostic(verdict.verdict, verdict.message, value, location));
		return;
	}
	const origin = location.position?.([], false);
	const decoded = decodeObject(value, { ...location, ...(origin && location.file !== undefined && { origin: { file: location.file, ...origin } }) });
	into.diagnostics.push(...decoded.diagnostics);
	if (!decoded.object) return;
	rememberLocation(decoded.object, location);
	if (decoded.object.metadata.name === "") {
		const message = "generateName is for an API server, which makes the name up; give metadata.name";
		into.diagnostics.push(diagnosticAt(decoded.object, "error", diagnosticCodes.metadata, ["metadata", "generateName"], message));
		return;
	}
	into.objects.push(decoded.object);
}

function decodeList(kind: string, apiVersion: string, items: readonly unknown[], location: Location, into: Collected, listDepth: number): void {
	if (listDepth >= listDepthMax) {
		into.diagnostics.push({ severity: "error", code: diagnosticCodes.limit, message: `Lists nested deeper than ${listDepthMax} levels`, path: "items" });
		return;
	}
	// The API's own lists (VirtualServiceList) leave kind and apiVersion out of their items.
	const itemKind = kind.slice(0, -"List".length);
	for (const [index, item] of items.entries()) {
		const full =
			isRecord(item) && item["kind"] === undefined && resolveKind(apiVersion, itemKind) !== undefined ? { apiVersion, kind: itemKind, ...item } : item;
		decodeValue(full, below(location, ["items", index]), into, listDepth + 1);
	}
}

function below(location: Location, prefix: Path): Location {
	const { position } = location;
	return { ...location, ...(position && { position: (path: Path, onKey: boolean) => position([...prefix, ...path], onKey) }) };
}

function verdictDiagnostic(
	verdict: "ignored" | "not-implemented" | "unknown",
	message: string,
	value: Readonly<Record<string, unknown>>,
	location: Location,
): Diagnostic {
	const codes = {
		ignored: diagnosticCodes.ignoredKind,
		"not-implemented": diagnosticCodes.notImplemented,
		unknown: diagnosticCodes.unknownKind,
	} as const;
	const metadata = isRecord(value["metadata"]) ? value["metadata"] : {};
	const at = location.position?.(["kind"], false);
	return {
		severity: verdict === "ignored" ? "info" : "error",
		code: codes[verdict],
		message,
		path: "kind",
		kind: String(value["kind"]),
		...(typeof metadata["name"] === "string" && { name: metadata["name"] }),
		...(typeof metadata["namespace"] === "string" && { namespace: metadata["namespace"] }),
		...(location.file !== undefined && { file: location.file }),
		...at,
	};
}
