import type { HeaderOperations } from "../../config/header-operations.ts";
import type { FilterOverrides } from "../../config/http-filters.ts";
import type { LbMetadata } from "../../config/load-balancing.ts";
import type { Fraction } from "../../config/matchers.ts";
import type { ClusterSelector, Route, RouteAction, RouteTable, VirtualCluster, VirtualHost, WeightedCluster } from "../../config/routes.ts";
import { isInFraction, type RuntimeValues } from "../../config/runtime-values.ts";
import type { Changes } from "../../config/runtime-config.ts";
import type { FormatterEnvironment } from "../headers/formatter.ts";
import { compileHeaderMutations, type MutateHeaders } from "../headers/header-mutations.ts";
import type { RequestView } from "../headers/headers-view.ts";
import type { Hash64 } from "../lb/hash.ts";
import type { StreamInfo } from "../log/stream-info.ts";
import { type CompileContext, createCompileContext } from "./compile-context.ts";
import { compileFilterStateMatches } from "./filter-state-match.ts";
import { compileCookieMatches, compileHeaderMatches, compileQueryMatches, type RequestPredicate } from "./header-match.ts";
import { compileMetadataMatches, type MetadataPredicate } from "./metadata-match.ts";
import { compileMatcherTree } from "./matcher-tree.ts";
import { compilePathMatch, type PathPredicate, withoutQuery } from "./path-match.ts";
import { compileRequestHash, type RequestHasher } from "./request-hash.ts";
import { compileHostRewrite, compilePathRewrite, compileRedirect, type HostRewrite, type PathRewrite, type RedirectLocation } from "./rewrite.ts";
import { buildRouteIndex, type IndexKey, type RouteIndex } from "./route-index.ts";
import { buildVirtualHostIndex, type VirtualHostIndex } from "./virtual-host-index.ts";

/**
 * A route table turned into lookups. The router calls `matchVirtualHost` and `matchRoute` (or `matchTable` for both),
 * then `chooseCluster` for the cluster and the header changes that go with it. Nothing is allocated per request.
 */
export interface CompiledRouteTable {
	readonly config: RouteTable;
	/** Names need not differ, domains do. */
	readonly hosts: readonly CompiledVirtualHost[];
	readonly virtualHosts: VirtualHostIndex<CompiledVirtualHost>;
}

export interface CompiledVirtualHost {
	readonly config: VirtualHost;
	readonly routes: RouteIndex<CompiledRoute>;
	/** Takes the place of `routes` where a tree says which of them are tried; its undefined: none is. */
	readonly chooseRoutes: ((info: StreamInfo) => RouteIndex<CompiledRoute> | undefined) | undefined;
	/** Name of the virtual cluster that a request is counted in, "" when none takes it; undefined: there are none. */
	readonly virtualClusterOf: ((head: RequestView) => string) | undefined;
}

export interface CompiledRoute {
	readonly config: Route;
	readonly virtualHost: CompiledVirtualHost;
	/** Of the requests that match; undefined: all. */
	readonly share: (() => Fraction) | undefined;
	/** undefined: the index has already checked the path. */
	readonly path: PathPredicate | undefined;
	readonly headers: RequestPredicate | undefined;
	readonly query: RequestPredicate | undefined;
	/** Of the route, the virtual host and the table, for direct responses and redirects; a cluster choice has its own. */
	readonly mutateResponse: MutateHeaders | undefined;
	/** On metadata that filters wrote. */
	readonly metadata: MetadataPredicate | undefined;
	readonly filterState: ((info: StreamInfo) => boolean) | undefined;
	readonly cookies: RequestPredicate | undefined;
	/** What the route, its virtual host and the table say to filters, the most specific first. */
	readonly filterOverrides: readonly FilterOverrides[];
	readonly hasFilterOverrides: boolean;
	readonly action: CompiledAction;
}

export type CompiledAction =
	| CompiledForward
	| { readonly kind: "redirect"; readonly status: number; readonly location: RedirectLocation }
	| { readonly kind: "direct"; readonly status: number; readonly body: Uint8Array };

export interface CompiledForward {
	readonly kind: "route";
	readonly config: RouteAction;
	readonly rewritePath: PathRewrite | undefined;
	/** undefined: keep the authority, unless `config.hostRewrite` is `auto`. */
	readonly rewriteHost: HostRewrite | undefined;
	readonly hash: RequestHasher | undefined;
	readonly clusters: CompiledClusters;
}

export interface ClusterChoice {
	/** "" when a `cluster_header` is missing: answer as for an unknown cluster. */
	readonly cluster: string;
	readonly mutateRequest: MutateHeaders | undefined;
	readonly mutateResponse: MutateHeaders | undefined;
	/** A weighted cluster's own; before the route's. */
	readonly hostRewrite: string | undefined;
	/** What a weighted cluster says to filters; undefined: nothing. */
	readonly filters: FilterOverrides | undefined;
	/** Of the host that is wanted, one value for all its requests. */
	readonly metadata: LbMetadata | undefined;
}

