import { type Any, typeUrls, type XdsType } from "@weft/xds";

/** One resource as it was received, for `/config_dump`. */
export interface ResourceRecord {
	readonly name: string;
	/** Tells it from those of its name that other sources have; absent: the name. */
	readonly key?: string;
	/** Encoded; decoded only when somebody looks. */
	readonly resource: Any;
	/** "" for static resources. */
	readonly version: string;
	readonly isStatic: boolean;
	readonly updatedMs: number;
}

export interface ResourceFailure {
	readonly details: string;
	readonly version: string;
	readonly attemptMs: number;
}

export const recordKey = ({ key, name }: Pick<ResourceRecord, "key" | "name">): string => key ?? name;

/** What was received, type by type, and the last refusal of each resource. */
export class ResourceRecords {
	readonly #records = new Map<XdsType, Map<string, ResourceRecord>>();
	readonly #failures = new Map<XdsType, Map<string, ResourceFailure>>();
	readonly #versions = new Map<XdsType, string>();

	set(type: XdsType, record: ResourceRecord): void {
		const { typeUrl, value } = record.resource;
		// A slice of its own: the decoder's keeps the whole response alive.
		mapOf(this.#records, type).set(recordKey(record), { ...record, resource: { typeUrl, value: value.slice() } });
		this.#failures.get(type)?.delete(recordKey(record));
	}

	remove(type: XdsType, key: string): void {
		this.#records.get(type)?.delete(key);
		this.#failures.get(type)?.delete(key);
	}

	fail(type: XdsType, key: string, failure: ResourceFailure): void {
		mapOf(this.#failures, type).set(key, failure);
	}

	setVersion(type: XdsType, version: string): void {
		this.#versions.set(type, version);
	}

	version(type: XdsType): string {
		return this.#versions.get(type) ?? "";
	}

	get(type: XdsType, key: string): ResourceRecord | undefined {
		return this.#records.get(type)?.get(key);
	}

	all(type: XdsType): readonly ResourceRecord[] {
		return [...(this.#records.get(type)?.values() ?? [])];
	}

	failure(type: XdsType, key: string): ResourceFailure | undefined {
		return this.#failures.get(type)?.get(key);
	}

	failures(type: XdsType): ReadonlyMap<string, ResourceFailure> {
		return this.#failures.get(type) ?? new Map();
	}
}

function mapOf<T>(maps: Map<XdsType, Map<string, T>>, type: XdsType): Map<string, T> {
	let map = maps.get(type);
	if (!map) maps.set(type, (map = new Map()));
	return map;
}

export function staticRecord(type: XdsType, name: string, value: Uint8Array, nowMs: number): ResourceRecord {
	return { name, resource: { typeUrl: typeUrls[type], value }, version: "", isStatic: true, updatedMs: nowMs };
}
