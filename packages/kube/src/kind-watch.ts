import { type AnyConfig, type Diagnostic, formatDiagnostic, isKindOf, type Kind, type ObjectRef } from "@weft/api";
import { decodeValue } from "@weft/galley";
import type { Clock, Logger } from "@weft/runtime";
import type { KubeClient } from "./client.ts";
import { apiVersionOf, type KubeObject, otherVersionsOf, type ResourceType, resourceOf } from "./resource.ts";
import { type ResourceWatch, type WatchState, watchResource } from "./resource-watch.ts";
import { trimObject } from "./trim.ts";

/** AnyConfig of one kind, or of several: a union again. */
type Config<K extends Kind> = Extract<AnyConfig, { readonly kind: K }>;

export interface KindChange<K extends Kind> {
	readonly upsert: readonly Config<K>[];
	readonly remove: readonly ObjectRef[];
	/** Of every object that has any, as it is now. */
	readonly diagnostics: readonly Diagnostic[];
}

/** An object as the API server has it, beside its content: for who writes its status. */
export interface ObservedObject {
	/** In the version in which it is served. */
	readonly type: ResourceType;
	readonly namespace: string;
	readonly name: string;
	readonly uid: string | undefined;
	/** Of the content that was read last, valid or not. */
	readonly generation: number | undefined;
	readonly status: unknown;
	/** What is wrong with that content: its last valid one, if there was any, is in force. */
	readonly diagnostics: readonly Diagnostic[];
}

export interface KindWatchOptions<K extends Kind> {
	readonly namespace?: string;
	readonly labelSelector?: string;
	readonly fieldSelector?: string;
	readonly objectsMax?: number;
	readonly signal: AbortSignal;
	readonly clock: Clock;
	readonly logger: Logger;
	readonly random?: () => number;
	/** Objects to leave out, as they come; default none. */
	readonly ignore?: (object: KubeObject) => boolean;
	/** Kept up to date by `namespace/name`. Objects are then without status: who writes that is not told of it as of a change. */
	readonly observed?: Map<string, ObservedObject>;
	/** Called after the first LIST even if there is nothing, then for each batch of changes. */
	onChange(change: KindChange<K>): void;
	onState?(state: WatchState, reason: string): void;
}

/**
 * The objects of a kind as values of `api`, trimmed to what the mesh reads. An object that is not valid (older than the
 * webhook, or past it) keeps its last valid content in force and is told of; the others are not touched by it.
 */
export function watchKind<K extends Kind>(client: KubeClient, kind: K, options: KindWatchOptions<K>): ResourceWatch {
	const table = new KindTable(kind, options);
	const { onChange: _, ignore: _ignore, observed: _observed, ...watch } = options;
	const started = watchResource(client, resourceOf(kind), {
		...watch,
		otherVersions: otherVersionsOf(kind),
		onList: (objects) => table.list(objects, started.type),
		onEvents: (events) => table.events(events),
	});
	return started;
}

interface Known {
	readonly ref: ObjectRef;
	/** What the API server said last: the same again need not be read again. */
	readonly resourceVersion: string;
}

class KindTable<K extends Kind> {
	readonly #kind: K;
	/** In the version that was read last. */
	#type: ResourceType;
	readonly #options: KindWatchOptions<K>;
	readonly #known = new Map<string, Known>();
	readonly #problems = new Map<string, readonly Diagnostic[]>();

	constructor(kind: K, options: KindWatchOptions<K>) {
		this.#kind = kind;
		this.#type = resourceOf(kind);
		this.#options = options;
	}

	list(objects: readonly KubeObject[], type: ResourceType): void {
		// Every object is new in another version.
		if (type.version !== this.#type.version) for (const [key, { ref }] of this.#known) this.#known.set(key, { ref, resourceVersion: "" });
		this.#type = type;
		const upsert: Config<K>[] = [];
		const listed = new Set<string>();
		for (const object of objects) {
			if (this.#options.ignore?.(object)) continue;
			const key = keyOf(object);
			listed.add(key);
			const decoded = this.#take(key, object);
			if (decoded) upsert.push(decoded);
		}
		const gone = [...this.#known].filter(([key]) => !listed.has(key));
		for (const [key] of gone) this.#forget(key);
		this.#tell(
			upsert,
			gone.map(([, { ref }]) => ref),
		);
	}

	events(events: readonly { readonly type: "upsert" | "delete"; readonly object: KubeObject }[]): void {
		// The last word on each object counts.
		const upsert = new Map<string, Config<K>>();
		const remove = new Map<string, ObjectRef>();
		for (const { type, object } of events) {
			const key = keyOf(object);
			if (type === "delete" || this.#options.ignore?.(object)) {
				const known = this.#known.get(key);
				if (known) remove.set(key, known.ref);
				upsert.delete(key);
				this.#forget(key);
				continue;
			}
			remove.delete(key);
			const decoded = this.#take(key, object);
			if (decoded) upsert.set(key, decoded);
		}
		this.#tell([...upsert.values()], [...remove.values()]);
	}

	/** The object where it is new and valid. */
	#take(key: string, object: KubeObject): Config<K> | undefined {
		const { resourceVersion = "" } = object.metadata;
		if (this.#known.get(key)?.resourceVersion === resourceVersion && resourceVersion !== "") return undefined;
		this.#known.set(key, { ref: { kind: this.#kind, namespace: object.metadata.namespace ?? "", name: object.metadata.name }, resourceVersion });
		const into = { objects: [] as AnyConfig[], diagnostics: [] as Diagnostic[] };
		// Lists leave out what all their items have in common.
		const { status, ...trimmed } = trimObject(this.#kind, object);
		const { observed } = this.#options;
		const content = observed || status === undefined ? trimmed : { ...trimmed, status };
		decodeValue({ ...content, apiVersion: object.apiVersion ?? apiVersionOf(this.#type), kind: this.#type.kind }, {}, into, 0);
		const told = into.diagnostics.filter((d) => d.severity !== "info");
		if (told.length > 0) this.#problems.set(key, told);
		else this.#problems.delete(key);
		observed?.set(key, observe(object, this.#type, told));
		const [decoded] = into.objects;
		if (decoded && isKindOf(decoded, this.#kind)) return decoded;
		const { logger } = this.#options;
		logger.warn("object is not valid; its last valid content stays in force", { problem: told.map(formatDiagnostic).join("; ").slice(0, 1000) });
		return undefined;
	}

	#forget(key: string): void {
		this.#known.delete(key);
		this.#problems.delete(key);
		this.#options.observed?.delete(key);
	}

	#tell(upsert: readonly Config<K>[], remove: readonly ObjectRef[]): void {
		this.#options.onChange({ upsert, remove, diagnostics: [...this.#problems.values()].flat() });
	}
}

function observe({ metadata, status }: KubeObject, type: ResourceType, diagnostics: readonly Diagnostic[]): ObservedObject {
	const { namespace = "", name, uid } = metadata;
	const generation = typeof metadata["generation"] === "number" ? metadata["generation"] : undefined;
	return { type, namespace, name, uid, generation, status, diagnostics };
}

const keyOf = ({ metadata }: KubeObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
