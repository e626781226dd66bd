import type { ObjectMeta } from "@weft/api";

/** Epoch ms of creation; objects that do not say share one age (0), so names decide between them. */
export function createdMsOf(metadata: ObjectMeta): number {
	let ms = known.get(metadata);
	if (ms === undefined) {
		ms = parseCreated(metadata);
		known.set(metadata, ms);
	}
	return ms;
}

/** Every push sorts every object by its age. */
const known = new WeakMap<ObjectMeta, number>();

function parseCreated(metadata: ObjectMeta): number {
	const ms = metadata.creationTimestamp === undefined ? Number.NaN : Date.parse(metadata.creationTimestamp);
	return Number.isNaN(ms) ? defaultCreatedMs : ms;
}

/** 2026-01-01T00:00:00Z would do as well: only the order counts, and an object without a date is the oldest. */
const defaultCreatedMs = 0;

interface Aged {
	readonly metadata: ObjectMeta;
}

/** Oldest first, then by name, then by namespace: Istio's rule for which of two wins. */
export function byAge(a: Aged, b: Aged): number {
	return (
		createdMsOf(a.metadata) - createdMsOf(b.metadata) ||
		compareText(a.metadata.name, b.metadata.name) ||
		compareText(a.metadata.namespace, b.metadata.namespace)
	);
}

/** Oldest first, then by namespace, then by name: the Gateway API's rule. */
export function byAgeAndNamespace(a: Aged, b: Aged): number {
	return (
		createdMsOf(a.metadata) - createdMsOf(b.metadata) ||
		compareText(a.metadata.namespace, b.metadata.namespace) ||
		compareText(a.metadata.name, b.metadata.name)
	);
}

/** The order of `byAge` for what was made of objects. */
export function oldestFirst(a: Dated, b: Dated): number {
	return a.createdMs - b.createdMs || compareText(a.name, b.name) || compareText(a.namespace, b.namespace);
}

interface Dated {
	readonly createdMs: number;
	readonly name: string;
	readonly namespace: string;
}

export function compareText(a: string, b: string): number {
	return a < b ? -1 : a > b ? 1 : 0;
}
