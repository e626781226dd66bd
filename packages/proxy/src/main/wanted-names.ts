import { extensionKey } from "../config/discovered-filters.ts";
import { keyOf, type ResourceReference } from "../config/resource-source.ts";
import type { RouteTable } from "../config/routes.ts";
import type { Wanted } from "./config-plan.ts";
import { type References, referencesOfCluster, referencesOfExtension, referencesOfListener } from "./references.ts";

/** Types whose resources are asked for by name. */
export const namedTypes = ["eds", "rds", "vhds", "srds", "sds", "ecds"] as const;
export type NamedType = (typeof namedTypes)[number];

/** By key. Of virtual hosts the name of their table, which stands for all of them; of scopes `*`, or none. */
export type WantedNames = Readonly<Record<NamedType, ReadonlyMap<string, ResourceReference>>>;

/** Exactly what the wanted clusters, listeners and filters refer to. `isFetched`: of a scope's table on demand, whether somebody wanted it. */
export function wantedNames(wanted: Wanted, isFetched: (table: string) => boolean): WantedNames {
	const { clusters, extensions, inlineTables, listeners, routes } = wanted;
	const none = () => new Map<string, ResourceReference>();
	const names = { eds: none(), rds: none(), vhds: none(), srds: none(), sds: none(), ecds: none() };
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
	if (scopePrefixes(wanted).size > 0) {
		names.srds.set("*", { name: "*" });
		for (const { onDemand, routes } of wanted.scopes?.values() ?? [])
			if (routes.kind === "rds" && (!onDemand || isFetched(routes.name))) names.rds.set(routes.name, { name: routes.name });
	}
	for (const { vhds } of [...inlineTables.values(), ...[...names.rds.keys()].flatMap((key) => routes.get(key) ?? [])])
		if (vhds) names.vhds.set(keyOf(vhds), vhds);
	return names;
}

/** Of the statistics of those that want scopes. */
export function scopePrefixes(wanted: Users): ReadonlySet<string> {
	return new Set(referencesOfUsers(wanted).flatMap(({ scopes }) => [...scopes]));
}

/** Route tables in line whose virtual hosts come by themselves, by their keys. */
export function inlineTablesOf(wanted: Users): ReadonlyMap<string, RouteTable> {
	return new Map(referencesOfUsers(wanted).flatMap(({ inlineTables }) => [...inlineTables]));
}

type Users = Pick<Wanted, "extensions" | "listeners">;

function referencesOfUsers({ extensions, listeners }: Users): readonly References[] {
	return [...[...listeners.values()].map(referencesOfListener), ...[...extensions.values()].map(referencesOfExtension)];
}
