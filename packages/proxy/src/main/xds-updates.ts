import { type Any, stripTypeUrl, typeUrls, type XdsType, xdsTypeOf } from "@weft/xds";
import type { RejectedResource, XdsUpdate } from "@weft/xds/client";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { ScopedRouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/scoped_route.ts";
import { VirtualHost } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { Secret } from "@weft/xds/generated/envoy/extensions/transport_sockets/tls/v3/secret.ts";
import {
	type DecodeEnvironment,
	decodeAssignment,
	decodeCluster,
	decodeDiscoveredHost,
	decodeExtensionConfig,
	type Decoded,
	decodeListener,
	decodeRouteScope,
	decodeRouteTable,
	decodeSecret,
} from "../config/decode/index.ts";
import { type ExtensionConfig, extensionKey, misfit } from "../config/discovered-filters.ts";
import { keyOf, type ResourceReference, resourceKey, type ResourceSource } from "../config/resource-source.ts";
import { findScopeConflict, type RouteScope } from "../config/route-scopes.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import { findUnknownClusters, findUnknownClustersOfListener } from "../config/unknown-clusters.ts";
import type { ConfigStore, WantedChange } from "./config-store.ts";
import { type DiscoveredHost, tableOfHost, tablesOf, tableWith, withoutTakenDomains } from "./discovered-hosts.ts";
import type { ExtensionStats } from "./extension-stats.ts";
import { referencesOfListener } from "./references.ts";
import type { ResourceRecord, ResourceRecords } from "./resource-records.ts";
import type { ScopeStats } from "./scope-stats.ts";

export interface UpdateTarget {
	readonly store: ConfigStore;
	readonly records: ResourceRecords;
	readonly environment: DecodeEnvironment;
	readonly nowMs: () => number;
	readonly extensionStats: ExtensionStats;
	readonly scopeStats: ScopeStats;
	/** Called once a change is wanted, before it is in force: subscriptions follow it. */
	readonly onWanted: () => void;
	/** Of what somebody may wait for, by key: it is in force. */
	readonly onAnswered: (what: WantedKind, keys: readonly string[]) => void;
	/** It does not exist. */
	readonly onAbsent: (what: WantedKind, keys: readonly string[]) => void;
}

/** What came from there: undefined is ADS. */
export type ApplyFrom = (update: XdsUpdate, source: ResourceSource | undefined) => Promise<readonly RejectedResource[]>;

/** A resource that came. */
interface Came {
	readonly name: string;
	readonly key: string;
}

interface Decoder {
	readonly field: Exclude<keyof WantedChange, "expired" | "awaited" | "resolved" | "forgottenTables" | "forgetsScopes">;
	/** Gives the value under its key. */
	readonly decode: (bytes: Uint8Array, environment: DecodeEnvironment, came: Came, store: ConfigStore) => Decoded<unknown>;
}

/** What others take before it comes here: runtime layers, names, roots, and what is laid over the bootstrap. */
const ofOthers = ["rtds", "nds", "pcds", "bootstrap"] as const;

const decoders: Readonly<Record<Exclude<XdsType, (typeof ofOthers)[number]>, Decoder>> = {
	cds: { field: "clusters", decode: (bytes, environment) => decodeCluster(Cluster.decode(bytes), environment) },
	eds: {
		field: "assignments",
		decode: (bytes, _, { key }) => as(decodeAssignment(ClusterLoadAssignment.decode(bytes)), (hosts) => ({ ...hosts, cluster: key })),
	},
	lds: {
		field: "listeners",
		decode: (bytes, environment, _, { wanted }) =>
			refusing(decodeListener(Listener.decode(bytes), environment), (listener) => findUnknownClustersOfListener(listener, isWanted(wanted))),
	},
	rds: {
		field: "routes",
		decode: (bytes, environment, { key }, { wanted }) =>
			as(
				refusing(decodeRouteTable(RouteConfiguration.decode(bytes), environment), (table) => findUnknownClusters(table, isWanted(wanted))),
				(table) => ({ ...table, name: key }),
			),
	},
	vhds: { field: "virtualHosts", decode: decodeHost },
	ecds: { field: "extensions", decode: decodeExtension },
	srds: { field: "scopes", decode: decodeScope },
	sds: {
		field: "secrets",
		decode: (bytes, environment, { key }) => as(decodeSecret(Secret.decode(bytes), environment), (secret) => ({ ...secret, name: key })),
	},
};

const isWanted =
	({ clusters }: ConfigStore["wanted"]) =>
	(cluster: string) =>
		clusters.has(cluster);

function as<T>({ value, errors }: Decoded<T>, change: (value: T) => T): Decoded<T> {
	return { value: value && change(value), errors };
}

/** What decodes and is wrong all the same, beside what else is there. */
function refusing<T>({ value, errors }: Decoded<T>, check: (value: T) => readonly string[]): Decoded<T> {
	const wrong = value === undefined ? [] : check(value);
	return wrong.length === 0 ? { value, errors } : { value: undefined, errors: [...errors, ...wrong] };
}

function decodeHost(bytes: Uint8Array, environment: DecodeEnvironment, { name, key }: Came, { wanted }: ConfigStore): Decoded<DiscoveredHost> {
	const table = tableWith(tableOfHost(key), tablesOf(wanted));
	if (table === undefined) return { value: undefined, errors: ["virtual host of a route table that is not there"] };
	const { value, errors } = decodeDiscoveredHost(name, VirtualHost.decode(bytes), table.maxDirectResponseBodyBytes, environment);
	return { value: value && { name: key, host: value }, errors };
}

function decodeScope(bytes: Uint8Array, environment: DecodeEnvironment, _: Came, { wanted }: ConfigStore): Decoded<RouteScope> {
	return refusing(decodeRouteScope(ScopedRouteConfiguration.decode(bytes), environment), ({ routes }) =>
		routes.kind === "inline" ? findUnknownClusters(routes.table, isWanted(wanted)) : [],
	);
}

/** It must suit every filter that takes it, as in Envoy. */
function decodeExtension(bytes: Uint8Array, environment: DecodeEnvironment, { key }: Came, { wanted }: ConfigStore): Decoded<ExtensionConfig> {
	const { value, errors } = decodeExtensionConfig(TypedExtensionConfig.decode(bytes), environment);
	if (value === undefined) return { value, errors };
	const uses = [...wanted.listeners.values()].flatMap((listener) => referencesOfListener(listener).discovered).filter((use) => extensionKey(use) === key);
	const wrong = new Set(uses.map((use) => misfit(use, value)).filter((message) => message !== undefined));
	return wrong.size === 0 ? { value: { ...value, name: key }, errors: [] } : { value: undefined, errors: [...wrong] };
}

function updateKey(type: XdsType, name: string, source: ResourceSource | undefined): string {
	if (type === "cds" || type === "lds" || type === "srds") return name;
	const table = type === "vhds" ? tableOfHost(name) : "";
	return table === "" ? resourceKey(name, source) : `${resourceKey(table, source)}${name.slice(table.length)}`;
}

/** An update under way. */
interface Incoming {
	readonly type: XdsType;
	readonly update: XdsUpdate;
	readonly source: ResourceSource | undefined;
	/** A resource's key, by its name. */
	readonly keyed: (name: string) => string;
	/** Names of its resources, by their keys. */
	readonly nameOf: ReadonlyMap<string, string>;
	/** So far. */
	readonly rejected: RejectedResource[];
}

/**
 * Decodes a response and puts it in force. The good resources of a response count, the bad ones are refused by name, as
 * Envoy does (cds_api_helper): one listener that cannot be had must not hold up the others. Unchanged bytes change nothing.
 */
export function applyUpdates(target: UpdateTarget): ApplyFrom {
	return async (update, source) => {
		const type = xdsTypeOf(update.typeUrl);
		const decoder = type === undefined ? undefined : (decoders as Partial<Record<XdsType, Decoder>>)[type];
		if (type === undefined || decoder === undefined) return [{ name: "", message: `resources of type ${stripTypeUrl(update.typeUrl)} are not implemented` }];
		const keyed = (name: string) => updateKey(type, name, source);
		const rejected: RejectedResource[] = [];
		const incoming = { type, update, source, keyed, nameOf: new Map(update.resources.map(({ name }) => [keyed(name), name])), rejected };
		const { changed, records } = decodeChanged(incoming, decoder, target);
		if (type === "srds" && refusesScopes(incoming, changed as readonly RouteScope[], target)) return rejected;
		for (const record of records) target.records.set(type, record);
		const gone = update.removed.map(keyed).filter((key) => !isStatic(target, type, key));
		const upsert = type === "vhds" ? hostsWithFreeDomains(incoming, changed as DiscoveredHost[], gone, target.store) : changed;
		// A secret that is in use stays, as in Envoy; one that was waited for is not there: what needs it is served, and refuses handshakes.
		const remove = type === "sds" ? [] : gone;
		const expired = endedWaits(incoming, gone, target.store);
		for (const key of remove) target.records.remove(type, key);
		target.records.setVersion(type, update.version);
		const applied = target.store.apply({ [decoder.field]: { upsert, remove }, expired });
		target.onWanted();
		for (const { resource, message } of await applied) {
			const name = incoming.nameOf.get(resource);
			if (name !== undefined) rejected.push({ name, message });
		}
		if (type === "vhds") target.onAnswered("host", [...incoming.nameOf.keys()]);
		const wantedKind = wantedKinds[type];
		if (wantedKind !== undefined) target.onAbsent(wantedKind, gone);
		// As in Envoy: nobody waits for what was refused.
		if (type === "cds") target.onAnswered("cluster", [...new Set(rejected.map(({ name }) => name))]);
		if (type === "ecds") countExtensions(target.extensionStats, incoming, changed as readonly ExtensionConfig[]);
		for (const { name, message } of rejected) target.records.fail(type, keyed(name), { details: message, version: update.version, attemptMs: target.nowMs() });
		return rejected;
	};
}

/** What is not waited for any longer, since it is known not to come. */
function endedWaits({ type, update, source, keyed, rejected }: Incoming, gone: readonly string[], { wanted }: ConfigStore): readonly string[] {
	if (type === "sds") return gone.map((key) => `sds:${key}`);
	if (type === "ecds") {
		// A filter whose configuration is refused is not waited for any longer (Envoy: progress though the control plane is wrong).
		const refused = rejected.map(({ name }) => keyed(name)).filter((key) => !wanted.extensions.has(key));
		return [...gone, ...refused].map((key) => `ecds:${key}`);
	}
	// As in Envoy, nothing waits for endpoints or routes that do not exist.
	if (type === "eds") return gone.filter((key) => !wanted.assignments.has(key)).map((key) => `eds:${key}`);
	if (type === "rds") return gone.filter((key) => !wanted.routes.has(key)).map((key) => `rds:${key}`);
	if (type !== "vhds" || update.resources.length + update.removed.length > 0) return [];
	// Nothing before it is asked for by name: tables do not wait for their virtual hosts any longer.
	const isOfSource = (vhds: ResourceReference) => resourceKey("", vhds.source) === resourceKey("", source);
	return [...tablesOf(wanted).values()].flatMap(({ vhds }) => (vhds && isOfSource(vhds) ? [`vhds:${keyOf(vhds)}`] : []));
}

function hostsWithFreeDomains(
	{ nameOf, rejected }: Incoming,
	hosts: readonly DiscoveredHost[],
	gone: readonly string[],
	{ wanted }: ConfigStore,
): readonly DiscoveredHost[] {
	const taken: RejectedResource[] = [];
	const free = withoutTakenDomains(hosts, gone, wanted, taken);
	for (const { name, message } of taken) rejected.push({ name: nameOf.get(name) ?? name, message });
	return free;
}

const wantedKinds: Readonly<Partial<Record<XdsType, WantedKind>>> = { vhds: "host", cds: "cluster", rds: "routes" };

/** A response with a bad scope, or with a key that another scope has, changes nothing, as in Envoy: one request has one scope. */
function refusesScopes({ rejected, update }: Incoming, scopes: readonly RouteScope[], target: UpdateTarget): boolean {
	const replaced = new Set([...update.removed, ...update.resources.map(({ name }) => name)]);
	const unchanged = new Set(update.resources.map(({ name }) => name).filter((name) => !scopes.some((scope) => scope.name === name)));
	const others = [...(target.store.wanted.scopes?.values() ?? [])].filter(({ name }) => !replaced.has(name) || unchanged.has(name));
	const conflict = findScopeConflict(scopes, others);
	if (conflict !== undefined) rejected.push(conflict);
	const bad = new Set(rejected.map(({ name }) => name));
	if (bad.size > 0) {
		for (const { name } of update.resources) if (!bad.has(name)) rejected.push({ name, message: "refused together with another scope" });
		if (target.store.wanted.scopes === undefined) void target.store.apply({ expired: ["srds:*"] });
	}
	target.scopeStats.count("update_attempt", ...(rejected.length > 0 ? (["update_rejected"] as const) : (["update_success", "config_reload"] as const)));
	for (const { name, message } of rejected) target.records.fail("srds", name, { details: message, version: update.version, attemptMs: target.nowMs() });
	return rejected.length > 0;
}

function countExtensions(stats: ExtensionStats, { keyed, rejected, update }: Incoming, changed: readonly ExtensionConfig[]): void {
	const bad = new Set(rejected.map(({ name }) => name));
	const fresh = new Set(changed.map(({ name }) => name));
	for (const { name } of update.resources) {
		stats.count(name, "update_attempt");
		if (bad.has(name)) stats.count(name, "config_fail", "update_rejected");
		else stats.count(name, "update_success", ...(fresh.has(keyed(name)) ? (["config_reload"] as const) : []));
	}
}

function isStatic({ records }: UpdateTarget, type: XdsType, key: string): boolean {
	return records.get(type, key)?.isStatic ?? false;
}

const ads: ResourceSource = { kind: "ads", id: "", initialFetchTimeoutMs: 0 };

interface Changed {
	readonly changed: unknown[];
	/** Of everything that is good. */
	readonly records: ResourceRecord[];
}

function decodeChanged({ keyed, rejected, source, type, update }: Incoming, { decode }: Decoder, target: UpdateTarget): Changed {
	const changed: unknown[] = [];
	const records: ResourceRecord[] = [];
	const environment = { ...target.environment, origin: source ?? ads };
	for (const { name, version, resource } of update.resources) {
		const came = { name, key: keyed(name) };
		const before = target.records.get(type, came.key);
		if (before?.isStatic) {
			rejected.push({ name, message: "static resources cannot be changed" });
			continue;
		}
		const isSame = before !== undefined && Buffer.from(before.resource.value).equals(resource.value) && target.records.failure(type, came.key) === undefined;
		if (!isSame) {
			const { value, errors } = decodeOne((bytes, environment) => decode(bytes, environment, came, target.store), type, resource, environment);
			for (const message of errors) rejected.push({ name, message });
			if (value === undefined) continue;
			changed.push(value);
		}
		records.push({ ...came, resource, version, isStatic: false, updatedMs: isSame ? before.updatedMs : target.nowMs() });
	}
	return { changed, records };
}

function decodeOne(
	decode: (bytes: Uint8Array, environment: DecodeEnvironment) => Decoded<unknown>,
	type: XdsType,
	resource: Any,
	environment: DecodeEnvironment,
): Decoded<unknown> {
	if (stripTypeUrl(resource.typeUrl) !== stripTypeUrl(typeUrls[type]))
		return { value: undefined, errors: [`expected a ${stripTypeUrl(typeUrls[type])}, got a ${stripTypeUrl(resource.typeUrl)}`] };
	try {
		return decode(resource.value, environment);
	} catch (error) {
		return { value: undefined, errors: [`undecodable: ${error instanceof Error ? error.message : String(error)}`] };
	}
}
