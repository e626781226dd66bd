import type { XdsType } from "../type-urls.ts";

interface Methods {
	/** Undefined: there is no such variant. */
	readonly sotw: string | undefined;
	readonly delta: string;
}

const methodsOf = (service: string, suffix: string): Methods => ({
	sotw: `/envoy.service.${service}/Stream${suffix}`,
	delta: `/envoy.service.${service}/Delta${suffix}`,
});

/** Each type's own service (xDS protocol, "RPC services and variants"), and the one that carries all types. */
const methods = {
	aggregated: methodsOf("discovery.v3.AggregatedDiscoveryService", "AggregatedResources"),
	cds: methodsOf("cluster.v3.ClusterDiscoveryService", "Clusters"),
	eds: methodsOf("endpoint.v3.EndpointDiscoveryService", "Endpoints"),
	lds: methodsOf("listener.v3.ListenerDiscoveryService", "Listeners"),
	rds: methodsOf("route.v3.RouteDiscoveryService", "Routes"),
	vhds: { ...methodsOf("route.v3.VirtualHostDiscoveryService", "VirtualHosts"), sotw: undefined },
	sds: methodsOf("secret.v3.SecretDiscoveryService", "Secrets"),
	ecds: methodsOf("extension.v3.ExtensionConfigDiscoveryService", "ExtensionConfigs"),
	rtds: methodsOf("runtime.v3.RuntimeDiscoveryService", "Runtime"),
} satisfies Readonly<Record<string, Methods>>;

export type DiscoveryService = keyof typeof methods;

/** Types that have a service of their own. */
export type OwnServiceType = Exclude<DiscoveryService, "aggregated"> & XdsType;

/** The path of a service's streaming method. @throws Error where the service has no such variant */
export function discoveryMethod(service: DiscoveryService, mode: "sotw" | "delta"): string {
	const path: string | undefined = methods[service][mode];
	if (path === undefined) throw new Error(`${service} has no state-of-the-world variant`);
	return path;
}
