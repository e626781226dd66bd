import { mergeAny, mergeMessages, packAny, unpackAny } from "@weft/xds";
import type { Filter } from "@weft/xds/generated/envoy/config/listener/v3/listener_components.ts";
import {
	HttpConnectionManager,
	type HttpFilter,
} from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import type { Patch } from "../../model/envoy-filters.ts";
import { isMerge, type ListPatcher, patchList } from "./list-patches.ts";
import type { PatchSet } from "./patch-set.ts";
import { patchRoutes } from "./routes.ts";

const types = {
	network: "envoy.config.listener.v3.Filter",
	http: "envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter",
	manager: "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
} as const;
const managerName = "envoy.filters.network.http_connection_manager";

export interface FilterPatches {
	readonly network: readonly Patch[];
	readonly http: readonly Patch[];
	/** Patches of routes that stand in line, as a server's do. */
	readonly routes: PatchSet | undefined;
}

/** Network filters of one chain, and the HTTP filters inside; the same array where nothing changes. */
export function patchFilters(filters: readonly Filter[], patches: FilterPatches): readonly Filter[] {
	const network = patchFilterList(filters, patches.network, networkPatcher);
	if (patches.http.length === 0 && patches.routes === undefined) return network;
	return network.map((filter) => patchManager(filter, patches));
}

/** What is merged is merged into all that is there in the end. */
function patchFilterList<T>(filters: readonly T[], patches: readonly Patch[], patcher: ListPatcher<T>): readonly T[] {
	const others = patches.filter((patch) => !isMerge(patch));
	return patchList(patchList(filters, others, patcher), patches.filter(isMerge), patcher);
}

const merges: ReadonlySet<"MERGE"> = new Set(["MERGE"]);

function patchManager(filter: Filter, { http, routes }: FilterPatches): Filter {
	if (filter.name !== managerName) return filter;
	const manager = unpackAny(types.manager, HttpConnectionManager, filter.typedConfig);
	if (manager === undefined) return filter;
	const own = http.filter((patch) => !filterName(patch) || filterName(patch) === filter.name);
	const httpFilters = patchFilterList(manager.httpFilters, own, httpPatcher);
	const routeConfig = routes && manager.routeConfig ? patchRoutes(manager.routeConfig, routes, "SIDECAR_INBOUND") : manager.routeConfig;
	if (httpFilters === manager.httpFilters && routeConfig === manager.routeConfig) return filter;
	return { ...filter, typedConfig: packAny(types.manager, HttpConnectionManager, { ...manager, httpFilters: [...httpFilters], routeConfig }) };
}

const filterName = ({ match }: Patch) => match.listener?.filterChain?.filter?.name;
const subFilterName = ({ match }: Patch) => match.listener?.filterChain?.filter?.subFilter?.name;

const networkPatcher: ListPatcher<Filter> = {
	namesTarget: (patch) => Boolean(filterName(patch)),
	isTarget: (patch, { name }) => filterName(patch) === name,
	forAll: merges,
	merge: (filter, value, options) => ({ ...mergeFilter(types.network, filter, value, options), name: value.name || filter.name }),
	addAt: (patch, list) => classPosition(patch, list, networkClasses),
};

const httpPatcher: ListPatcher<HttpFilter> = {
	namesTarget: (patch) => Boolean(subFilterName(patch)),
	isTarget: (patch, { name }) => subFilterName(patch) === name,
	forAll: merges,
	merge: (filter, value, options) => mergeFilter(types.http, filter, value, options),
	addAt: (patch, list) => classPosition(patch, list, httpClasses),
};

/** A configuration of another type than the filter's own is not merged: the filter stays as it is. */
function mergeFilter<T extends Filter | HttpFilter>(typeName: string, filter: T, value: T, options: Parameters<typeof mergeAny>[2]): T {
	const { typedConfig: own } = filter;
	const { typedConfig: patch } = value;
	if (own && patch && own.typeUrl !== patch.typeUrl) return filter;
	const name = value.name || filter.name;
	return { ...mergeMessages(typeName, filter, { ...value, name }, options) };
}

type Classes = Readonly<Record<NonNullable<Patch["filterClass"]>, readonly string[]>>;

const httpClasses: Classes = { AUTHN: ["envoy.filters.http.jwt_authn"], AUTHZ: ["envoy.filters.http.rbac"], STATS: ["istio.stats"] };
const networkClasses: Classes = { AUTHN: ["istio.metadata_exchange"], AUTHZ: ["envoy.filters.network.rbac"], STATS: ["istio.stats"] };

/** With a class, an added filter stands behind Istio's of authentication or authorization, or in front of those of statistics. */
function classPosition({ filterClass }: Patch, list: readonly { readonly name: string }[], classes: Classes): number {
	if (filterClass === undefined) return list.length;
	const isOfClass = ({ name }: { readonly name: string }) => classes[filterClass].includes(name);
	if (filterClass === "STATS") return Math.max(0, list.findIndex(isOfClass));
	return list.findLastIndex(isOfClass) + 1;
}
