import { type AnyConfig, type Diagnostic, diagnosticCodes, type Kind, kindNames } from "@weft/api";
import { type AnalysisOptions, analyzeSnapshot } from "./analysis/analysis.ts";
import { diagnosticAt, forgetLocation, moveLocation } from "./decode/locations.ts";
import { objectKey, refOf } from "./store/keys.ts";
import { changeTables, createSnapshot, type KindTables, type StoreSnapshot, type TableEdit } from "./store/snapshot.ts";

/** What decoding lets pass and the mesh as a whole has to say about it. Errors come from decoding: they never get here. */
export interface Admitted {
	/** The objects to put into the store: the first of each name. */
	readonly accepted: readonly AnyConfig[];
	readonly diagnostics: readonly Diagnostic[];
}

/** What else there is to say about an object by whoever translates it. Warnings only: like analysis, a check never refuses. */
export type ObjectCheck = (object: AnyConfig) => readonly Diagnostic[];

/**
 * The verdict on a batch beside what is in force: the same for `apply`, a watched directory and an admission webhook.
 * Warnings (unresolved references, conflicts) never refuse; they speak of the batch's own objects only.
 */
export function admitObjects(
	objects: readonly AnyConfig[],
	snapshot: StoreSnapshot,
	checks: readonly ObjectCheck[] = [],
	options: Omit<AnalysisOptions, "concerns"> = {},
): Admitted {
	const diagnostics: Diagnostic[] = [];
	const accepted = new Map<string, AnyConfig>();
	for (const object of objects) {
		const key = objectKey(object);
		const first = accepted.get(key);
		if (!first) accepted.set(key, object);
		else {
			const message = `defined twice${placeOf(first)}; the first counts, remove this one`;
			diagnostics.push(diagnosticAt(object, "warning", diagnosticCodes.duplicateObject, [], message));
		}
	}
	const batch = [...accepted.values()];
	const after = overlay(snapshot, batch);
	const concerned = new Set<object>(batch);
	for (const finding of analyzeSnapshot(after, { ...options, concerns: (object) => concerned.has(object) })) {
		if (accepted.has(`${finding.kind}/${finding.namespace ?? ""}/${finding.name}`)) diagnostics.push(finding);
	}
	for (const check of checks) for (const object of batch) diagnostics.push(...check(object));
	for (const object of objects) forgetLocation(object);
	return { accepted: batch, diagnostics };
}

/** An object's age decides conflicts: it is set once and kept, as the API server does, and must be known before the verdict. `now`: RFC 3339. */
export function withAge(object: AnyConfig, snapshot: StoreSnapshot, now: string): AnyConfig {
	const { kind, metadata } = object;
	const known = snapshot.get(kind, metadata.namespace, metadata.name)?.metadata.creationTimestamp;
	const aged = { ...object, metadata: { ...metadata, creationTimestamp: metadata.creationTimestamp ?? known ?? now } } as AnyConfig;
	moveLocation(object, aged);
	return aged;
}

const placeOf = (object: AnyConfig) => (object.origin ? `, first at ${object.origin.file}:${object.origin.line}` : "");

/** The snapshot as it would be with `objects` in it. */
export function overlay(snapshot: StoreSnapshot, objects: readonly AnyConfig[]): StoreSnapshot {
	return edited(
		snapshot,
		objects.map((object) => ({ ref: refOf(object), object })),
	);
}

/** The snapshot as it would be without `objects`: what a source says anew has no company in what it said before. */
export function withoutObjects(snapshot: StoreSnapshot, objects: readonly AnyConfig[]): StoreSnapshot {
	return edited(
		snapshot,
		objects.map((object) => ({ ref: refOf(object) })),
	);
}

/** Kinds without edits keep their tables, and with them what the analysis has indexed of them. */
function edited(snapshot: StoreSnapshot, edits: readonly TableEdit[]): StoreSnapshot {
	if (edits.length === 0) return snapshot;
	const touched = kindNames.filter((kind) => edits.some(({ ref }) => ref.kind === kind));
	const tables: KindTables = new Map(touched.map((kind) => [kind, all(snapshot, kind)]));
	const changed = createSnapshot(snapshot.version, changeTables(tables, edits));
	const isTouched = new Set<Kind>(touched);
	return {
		version: snapshot.version,
		all: (kind) => (isTouched.has(kind) ? changed : snapshot).all(kind),
		get: (kind, namespace, name) => (isTouched.has(kind) ? changed : snapshot).get(kind, namespace, name),
	};
}

// A ConfigObject of a kind is the AnyConfig of that kind; the union over all kinds loses that.
const all = (snapshot: StoreSnapshot, kind: Kind) => snapshot.all(kind) as readonly AnyConfig[];
