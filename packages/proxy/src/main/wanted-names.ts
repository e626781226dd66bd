import { extensionKey } from "../config/discovered-filters.ts";
import { keyOf, type ResourceReference } from "../config/resource-source.ts";
import type { Wanted } from "./config-plan.ts";
import { referencesOfCluster, referencesOfExtension, referencesOfListener } from "./references.ts";

/** Types whose resources are asked for by name. */
export const namedTypes = ["eds", "rds", "vhds", "sds", "ecds"] as const;
export type NamedType = (typeof namedTypes)[number];

/** By key. Of virtual hosts the name of their table, which stands for all of them. */
export type WantedNames = Readonly<Record<NamedType, ReadonlyMap<string, ResourceReference>>>;

/** Exactly what the wanted clusters, listeners and filters refer to. */
export function wantedNames({ clusters, extensions, listeners, routes }: Pick<Wanted, "clusters" | "extensions" | "listeners" | "routes">): WantedNames {
	const none = () => new Map<string, ResourceReference>();
	const names = { eds: none(), rds: none(), vhds: none(), sds: none(), ecds: none() };
	const add = (type: "rds" | "sds", references: ReadonlyMap<string, ResourceReference>) => {
		for (const [key, reference] of references) names[type].set(key, reference);
	};
	for (const { assignment, cluster } of clusters.values()) {
		if (assignment !== undefined) names.eds.set(keyOf(assignment), assignment);
		add("sds", referencesOfCluster(cluster).secrets);
	}
	for (const listener of listeners.values()) {
		const references = referencesOfListener(listener);
		add("rds", references.routes);
		add("sds", references.secrets);
		for (const use of references.discovered) names.ecds.set(extensionKey(use), { name: use.name, source: use.discovery.source });
	}
	for (const extension of extensions.values()) add("rds", referencesOfExtension(extension).routes);
	for (const key of names.rds.keys()) {
		const vhds = routes.get(key)?.vhds;
		if (vhds) names.vhds.set(keyOf(vhds), vhds);
	}
	return names;
}
