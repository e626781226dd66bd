import type { ConfigObject, Kind } from "@weft/api";

/** What a push snapshot is built from; galley's store snapshot is one. Objects keep their identity while they do not change. */
export interface ConfigSnapshot {
	readonly version: number;
	all<K extends Kind>(kind: K): readonly ConfigObject<K>[];
}
