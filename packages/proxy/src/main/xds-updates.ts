import { type Any, stripTypeUrl, typeUrls, type XdsType, xdsTypeOf } from "@weft/xds";
import type { ApplyUpdate, RejectedResource, XdsUpdate } from "@weft/xds/client";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { ScopedRouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/scoped_route.ts";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
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
import { type ExtensionConfig, misfit } from "../config/discovered-filters.ts";
import { findScopeConflict, type RouteScope } from "../config/route-scopes.ts";
import type { WantedKind } from "../config/worker-messages.ts";
import { findUnknownClusters, findUnknownClustersOfListener } from "../config/unknown-clusters.ts";
import type { ConfigStore, WantedChange } from "./config-store.ts";
import { type DiscoveredHost, tableOfHost, withoutTakenDomains } from "./discovered-hosts.ts";
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
	/** Of what somebody may wait for: it is in force. */
	readonly onAnswered: (what: WantedKind, names: readonly string[]) => void;
	/** It does not exist. */
	readonly onAbsent: (what: WantedKind, names: readonly string[]) => void;
}

interface Decoder {
	readonly field: Exclude<keyof WantedChange, "expired" | "awaited" | "resolved" | "forgottenTables" | "forgetsScopes">;
	readonly decode: (bytes: Uint8Array, environment: DecodeEnvironment, name: string, store: ConfigStore) => Decoded<unknown>;
}

/** What does not configure the data path: names, roots, and what is laid over the bootstrap. */
const ofOthers = ["nds", "pcds", "bootstrap"] as const;

const decoders: Readonly<Record<Exclude<XdsType, (typeof ofOthers)[number]>, Decoder>> = {
	cds: { field: "clusters", decode: (bytes, environment) => decodeCluster(Cluster.decode(bytes), environment) },
	eds: { field: "assignments", decode: (bytes) => decodeAssignment(ClusterLoadAssignment.decode(bytes)) },
	lds: {
		field: "listeners",
		decode: (bytes, environment, _, { wanted }) =>
			refusing(decodeListener(Listener.decode(bytes), environment), (listener) => findUnknownClustersOfListener(listener, isWanted(wanted))),
	},
	rds: {
		field: "routes",
		decode: (bytes, environment, _, { wanted }) =>
			refusing(decodeRouteTable(RouteConfiguration.decode(bytes), environment), (table) => findUnknownClusters(table, isWanted(wanted))),
	},
	vhds: { field: "virtualHosts", decode: decodeHost },
	ecds: { field: "extensions", decode: decodeExtension },
	srds: { field: "scopes", decode: decodeScope },
	sds: { field: "secrets", decode: (bytes, environment) => decodeSecret(Secret.decode(bytes), environment) },
};

const isWanted =
	({ clusters }: ConfigStore["wanted"]) =>
	(cluster: string) =>
		clusters.has(cluster);

/** What decodes and is wrong all the same, beside what else is there. */
function refusing<T>({ value, errors }: Decoded<T>, check: (value: T) => readonly string[]): Decoded<T> {
	const wrong = value === undefined ? [] : check(value);
	return wrong.length === 0 ? { value, errors } : { value: undefined, errors: [...errors, ...wrong] };
}

function decodeHost(bytes: Uint8Array, environment: DecodeEnvironment, name: string, { wanted }: ConfigStore): Decoded<DiscoveredHost> {
	const table = wanted.routes.get(tableOfHost(name));
	if (table === undefined) return { value: undefined, errors: ["virtual host of a route table that is not there"] };
	const { value, errors } = decodeDiscoveredHost(name, VirtualHost.decode(bytes), table.maxDirectResponseBodyBytes, environment);
	return { value: value && { name, host: value }, errors };
}

function decodeScope(bytes: Uint8Array, environment: DecodeEnvironment, _: string, { wanted }: ConfigStore): Decoded<RouteScope> {
	return refusing(decodeRouteScope(ScopedRouteConfiguration.decode(bytes), environment), ({ routes }) =>
		routes.kind === "inline" ? findUnknownClusters(routes.table, isWanted(wanted)) : [],
	);
}

/** It must suit every filter that takes it, as in Envoy. */
function decodeExtension(bytes: Uint8Array, environment: DecodeEnvironment, _: string, { wanted }: ConfigStore): Decoded<ExtensionConfig> {
	const { value, errors } = decodeExtensionConfig(TypedExtensionConfig.decode(bytes), environment);
	if (value === undefined) return { value, errors };
	const uses = [...wanted.listeners.values()].flatMap((listener) => referencesOfListener(listener).discovered).filter(({ name }) => name === value.name);
	const wrong = new Set(uses.map((use) => misfit(use, value)).filter((message) => message !== undefined));
	return wrong.size === 0 ? { value, errors: [] } : { value: undefined, errors: [...wrong] };
}

/**
 * Decodes a response and puts it in force. The good resources of a response count, the bad ones are refused by name, as
 * Envoy does (cds_api_helper): one listener that cannot be had must not hold up the others. Unchanged bytes change nothing.
 */