type CompiledClusters =
	| { readonly kind: "one"; readonly choice: ClusterChoice }
	| { readonly kind: "header"; readonly name: string; readonly choice: ClusterChoice }
	| { readonly kind: "matcher"; readonly decide: (info: StreamInfo) => string | undefined; readonly choice: ClusterChoice }
	| {
			readonly kind: "weighted";
			readonly choices: readonly ClusterChoice[];
			/** Of each and those before it, as they are now; the last is what all weigh. */
			readonly ends: () => readonly number[];
			readonly header: string;
			readonly hash: RequestHasher | undefined;
	  };

export interface RouteTableInputs {
	readonly environment: FormatterEnvironment;
	readonly hash64: Hash64;
	readonly runtime: RuntimeValues;
}

/** Never throws: what cannot be compiled is in `errors`, and matches nothing. */
export function compileRouteTable(table: RouteTable, inputs: RouteTableInputs): { readonly value: CompiledRouteTable; readonly errors: readonly string[] } {
	const context = createCompileContext();
	const hosts = table.virtualHosts.map((config) => compileVirtualHost(config, table, context, inputs));
	return { value: indexTable(table, hosts, context.errors), errors: context.errors };
}

function indexTable(config: RouteTable, hosts: readonly CompiledVirtualHost[], errors: string[]): CompiledRouteTable {
	const entries = hosts.map((value) => ({ name: value.config.name, domains: value.config.domains, value }));
	return { config, hosts, virtualHosts: buildVirtualHostIndex(entries, config.ignorePortInHostMatching, errors) };
}

const nothing = { requestAdd: [], requestRemove: [], responseAdd: [], responseRemove: [] } as const;

/** For requests that no table is for. */
export const noRoutes: CompiledRouteTable = indexTable(
	{
		name: "",
		virtualHosts: [],
		headers: nothing,
		filters: {},
		mostSpecificHeaderMutationsWins: false,
		ignorePortInHostMatching: false,
		maxDirectResponseBodyBytes: 0,
		vhds: false,
	},
	[],
	[],
);

/** The table with some virtual hosts replaced; the others are not compiled again. One that does not compile stays what it was. */
export function changeVirtualHosts(
	{ config, hosts }: CompiledRouteTable,
	{ upsert, remove }: Changes<VirtualHost>,
	inputs: RouteTableInputs,
): { readonly value: CompiledRouteTable; readonly refused: readonly { readonly name: string; readonly message: string }[] } {
	const changed = new Map<string, CompiledVirtualHost>();
	const refused: { readonly name: string; readonly message: string }[] = [];
	for (const host of upsert) {
		const context = createCompileContext();
		const compiled = compileVirtualHost(host, config, context, inputs);
		if (context.errors.length === 0) changed.set(host.name, compiled);
		else refused.push(...context.errors.map((message) => ({ name: host.name, message })));
	}
	const gone = new Set([...remove, ...changed.keys()]);
	const next = [...changed.values(), ...hosts.filter((host) => !gone.has(host.config.name))];
	// Domains that two of them want were refused when they were decoded.
	const table = { ...config, virtualHosts: next.map((host) => host.config) };
	return { value: indexTable(table, next, []), refused };
}

function compileVirtualHost(config: VirtualHost, table: RouteTable, context: CompileContext, inputs: RouteTableInputs): CompiledVirtualHost {
	// Routes know their virtual host and the other way round, hence the two steps.
	const host: { -readonly [Key in keyof CompiledVirtualHost]: CompiledVirtualHost[Key] } = {
		config,
		routes: buildRouteIndex([]),
		chooseRoutes: undefined,
		virtualClusterOf: compileVirtualClusters(config.virtualClusters ?? [], context),
	};
	const entries = config.routes.map((route) => ({ key: indexKey(route), value: compileRoute(route, host, table, context, inputs) }));
	if (config.matcher === undefined) host.routes = buildRouteIndex(entries);
	else host.chooseRoutes = compileRouteMatcher(config.matcher, entries, context);
	return host;
}

type RouteEntries = Parameters<typeof buildRouteIndex<CompiledRoute>>[0];

function compileRouteMatcher(
	matcher: NonNullable<VirtualHost["matcher"]>,
	entries: RouteEntries,
	context: CompileContext,
): CompiledVirtualHost["chooseRoutes"] {
	const choose = compileMatcherTree(matcher, context);
	const indexes = new Map<readonly number[], RouteIndex<CompiledRoute>>();
	return (info) => {
		const positions = choose(info);
		if (positions === undefined) return undefined;
		let index = indexes.get(positions);
		if (index === undefined) indexes.set(positions, (index = buildRouteIndex(positions.flatMap((position) => entries[position] ?? []))));
		return index;
	};
}

