/**
 * What the main thread sends to the workers: everything a worker needs to serve, as plain values that survive
 * structured cloning. The main thread decodes and checks Envoy's messages (`decode/`); a worker compiles these
 * values into functions and tables (`data/`) and never sees a protobuf. So the data path can be tested, and can
 * run, without xDS; and no worker carries the codecs.
 */

import type { Cluster } from "./clusters.ts";
import type { ExtensionConfig } from "./discovered-filters.ts";
import type { ClusterHosts } from "./hosts.ts";
import type { Listener } from "./listeners.ts";
import type { RouteScope } from "./route-scopes.ts";
import type { RouteTable, VirtualHost } from "./routes.ts";
import type { RuntimeEntries } from "./runtime-values.ts";
import type { Secret } from "./tls.ts";

/** Who this proxy is, for metrics, logs and XFCC. */
export interface NodeInfo {
	readonly id: string;
	readonly cluster: string;
	readonly metadata: Readonly<Record<string, unknown>>;
	readonly locality: { readonly region: string; readonly zone: string; readonly subZone: string };
}

/** One atomic change: a worker compiles all of it, then swaps its snapshot by one assignment, then acknowledges `id`. */
export interface ConfigUpdate {
	readonly id: number;
	readonly listeners: Changes<Listener>;
	readonly clusters: Changes<Cluster>;
	readonly hosts: readonly ClusterHosts[];
	readonly routes: Changes<RouteTable>;
	/** That came by themselves (SRDS). */
	readonly scopes: Changes<RouteScope>;
	/** Of tables that are in force and change in nothing else. */
	readonly virtualHosts: readonly VirtualHostChanges[];
	/** Configurations of filters that come by themselves. */
	readonly extensions: Changes<ExtensionConfig>;
	readonly secrets: Changes<Secret>;
	/** All of it; absent: as before. */
	readonly runtime?: RuntimeEntries;
}

export interface VirtualHostChanges extends Changes<VirtualHost> {
	readonly table: string;
}

export interface Changes<T> {
	readonly upsert: readonly T[];
	readonly remove: readonly string[];
}