export function applyUpdates(target: UpdateTarget): ApplyUpdate {
	return async (update) => {
		const type = xdsTypeOf(update.typeUrl);
		const decoder = type === undefined ? undefined : (decoders as Partial<Record<XdsType, Decoder>>)[type];
		if (type === undefined || decoder === undefined) return [{ name: "", message: `resources of type ${stripTypeUrl(update.typeUrl)} are not implemented` }];
		const rejected: RejectedResource[] = [];
		const decoded = decodeChanged(type, decoder, update, target, rejected);
		if (type === "srds" && refusesScopes(decoded.changed as readonly RouteScope[], update, target, rejected)) return rejected;
		const { changed } = decoded;
		for (const record of decoded.records) target.records.set(type, record);
		const upsert = type === "vhds" ? withoutTakenDomains(changed as DiscoveredHost[], update.removed, target.store.wanted, rejected) : changed;
		const gone = update.removed.filter((name) => !isStatic(target, type, name));
		// A secret that is in use stays, as in Envoy; one that was waited for is not there: what needs it is served, and refuses handshakes.
		const remove = type === "sds" ? [] : gone;
		const expired = type === "sds" || type === "ecds" ? gone.map((name) => `${type}:${name}`) : [];
		// A filter whose configuration is refused is not waited for any longer (Envoy: progress though the control plane is wrong).
		if (type === "ecds") expired.push(...rejected.filter(({ name }) => !target.store.wanted.extensions.has(name)).map(({ name }) => `ecds:${name}`));
		// As in Envoy, nothing waits for endpoints or routes that do not exist.
		const { assignments, routes } = target.store.wanted;
		const known: ReadonlyMap<string, unknown> | undefined = type === "eds" ? assignments : type === "rds" ? routes : undefined;
		if (known !== undefined) expired.push(...gone.filter((name) => !known.has(name)).map((name) => `${type}:${name}`));
		// Nothing before it is asked for by name: tables do not wait for their virtual hosts any longer.
		if (type === "vhds" && update.resources.length + update.removed.length === 0) {
			for (const { name, vhds } of target.store.wanted.routes.values()) if (vhds) expired.push(`vhds:${name}`);
		}
		for (const name of remove) target.records.remove(type, name);
		target.records.setVersion(type, update.version);
		const applied = target.store.apply({ [decoder.field]: { upsert, remove }, expired });
		target.onWanted();
		const names = new Set(update.resources.map(({ name }) => name));
		for (const { resource, message } of await applied) if (names.has(resource)) rejected.push({ name: resource, message });
		if (type === "vhds") target.onAnswered("host", [...names]);
		const wantedKind = wantedKinds[type];
		if (wantedKind !== undefined) target.onAbsent(wantedKind, gone);
		// As in Envoy: nobody waits for what was refused.
		if (type === "cds") target.onAnswered("cluster", [...new Set(rejected.map(({ name }) => name))]);
		if (type === "ecds") countExtensions(target.extensionStats, update, changed as readonly ExtensionConfig[], rejected);
		for (const { name, message } of rejected) target.records.fail(type, name, { details: message, version: update.version, attemptMs: target.nowMs() });
		return rejected;
	};
}

const wantedKinds: Readonly<Partial<Record<XdsType, WantedKind>>> = { vhds: "host", cds: "cluster", rds: "routes" };

/** A response with a bad scope, or with a key that another scope has, changes nothing, as in Envoy: one request has one scope. */
function refusesScopes(scopes: readonly RouteScope[], update: XdsUpdate, target: UpdateTarget, rejected: RejectedResource[]): boolean {
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

function countExtensions(stats: ExtensionStats, { resources }: XdsUpdate, changed: readonly ExtensionConfig[], rejected: readonly RejectedResource[]): void {
	const bad = new Set(rejected.map(({ name }) => name));
	const fresh = new Set(changed.map(({ name }) => name));
	for (const { name } of resources) {
		stats.count(name, "update_attempt");
		if (bad.has(name)) stats.count(name, "config_fail", "update_rejected");
		else stats.count(name, "update_success", ...(fresh.has(name) ? (["config_reload"] as const) : []));
	}
}

function isStatic({ records }: UpdateTarget, type: XdsType, name: string): boolean {
	return records.get(type, name)?.isStatic ?? false;
}

interface Changed {
	readonly changed: unknown[];
	/** Of everything that is good. */
	readonly records: ResourceRecord[];
}

function decodeChanged(type: XdsType, { decode }: Decoder, update: XdsUpdate, target: UpdateTarget, rejected: RejectedResource[]): Changed {
	const changed: unknown[] = [];
	const records: ResourceRecord[] = [];
	for (const { name, version, resource } of update.resources) {
		const before = target.records.get(type, name);
		if (before?.isStatic) {
			rejected.push({ name, message: "static resources cannot be changed" });
			continue;
		}
		const isSame = before !== undefined && Buffer.from(before.resource.value).equals(resource.value) && target.records.failure(type, name) === undefined;
		if (!isSame) {
			const { value, errors } = decodeOne((bytes, environment) => decode(bytes, environment, name, target.store), type, resource, target.environment);
			for (const message of errors) rejected.push({ name, message });
			if (value === undefined) continue;
			changed.push(value);
		}
		records.push({ name, resource, version, isStatic: false, updatedMs: isSame ? before.updatedMs : target.nowMs() });
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