function compileVirtualClusters(clusters: readonly VirtualCluster[], context: CompileContext): CompiledVirtualHost["virtualClusterOf"] {
	if (clusters.length === 0) return undefined;
	const compiled = clusters.map(({ name, headers }) => ({ name, takes: compileHeaderMatches(headers, context) }));
	return (head) => compiled.find(({ takes }) => takes?.(head) !== false)?.name ?? "";
}

function indexKey({ path }: Route): IndexKey {
	if (path.kind === "regex" || path.kind === "connect" || !path.caseSensitive) return { kind: "any" };
	return { kind: path.kind === "exact" ? "exact" : "prefix", value: path.value };
}

function compileRoute(config: Route, virtualHost: CompiledVirtualHost, table: RouteTable, context: CompileContext, inputs: RouteTableInputs): CompiledRoute {
	const key = indexKey(config);
	const isIndexed = key.kind !== "any" && config.path.kind !== "pathSeparatedPrefix" && !key.value.includes("?");
	const levels = [config.headerOperations, virtualHost.config.headers, table.headers];
	const { runtimeFraction } = config;
	const filterOverrides = [config.filters, virtualHost.config.filters, table.filters].filter(saysSomething);
	return {
		config,
		virtualHost,
		share: runtimeFraction && (() => inputs.runtime.share(runtimeFraction)),
		path: isIndexed ? undefined : compilePathMatch(config.path, context),
		headers: compileHeaderMatches(config.headers, context),
		query: compileQueryMatches(config.query, context),
		metadata: compileMetadataMatches(config.dynamicMetadata, context),
		filterState: compileFilterStateMatches(config.filterState ?? [], context),
		cookies: compileCookieMatches(config.cookies ?? [], context),
		filterOverrides,
		hasFilterOverrides: filterOverrides.length > 0,
		mutateResponse: compileLevels(levels, table, "response", context, inputs),
		action: compileAction(config, levels, table, context, inputs),
	};
}

const saysSomething = (overrides: FilterOverrides): boolean => Object.keys(overrides).length > 0;

function compileAction(
	route: Route,
	levels: readonly HeaderOperations[],
	table: RouteTable,
	context: CompileContext,
	inputs: RouteTableInputs,
): CompiledAction {
	const { action } = route;
	if (action.kind === "direct") return action;
	if (action.kind === "redirect")
		return { kind: "redirect", status: action.status, location: compileRedirect(route.path, action, context, inputs.environment) };
	const choice = (cluster: string, own?: WeightedCluster): ClusterChoice => {
		return {
			cluster,
			mutateRequest: compileLevels(levels, table, "request", context, inputs, own?.headers),
			mutateResponse: compileLevels(levels, table, "response", context, inputs, own?.headers),
			hostRewrite: own?.hostRewrite,
			filters: own !== undefined && saysSomething(own.filters) ? own.filters : undefined,
			metadata: own?.metadataMatch === undefined ? action.metadataMatch : { ...action.metadataMatch, ...own.metadataMatch },
		};
	};
	const hash = compileRequestHash(action.hashPolicies, inputs.hash64, context);
	return {
		kind: "route",
		config: action,
		rewritePath: compilePathRewrite(route.path, action, context, inputs.environment),
		rewriteHost: compileHostRewrite(action.hostRewrite, context, inputs.environment),
		hash,
		clusters: compileClusters(action, hash, choice, context, inputs.runtime),
	};
}

function compileClusters(
	{ cluster }: RouteAction,
	hash: RequestHasher | undefined,
	choice: (cluster: string, own?: WeightedCluster) => ClusterChoice,
	context: CompileContext,
	runtime: RuntimeValues,
): CompiledClusters {
	switch (cluster.kind) {
		case "cluster":
			return { kind: "one", choice: choice(cluster.name) };
		case "header":
			return { kind: "header", name: cluster.name.toLowerCase(), choice: choice("") };
		case "matcher":
			return { kind: "matcher", decide: compileMatcherTree(cluster.tree, context), choice: choice("") };
		case "weighted": {
			const choices = cluster.clusters.map((own) => choice(own.name, own));
			return { kind: "weighted", choices, ends: compileWeights(cluster, runtime), header: cluster.header, hash: cluster.usesHashPolicy ? hash : undefined };
		}
	}
}

function compileWeights(
	{ clusters, runtimeKeyPrefix: prefix }: Extract<ClusterSelector, { kind: "weighted" }>,
	runtime: RuntimeValues,
): () => readonly number[] {
	const endsOf = (weightOf: (cluster: WeightedCluster) => number) => {
		let total = 0;
		return clusters.map((cluster) => (total += weightOf(cluster)));
	};
	const configured = endsOf(({ weight }) => weight);
	if (prefix === undefined) return () => configured;
	return () => (runtime.isEmpty ? configured : endsOf(({ name, weight }) => runtime.integer(`${prefix}.${name}`, weight)));
}

