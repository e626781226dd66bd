import type { ConfigObject } from "@weft/api";
import { policiesFor, type PolicyIndex, type PolicyKind } from "../../model/policies.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { PushSnapshot } from "../../model/push.ts";
import { type AccessLogs, buildAccessLogs } from "../listeners/access-log.ts";
import type { Direction, HttpFilter } from "../listeners/http-filters/filter.ts";
import type { NetworkFilter } from "../listeners/network-filters.ts";
import { statsConfig } from "../listeners/stats-config.ts";
import { createMemo } from "../memo.ts";
import { type Authorization, buildAuthorization, noAuthorization } from "./authorization.ts";
import { buildExtensions, type Extension } from "./extensions.ts";
import { buildJwtAuthn } from "./jwt.ts";
import { buildRateLimits } from "./rate-limit.ts";
import { findProvider } from "./providers.ts";
import { mergeAccessLogging, mergeMetrics, mergeTracing, type Side, telemetriesFor, type TracingPlan } from "./telemetry.ts";

/** What the policies that hold for a workload add to its listeners of one direction; one object while nothing of it changes. */
export interface DirectionPolicies {
	readonly authorization: Authorization;
	readonly jwt: HttpFilter | undefined;
	/** One filter a limit. */
	readonly rateLimits: readonly HttpFilter[];
	readonly extensions: readonly Extension[];
	/** istio.stats; empty where no metrics are wanted, or the proxy has none. */
	readonly stats: readonly (HttpFilter & NetworkFilter)[];
	readonly accessLogs: AccessLogs;
	readonly tracing: TracingPlan | undefined;
}

const built = createMemo<DirectionPolicies>();
const lists = createMemo<readonly object[]>();
const noPolicies: readonly never[] = [];

/** The same array for the same objects, over snapshots too: what is derived from it can hang on it. */
function stable<T extends object>(items: readonly T[]): readonly T[] {
	// The last one is the most particular: of the lists with it there are the fewest.
	const last = items.at(-1);
	return last === undefined ? noPolicies : (lists.get([last, ...items], "", () => items) as readonly T[]);
}

export function policiesOf<K extends PolicyKind>(index: PolicyIndex<K>, node: ProxyNode): readonly ConfigObject<K>[] {
	return stable(policiesFor(index, node));
}

const extensionLists = createMemo<readonly Extension[]>();

/** Filters of the user's own, in order of priority. */
export function extensionsFor({ policies }: PushSnapshot, node: ProxyNode): readonly Extension[] {
	const plugins = policiesOf(policies.wasmPlugins, node);
	const extensions = policiesOf(policies.trafficExtensions, node);
	if (plugins.length + extensions.length === 0) return noPolicies;
	const anchor = plugins.length > 0 ? plugins : extensions;
	return extensionLists.get([anchor, plugins, extensions], "", () => buildExtensions(plugins, extensions));
}

export function directionPolicies(push: PushSnapshot, node: ProxyNode, direction: Direction): DirectionPolicies {
	const { policies, mesh, meshConfig, servicesByHost } = push;
	const server = direction !== "outbound";
	const authorization = server
		? buildAuthorization({
				policies: policiesOf(policies.authorization, node),
				trustDomains: mesh.trustDomains,
				providers: meshConfig.extensionProviders,
				services: servicesByHost,
			})
		: noAuthorization;
	const jwt = server
		? buildJwtAuthn({ policies: policiesOf(policies.requestAuthentication, node), jwks: push.jwks, isGateway: direction === "gateway" })
		: undefined;
	const rateLimits = server ? buildRateLimits(policiesOf(policies.rateLimits, node), push.mesh.domain) : noPolicies;
	const extensions = extensionsFor(push, node);
	const telemetries = stable(telemetriesFor(policies.telemetry, node));
	const services = providerServices(push);
	const objects = [meshConfig, services, authorization, jwt ?? noJwt, rateLimits, extensions, telemetries] as const;
	const particular = objects.slice(2).find((object) => !general.has(object)) ?? meshConfig;
	return built.get([particular, ...objects], `${direction} ${node.istioExtensions}`, () => {
		const side: Side = direction === "inbound" ? "SERVER" : "CLIENT";
		const defaults = meshConfig.defaultProviders ?? {};
		return {
			authorization,
			jwt,
			rateLimits,
			extensions,
			stats: node.istioExtensions ? statsFilters(push, telemetries, side, direction) : [],
			accessLogs: buildAccessLogs({ mesh: meshConfig, services: servicesByHost, plans: mergeAccessLogging(telemetries, defaults.accessLogging ?? [], side) }),
			tracing: mergeTracing(telemetries, defaults.tracing ?? [], side),
		};
	});
}

const noJwt: object = {};

/** What many workloads share, where no policy is for them. */
const general: ReadonlySet<object> = new Set([noAuthorization, noJwt, noPolicies]);

function statsFilters(
	{ meshConfig }: PushSnapshot,
	telemetries: readonly ConfigObject<"Telemetry">[],
	side: Side,
	direction: Direction,
): DirectionPolicies["stats"] {
	const plans = [...mergeMetrics(telemetries, meshConfig.defaultProviders?.metrics ?? [], side)].sort(([a], [b]) => (a < b ? -1 : 1));
	return plans
		.filter(([name]) => findProvider(meshConfig, name)?.prometheus !== undefined)
		.map(([, plan]) => ({ name: "istio.stats", typedConfig: statsConfig(direction, plan) }));
}

const places = createMemo<object>();
const placesOfPush = createMemo<object>();

/** Stands for which services of providers are there: they alone of all services make a difference here. */
function providerServices(push: PushSnapshot): object {
	return placesOfPush.get([push.servicesByHost, push.meshConfig], "", () => findPlaces(push));
}

function findPlaces({ meshConfig, servicesByHost }: PushSnapshot): object {
	const hosts = (meshConfig.extensionProviders ?? []).flatMap((provider) =>
		Object.values(provider).flatMap((config) => (typeof config === "object" && config !== null && "service" in config ? [String(config.service)] : [])),
	);
	const known = hosts.map((host) => {
		const name = host.slice(host.indexOf("/") + 1);
		return `${host}=${(servicesByHost.get(name) ?? []).map(({ namespace }) => namespace).join()}`;
	});
	return places.get([meshConfig], known.join(" "), () => ({}));
}
