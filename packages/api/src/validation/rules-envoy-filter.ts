import type { EnvoyConfigObjectPatch, EnvoyFilterSpec, ListenerMatch } from "../schema/envoy-filter.ts";
import { isRecord } from "./schema-walk.ts";
import type { Report } from "./report.ts";
import { checkSelectorLabels, checkSelectorSet } from "./rules-common.ts";
import { checkTargetRefs } from "./rules-policy-target.ts";
import { quote } from "./suggestion.ts";

// https://istio.io/latest/docs/reference/config/networking/envoy-filter/

type ApplyTo = NonNullable<EnvoyConfigObjectPatch["applyTo"]>;
type MatchField = "listener" | "routeConfiguration" | "cluster";

const matchFields: Readonly<Partial<Record<ApplyTo, MatchField>>> = {
	LISTENER: "listener",
	FILTER_CHAIN: "listener",
	NETWORK_FILTER: "listener",
	HTTP_FILTER: "listener",
	LISTENER_FILTER: "listener",
	ROUTE_CONFIGURATION: "routeConfiguration",
	VIRTUAL_HOST: "routeConfiguration",
	HTTP_ROUTE: "routeConfiguration",
	CLUSTER: "cluster",
};

/** Envoy finds no extension by its name alone. */
const typedByName: ReadonlySet<ApplyTo> = new Set<ApplyTo>(["NETWORK_FILTER", "HTTP_FILTER", "LISTENER_FILTER", "EXTENSION_CONFIG"]);
const typeFields = ["typed_config", "typedConfig", "config_discovery", "configDiscovery"];

export function checkEnvoyFilter(report: Report, spec: EnvoyFilterSpec): void {
	const { workloadSelector, targetRefs, configPatches } = spec;
	report.warn(
		"EnvoyFilter exposes internal implementation details that may change at any time. Prefer other APIs if possible, and exercise extreme caution, especially around upgrades.",
	);
	if (workloadSelector && targetRefs?.length) report.error("only one of workloadSelector and targetRefs may be set; keep one");
	checkSelectorLabels(report.at("workloadSelector", "labels"), workloadSelector?.labels);
	checkSelectorSet(report.at("workloadSelector"), workloadSelector, workloadSelector?.labels);
	checkTargetRefs(report.at("targetRefs"), targetRefs);
	for (const [i, patch] of (configPatches ?? []).entries()) checkPatch(report.at("configPatches", i), patch);
}

function checkPatch(report: Report, { applyTo = "INVALID", match, patch }: EnvoyConfigObjectPatch): void {
	if (applyTo === "INVALID") return report.at("applyTo").error("applyTo is missing; say what is patched, like HTTP_FILTER");
	if (patch === undefined) return report.at("patch").error("patch is missing");
	const { operation = "INVALID", value } = patch;
	if (operation === "INVALID")
		return report.at("patch", "operation").error("the operation is missing; write MERGE, ADD, REMOVE, INSERT_BEFORE, INSERT_AFTER, INSERT_FIRST or REPLACE");
	if (operation !== "REMOVE" && value === undefined) report.at("patch", "value").error("the value is missing: only REMOVE has none");
	if (value !== undefined && !isRecord(value)) report.at("patch", "value").error("the value must be an object: the Envoy message");
	if (typedByName.has(applyTo) && isRecord(value) && !typeFields.some((field) => Object.hasOwn(value, field))) {
		report.at("patch", "value").warn(`using deprecated types by name without typed_config; ${String(value["name"] ?? "")}`);
	}
	if (isRecord(value)) checkTypes(report.at("patch", "value"), value);
	const wanted = matchFields[applyTo];
	for (const field of ["listener", "routeConfiguration", "cluster"] as const) {
		if (match?.[field] === undefined || field === wanted) continue;
		const at = report.at("match", field);
		// Of listener filters, extensions and bootstraps Istio does not look at the match.
		if (wanted && applyTo !== "LISTENER_FILTER") at.error(`a patch of ${applyTo} is matched by ${wanted}, not by ${field}`);
		else at.warn(`a match on ${field} has no effect for ${applyTo}`);
	}
	if (match?.context === "WAYPOINT" && (match.listener || match.routeConfiguration || match.cluster)) {
		report.at("match").error("with the context WAYPOINT only a match on waypoint is supported");
	}
	if (match?.waypoint || match?.context === "WAYPOINT") report.at("match").warn("there are no waypoints in this mesh: the patch has no effect");
	if (applyTo === "BOOTSTRAP")
		report
			.at("applyTo")
			.warn("bootstraps are for proxies that have BOOTSTRAP_XDS_AGENT=true in their environment, when they start: a running proxy is not changed");
	if (match?.listener) checkListenerMatch(report.at("match", "listener"), applyTo, match.listener);
}