/** Weighted cluster, route, virtual host, table; reversed when the most specific one is to have the last word. */
function compileLevels(
	levels: readonly HeaderOperations[],
	table: RouteTable,
	side: "request" | "response",
	context: CompileContext,
	inputs: RouteTableInputs,
	cluster?: HeaderOperations,
): MutateHeaders | undefined {
	const ordered = table.mostSpecificHeaderMutationsWins ? levels.toReversed() : levels;
	// As in Envoy: those of a weighted cluster come first in either order.
	const mutations = (cluster === undefined ? ordered : [cluster, ...ordered]).map((l) =>
		side === "request" ? { add: l.requestAdd, remove: l.requestRemove } : { add: l.responseAdd, remove: l.responseRemove },
	);
	return compileHeaderMutations(mutations, inputs.environment, context.errors);
}

export function matchVirtualHost(table: CompiledRouteTable, authority: string): CompiledVirtualHost | undefined {
	return table.virtualHosts.match(authority);
}

/** The first route, in order, that takes the request. `random` is uniform in [0, 1). `info`: of the request, with what filters wrote so far. */
export function matchRoute(host: CompiledVirtualHost, head: RequestView, random: () => number, info: StreamInfo): CompiledRoute | undefined {
	const routes = host.chooseRoutes === undefined ? host.routes : host.chooseRoutes(info);
	if (routes === undefined) return undefined;
	const { path } = head;
	const bare = withoutQuery(path);
	const candidates = routes.candidates(path, bare);
	for (let i = 0; i < candidates.length; i++) {
		const route = candidates[i] as CompiledRoute;
		if (takesRequest(route, head, path, bare, random, info)) return route;
	}
	return undefined;
}

/** Both steps; `route.virtualHost` is the host. undefined: 404 `route_not_found` (NR). */
export function matchTable(table: CompiledRouteTable, head: RequestView, random: () => number, info: StreamInfo): CompiledRoute | undefined {
	const host = table.virtualHosts.match(head.authority);
	return host && matchRoute(host, head, random, info);
}

function takesRequest(route: CompiledRoute, head: RequestView, path: string, bare: string, random: () => number, info: StreamInfo): boolean {
	const { grpcOnly, path: pathMatch } = route.config;
	if (route.share && !isInFraction(route.share(), random)) return false;
	if (grpcOnly && !isGrpc(head)) return false;
	if (route.headers && !route.headers(head)) return false;
	if (route.query && !route.query(head)) return false;
	if (route.metadata && !route.metadata(info.dynamicMetadata)) return false;
	if (route.cookies && !route.cookies(head)) return false;
	if (route.filterState && !route.filterState(info)) return false;
	// CONNECT requests are for connect matchers alone.
	if (head.method === "CONNECT" && pathMatch.kind !== "connect" && !path.startsWith("/")) return false;
	return route.path === undefined || route.path(head, path, bare);
}

export function isGrpc(head: RequestView): boolean {
	const type = head.get("content-type");
	return type !== undefined && type.startsWith("application/grpc") && (type.length === 16 || type[16] === "+");
}

/** `info`: of the request, for hash policies and trees. */
export function chooseCluster(forward: CompiledForward, head: RequestView, random: () => number, info: StreamInfo): ClusterChoice {
	const { clusters } = forward;
	switch (clusters.kind) {
		case "one":
			return clusters.choice;
		case "header":
			return { ...clusters.choice, cluster: head.get(clusters.name) ?? "" };
		case "matcher":
			return { ...clusters.choice, cluster: clusters.decide(info) ?? "" };
		case "weighted": {
			const ends = clusters.ends();
			const total = ends[ends.length - 1] ?? 0;
			// The runtime may have taken all weights away.
			if (total === 0) return noCluster;
			const hash = clusters.hash?.(head, info).hash;
			const point = hash === undefined ? pointIn(total, clusters.header === "" ? undefined : head.get(clusters.header), random) : Number(hash % BigInt(total));
			let i = 0;
			while (i < ends.length - 1 && point >= (ends[i] as number)) i++;
			return clusters.choices[i] ?? noCluster;
		}
	}
}

/** A number that the request brings decides, so that callers choose alike; without one it is chance. */
function pointIn(total: number, asked: string | undefined, random: () => number): number {
	return asked !== undefined && /^\d{1,20}$/.test(asked) ? Number(BigInt(asked) % BigInt(total)) : random() * total;
}

const noCluster: ClusterChoice = {
	cluster: "",
	mutateRequest: undefined,
	mutateResponse: undefined,
	hostRewrite: undefined,
	filters: undefined,
	metadata: undefined,
};
