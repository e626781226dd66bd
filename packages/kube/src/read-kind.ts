import type { AnyConfig, Diagnostic, Kind } from "@weft/api";
import { decodeValue } from "@weft/galley";
import type { KubeClient, ListOptions } from "./client.ts";
import { hasStatus } from "./errors.ts";
import { apiVersionOf, type KubeObject, otherVersionsOf, type ResourceType, resourceOf } from "./resource.ts";

export interface ReadKindOptions extends ListOptions {
	/** Objects to leave out, as they come; default none. */
	readonly ignore?: (object: KubeObject) => boolean;
}

export interface KindObjects {
	/** Without those that are not valid. */
	readonly objects: readonly AnyConfig[];
	readonly diagnostics: readonly Diagnostic[];
}

/** All objects of a kind as they are now, whole and as values of `api`; none where the cluster does not have the kind. Rejects as `KubeClient.list` does. */
export async function readKind(client: KubeClient, kind: Kind, { ignore, ...options }: ReadKindOptions = {}): Promise<KindObjects> {
	const first = resourceOf(kind);
	for (const type of [first, ...otherVersionsOf(kind).map((version) => ({ ...first, version }))]) {
		const items = await listOf(client, type, options);
		if (items) return decodeItems(ignore ? items.filter((item) => !ignore(item)) : items, type);
	}
	return { objects: [], diagnostics: [] };
}

/** Undefined where the version is not served. */
async function listOf(client: KubeClient, type: ResourceType, options: ListOptions): Promise<readonly KubeObject[] | undefined> {
	try {
		return (await client.list(type, options)).items;
	} catch (error) {
		if (hasStatus(error, 404)) return undefined;
		throw error;
	}
}

function decodeItems(items: readonly KubeObject[], type: ResourceType): KindObjects {
	const into = { objects: [] as AnyConfig[], diagnostics: [] as Diagnostic[] };
	// Lists leave out what all their items have in common.
	for (const item of items) decodeValue({ ...item, apiVersion: item.apiVersion ?? apiVersionOf(type), kind: type.kind }, {}, into, 0);
	return into;
}