/** Packages of the messages that Envoy and Istio know. What they have in them changes by version, so the proxy's own is told by whoever translates. */
const typePackages = /^(?:envoy|xds|udpa|istio|io\.istio|google|cel|opentelemetry|opencensus|stats|wasm)\./;

/** Envoy dropped version 2 of its API; Istio's own messages are of versions like v2alpha1 still. */
const oldApi = /^envoy\..*\.v2(?:alpha\d*)?\./;

/** Messages packed into others say of which type they are. */
function checkTypes(report: Report, value: unknown, depth = 0): void {
	if (depth > typeDepthMax) return;
	if (Array.isArray(value)) return value.forEach((item, i) => checkTypes(report.at(i), item, depth + 1));
	if (!isRecord(value)) return;
	const type = value["@type"];
	if (typeof type === "string") checkType(report.at("@type"), type);
	// What is in these is anything.
	if (typeof type === "string" && /\.(?:TypedStruct|Struct|Value)$/.test(type)) return;
	for (const [key, field] of Object.entries(value)) checkTypes(report.at(key), field, depth + 1);
}

/** Deeper values are refused before. */
const typeDepthMax = 100;

function checkType(report: Report, url: string): void {
	const name = url.slice(url.lastIndexOf("/") + 1);
	if (oldApi.test(name)) report.error(`referenced type unknown: ${quote(url)} is of the v2 API; write its successor of v3`);
	else if (!typePackages.test(name)) report.error(`referenced type unknown: ${quote(url)} is no message of Envoy's`);
}

const managers: ReadonlySet<string> = new Set(["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"]);

/** Names that Envoy dropped; they match what has the new name. */
const renamedFilters: Readonly<Record<string, string>> = {
	"envoy.buffer": "envoy.filters.http.buffer",
	"envoy.client_ssl_auth": "envoy.filters.network.client_ssl_auth",
	"envoy.cors": "envoy.filters.http.cors",
	"envoy.csrf": "envoy.filters.http.csrf",
	"envoy.echo": "envoy.filters.network.echo",
	"envoy.ext_authz": "envoy.filters.http.ext_authz",
	"envoy.fault": "envoy.filters.http.fault",
	"envoy.grpc_http1_bridge": "envoy.filters.http.grpc_http1_bridge",
	"envoy.grpc_json_transcoder": "envoy.filters.http.grpc_json_transcoder",
	"envoy.grpc_web": "envoy.filters.http.grpc_web",
	"envoy.gzip": "envoy.filters.http.gzip",
	"envoy.health_check": "envoy.filters.http.health_check",
	"envoy.http_connection_manager": "envoy.filters.network.http_connection_manager",
	"envoy.ip_tagging": "envoy.filters.http.ip_tagging",
	"envoy.listener.http_inspector": "envoy.filters.listener.http_inspector",
	"envoy.listener.original_dst": "envoy.filters.listener.original_dst",
	"envoy.listener.original_src": "envoy.filters.listener.original_src",
	"envoy.listener.proxy_protocol": "envoy.filters.listener.proxy_protocol",
	"envoy.listener.tls_inspector": "envoy.filters.listener.tls_inspector",
	"envoy.lua": "envoy.filters.http.lua",
	"envoy.mongo_proxy": "envoy.filters.network.mongo_proxy",
	"envoy.ratelimit": "envoy.filters.network.ratelimit",
	"envoy.rate_limit": "envoy.filters.http.ratelimit",
	"envoy.redis_proxy": "envoy.filters.network.redis_proxy",
	"envoy.router": "envoy.filters.http.router",
	"envoy.squash": "envoy.filters.http.squash",
	"envoy.tcp_proxy": "envoy.filters.network.tcp_proxy",
};

function checkListenerMatch(report: Report, applyTo: ApplyTo, { filterChain }: ListenerMatch): void {
	const filter = filterChain?.filter;
	if (!filter) return;
	const at = report.at("filterChain", "filter");
	if (applyTo === "LISTENER" || applyTo === "FILTER_CHAIN") at.warn(`a match on a filter has no effect for ${applyTo}`);
	if (!filter.name) return at.at("name").error("the match on a filter has no name to match on");
	warnOfOldName(at.at("name"), filter.name);
	if (!filter.subFilter) return;
	if (applyTo !== "HTTP_FILTER") return at.at("subFilter").error("a match on a subFilter is for HTTP_FILTER only");
	if (!managers.has(filter.name)) return at.at("name").error("a match on a subFilter needs the filter envoy.filters.network.http_connection_manager");
	if (!filter.subFilter.name) return at.at("subFilter", "name").error("the match on a subFilter has no name to match on");
	warnOfOldName(at.at("subFilter", "name"), filter.subFilter.name);
}

function warnOfOldName(report: Report, name: string): void {
	if (Object.hasOwn(renamedFilters, name)) report.warn(`using deprecated filter name ${quote(name)}; use ${quote(renamedFilters[name] ?? "")} instead`);
}
