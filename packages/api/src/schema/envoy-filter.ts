import { anything, int32, labels, list, obj, oneOf, opt, type StaticOf, text, uint32 } from "./builders.ts";
import { targetRefSchema, workloadSelectorSchema } from "./common.ts";

// https://istio.io/latest/docs/reference/config/networking/envoy-filter/

export const applyTargets = [
	"INVALID",
	"LISTENER",
	"FILTER_CHAIN",
	"NETWORK_FILTER",
	"HTTP_FILTER",
	"ROUTE_CONFIGURATION",
	"VIRTUAL_HOST",
	"HTTP_ROUTE",
	"CLUSTER",
	"EXTENSION_CONFIG",
	"BOOTSTRAP",
	"LISTENER_FILTER",
] as const;
export const patchContexts = ["ANY", "SIDECAR_INBOUND", "SIDECAR_OUTBOUND", "GATEWAY", "WAYPOINT"] as const;
export const patchOperations = [
	"INVALID",
	"MERGE",
	"ADD",
	"REMOVE",
	"INSERT_BEFORE",
	"INSERT_AFTER",
	"INSERT_FIRST",
	"REPLACE",
	"MERGE_AND_REPLACE_LIST",
] as const;

const filterMatchSchema = obj({ name: opt(text()), subFilter: opt(obj({ name: opt(text()) })) });

const listenerMatchSchema = obj({
	portNumber: opt(uint32()),
	portName: opt(text()),
	filterChain: opt(
		obj({
			name: opt(text()),
			sni: opt(text()),
			transportProtocol: opt(text()),
			applicationProtocols: opt(text({ description: "A list with commas." })),
			filter: opt(filterMatchSchema),
			destinationPort: opt(uint32()),
		}),
	),
	listenerFilter: opt(text()),
	name: opt(text()),
});
export type ListenerMatch = StaticOf<typeof listenerMatchSchema>;

const routeConfigurationMatchSchema = obj({
	portNumber: opt(uint32()),
	portName: opt(text()),
	gateway: opt(text()),
	vhost: opt(
		obj({
			name: opt(text()),
			domainName: opt(text()),
			route: opt(obj({ name: opt(text()), action: opt(oneOf(["ANY", "ROUTE", "REDIRECT", "DIRECT_RESPONSE"])) })),
		}),
	),
	name: opt(text()),
});
export type RouteConfigurationMatch = StaticOf<typeof routeConfigurationMatchSchema>;

const clusterMatchSchema = obj({ portNumber: opt(uint32()), service: opt(text()), subset: opt(text()), name: opt(text()) });
export type ClusterMatch = StaticOf<typeof clusterMatchSchema>;

const waypointMatchSchema = obj({ portNumber: opt(uint32()), filter: opt(filterMatchSchema), route: opt(obj({ name: opt(text()) })) });

const matchSchema = obj(
	{
		context: opt(oneOf(patchContexts)),
		proxy: opt(obj({ proxyVersion: opt(text({ "x-weft-format": "regex" })), metadata: opt(labels()) })),
		listener: opt(listenerMatchSchema),
		routeConfiguration: opt(routeConfigurationMatchSchema),
		cluster: opt(clusterMatchSchema),
		waypoint: opt(waypointMatchSchema),
	},
	{ "x-weft-one-of": [["listener", "routeConfiguration", "cluster", "waypoint"]] },
);
export type EnvoyConfigObjectMatch = StaticOf<typeof matchSchema>;

const configPatchSchema = obj({
	applyTo: opt(oneOf(applyTargets)),
	match: opt(matchSchema),
	patch: opt(
		obj({
			operation: opt(oneOf(patchOperations)),
			value: opt(anything({ description: "The Envoy message, as JSON." })),
			filterClass: opt(oneOf(["UNSPECIFIED", "AUTHN", "AUTHZ", "STATS"])),
		}),
	),
});
export type EnvoyConfigObjectPatch = StaticOf<typeof configPatchSchema>;

export const envoyFilterSchema = obj({
	workloadSelector: opt(workloadSelectorSchema),
	targetRefs: opt(list(targetRefSchema)),
	configPatches: opt(list(configPatchSchema)),
	priority: opt(int32()),
});
export type EnvoyFilterSpec = StaticOf<typeof envoyFilterSchema>;
