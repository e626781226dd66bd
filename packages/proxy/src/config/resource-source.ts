/** Where resources come from that are not in line: what `envoy.config.core.v3.ConfigSource` says. */

interface Common {
	/** Equal sources have the same. */
	readonly id: string;
	/** 0: for ever. */
	readonly initialFetchTimeoutMs: number;
}

/** The stream of `ads_config`. */
export interface AdsSource extends Common {
	readonly kind: "ads";
	readonly id: "";
}

/** A file of xDS resources (`path_config_source`). */
export interface FileSource extends Common {
	readonly kind: "file";
	readonly path: string;
	/** undefined: the file's own. */
	readonly watchedFolder: string | undefined;
}

/** The type's own service at a management server (`api_config_source`). */
export interface StreamSource extends Common {
	readonly kind: "stream";
	readonly mode: "delta" | "sotw";
	/** How fast requests may leave. */
	readonly rate?: { readonly tokensMax: number; readonly tokensPerSecond: number };
	/** `envoy.config.core.v3.GrpcService` as canonical JSON: only the main thread speaks to it. */
	readonly service: string;
}

export type ResourceSource = AdsSource | FileSource | StreamSource;

/** A resource that something refers to by name. */
export interface ResourceReference {
	readonly name: string;
	/** undefined: ADS. */
	readonly source?: ResourceSource | undefined;
}

/** What tells a resource from those of its name that other sources have. */
export function resourceKey(name: string, source: Pick<ResourceSource, "id"> | undefined): string {
	return source === undefined || source.id === "" ? name : `${name}@${source.id}`;
}

export function keyOf({ name, source }: ResourceReference): string {
	return resourceKey(name, source);
}
