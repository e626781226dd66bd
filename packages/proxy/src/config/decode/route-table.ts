import type { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { Route as RouteMessage, VirtualHost as VirtualHostMessage } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { validateConstraints } from "@weft/xds";
import type { RouteAction, RouteTable, VirtualCluster, VirtualHost } from "../routes.ts";
import { decodeConfigSource } from "./config-source.ts";
import type { DecodeEnvironment } from "./environment.ts";
import { decodeFilterMetadata } from "./filter-metadata.ts";
import { decodeHeaderOperations } from "./headers.ts";
import { decodeHedge } from "./hedge.ts";
import { type At, collect, type Decoded, onlySupports, report, under } from "./issues.ts";
import { decodeHeaderMatches } from "./matchers.ts";
import { decodeRetry } from "./retry.ts";
import { type ClusterSpecifiers, decodeClusterSpecifiers } from "./cluster-specifier.ts";
import { decodeRoute, type RouteScope } from "./route.ts";
import { decodeRouteMatcher } from "./route-matcher.ts";
import { decodeMirror } from "./route-action.ts";
import { decodeCors, legacyCorsType, withLegacyCors } from "./filters/cors.ts";
import { decodeRateLimits } from "./filters/local-rate-limit.ts";
import { decodeOverrides } from "./filters/overrides.ts";

const typeName = "envoy.config.route.v3.RouteConfiguration";

const tableFields = [
	"name",
	"virtualHosts",
	"responseHeadersToAdd",
	"responseHeadersToRemove",
	"requestHeadersToAdd",
	"requestHeadersToRemove",
	"mostSpecificHeaderMutationsWins",
	"validateClusters",
	"maxDirectResponseBodySizeBytes",
	"ignorePortInHostMatching",
	"requestMirrorPolicies",
	"clusterSpecifierPlugins",
	"metadata",
	"typedPerFilterConfig",
	"vhds",
];

const hostFields = [
	"name",
	"domains",
	"routes",
	"matcher",
	"requireTls",
	"requestHeadersToAdd",
	"requestHeadersToRemove",
	"responseHeadersToAdd",
	"responseHeadersToRemove",
	"cors",
	"typedPerFilterConfig",
	"rateLimits",
	"includeRequestAttemptCount",
	"includeAttemptCountInResponse",
	"retryPolicy",
	"hedgePolicy",
	"requestMirrorPolicies",
	"metadata",
	"virtualClusters",
];

/** Envoy's limit on the body of a direct response, unless the table sets another. */
const bodyBytesMaxDefault = 4096;
const noSpecifiers: ClusterSpecifiers = new Map();

export function decodeRouteTable(message: RouteConfiguration, environment: DecodeEnvironment): Decoded<RouteTable> {
	return collect(
		"",
		(at) => {
			at.errors.push(...validateConstraints(typeName, message));
			return decodeRoutes(at, message, environment, false);
		},
		message.name,
	);
}

/** Also for tables inside a listener, whose constraints were checked with it. `validatesClusters`: where the table says nothing of it. */
export function decodeRoutes(at: At, message: RouteConfiguration, environment: DecodeEnvironment, validatesClusters: boolean): RouteTable {
	onlySupports(at, typeName, message, tableFields);
	if (message.clusterSpecifierPlugins.length > 0 && message.vhds !== undefined)
		report(under(at, "clusterSpecifierPlugins"), "cluster_specifier_plugins of a table whose virtual hosts come by themselves are not implemented");
	const bodyBytesMax = message.maxDirectResponseBodySizeBytes ?? bodyBytesMaxDefault;
	const mirrors = decodeMirrors(at, message.requestMirrorPolicies);
	if (mirrors.length > 0 && message.vhds !== undefined)
		report(under(at, "requestMirrorPolicies"), "request_mirror_policies of a table whose virtual hosts come by themselves are not implemented");
	const scope: RouteScope = { bodyBytesMax, clusterSpecifiers: decodeClusterSpecifiers(at, message.clusterSpecifierPlugins) };
	const virtualHosts = message.virtualHosts.map((host, i) => {
		const decoded = decodeVirtualHost(under(at, `virtualHosts[${i}]`), host, scope, environment);
		return { ...decoded, routes: withMirrors(decoded.routes, mirrors) };
	});
	checkDomains(at, virtualHosts);
	return {
		name: message.name,
		virtualHosts,
		headers: decodeHeaderOperations(at, message),
		filters: decodeOverrides(at, message.typedPerFilterConfig),
		mostSpecificHeaderMutationsWins: message.mostSpecificHeaderMutationsWins,
		ignorePortInHostMatching: message.ignorePortInHostMatching,
		maxDirectResponseBodyBytes: bodyBytesMax,
		vhds: decodeVhds(at, message, environment),
		...((message.validateClusters ?? validatesClusters) && { validatesClusters: true }),
	};
}

const decodeMirrors = (at: At, policies: RouteConfiguration["requestMirrorPolicies"]): RouteAction["mirrors"] =>
	policies.map((mirror, i) => decodeMirror(under(at, `requestMirrorPolicies[${i}]`), mirror));

/** Of whatever is around routes that have none of their own. */
function withMirrors(routes: VirtualHost["routes"], mirrors: RouteAction["mirrors"]): VirtualHost["routes"] {
	if (mirrors.length === 0) return routes;
	return routes.map((route) =>
		route.action.kind === "route" && route.action.mirrors.length === 0 ? { ...route, action: { ...route.action, mirrors } } : route,
	);
}

function decodeVhds(at: At, { name, vhds }: RouteConfiguration, environment: DecodeEnvironment): RouteTable["vhds"] {
	if (vhds === undefined) return false;
	const here = under(at, "vhds.configSource");
	const source = decodeConfigSource(here, vhds.configSource, environment);
	// Virtual hosts are told of one by one, or not at all.
	if (source.kind === "file" || (source.kind === "stream" && source.mode !== "delta"))
		report(here, "only ads and api_config_source of DELTA_GRPC are implemented");
	return { name, source };
}

/** A virtual host that comes by itself, named `table/host`; `bodyBytesMax` is its table's. Its own name is without the table's. */
export function decodeDiscoveredHost(
	resource: string,
	message: VirtualHostMessage,
	bodyBytesMax: number | undefined,
	environment: DecodeEnvironment,
): Decoded<VirtualHost> {
	return collect(
		"",
		(at) => {
			at.errors.push(...validateConstraints("envoy.config.route.v3.VirtualHost", message));
			const host = decodeVirtualHost(at, message, { bodyBytesMax: bodyBytesMax ?? bodyBytesMaxDefault, clusterSpecifiers: noSpecifiers }, environment);
			checkDomains(at, [host]);
			return { ...host, name: host.name === resource ? resource.slice(resource.indexOf("/") + 1) : host.name };
		},
		resource,
	);
}

function decodeVirtualHost(at: At, host: VirtualHostMessage, scope: RouteScope, environment: DecodeEnvironment): VirtualHost {
	onlySupports(at, "envoy.config.route.v3.VirtualHost", host, hostFields);
	const { routes, matcher } = decodeHostRoutes(at, host, scope, environment);
	const metadata = decodeFilterMetadata(host.metadata);
	return {
		name: host.name,
		domains: host.domains.map((domain) => domain.toLowerCase()),
		routes: withMirrors(routes, decodeMirrors(at, host.requestMirrorPolicies)),
		...(matcher && { matcher }),
		...(metadata && { metadata }),
		requireTls: (["none", "externalOnly", "all"] as const)[host.requireTls] ?? "none",
		headers: decodeHeaderOperations(at, host),
		retry: host.retryPolicy && decodeRetry(under(at, "retryPolicy"), host.retryPolicy),
		hedgesOnTryTimeout: host.hedgePolicy && decodeHedge(under(at, "hedgePolicy"), host.hedgePolicy),
		filters: withLegacyCors(decodeOverrides(at, host.typedPerFilterConfig), host.cors && decodeCors(under(at, "cors"), legacyCorsType, host.cors)),
		rateLimits: decodeRateLimits(at, host.rateLimits),
		includeRequestAttemptCount: host.includeRequestAttemptCount,
		includeAttemptCountInResponse: host.includeAttemptCountInResponse,
		virtualClusters: host.virtualClusters.map((cluster, i) => decodeVirtualCluster(under(at, `virtualClusters[${i}]`), cluster)),
	};
}

function decodeHostRoutes(
	at: At,
	{ matcher, routes }: VirtualHostMessage,
	scope: RouteScope,
	environment: DecodeEnvironment,
): Pick<VirtualHost, "routes" | "matcher"> {
	const decode = (here: At, route: RouteMessage) => decodeRoute(here, route, scope, environment);
	if (matcher === undefined) return { routes: routes.flatMap((route, i) => decode(under(at, `routes[${i}]`), route) ?? []) };
	if (routes.length > 0) report(at, "cannot set both matcher and routes on virtual host");
	return decodeRouteMatcher(under(at, "matcher"), matcher, decode);
}

function decodeVirtualCluster(at: At, { name, headers }: VirtualHostMessage["virtualClusters"][number]): VirtualCluster {
	if (headers.length === 0) report(at, "virtual clusters must define 'headers'");
	return { name, headers: decodeHeaderMatches(at, headers) };
}

// One virtual host a domain: Envoy refuses the table rather than choosing.
function checkDomains(at: At, hosts: readonly VirtualHost[]): void {
	const seen = new Set<string>();
	for (const { domains } of hosts) {
		for (const domain of domains) {
			if (seen.has(domain)) {
				report(
					at,
					domain === "*" ? "Only a single wildcard domain is permitted" : `Only unique values for domains are permitted. Duplicate entry of domain ${domain}`,
				);
			}
			seen.add(domain);
		}
	}
}
