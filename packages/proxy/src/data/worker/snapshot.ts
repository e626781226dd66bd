import type { Extensions } from "../../config/discovered-filters.ts";
import type { Secret } from "../../config/tls.ts";
import type { CompiledRouteTable } from "../match/route-table.ts";
import type { CompiledScopes } from "../match/scope-key.ts";
import type { ClusterRuntime } from "../upstream/cluster-runtime.ts";

/** One consistent configuration. Requests keep the one they started with. */
export interface Snapshot {
	readonly clusters: ReadonlyMap<string, ClusterRuntime>;
	readonly routes: ReadonlyMap<string, CompiledRouteTable>;
	readonly scopes: CompiledScopes;
	readonly secrets: ReadonlyMap<string, Secret>;
	/** Configurations of filters that came by themselves. */
	readonly extensions: Extensions;
}

export const emptySnapshot: Snapshot = { clusters: new Map(), routes: new Map(), scopes: new Map(), secrets: new Map(), extensions: new Map() };
