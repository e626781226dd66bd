import { packAny } from "@weft/xds";
import { Cluster, Cluster_DiscoveryType } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import { HttpConnectionManager } from "@weft/xds/generated/envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.ts";
import { type PodOptions, podPorts } from "./pod-options.ts";

const managerType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const routerType = "envoy.extensions.filters.http.router.v3.Router";

/** What Istio's bootstrap serves beside what the control plane sends: readiness on 15021, statistics on 15090. */
export function buildPodResources({ podIp, statusPort }: PodOptions, adminPort: number): { readonly listeners: Listener[]; readonly clusters: Cluster[] } {
	const any = podIp.includes(":") ? "::" : "0.0.0.0";
	return {
		clusters: [loopback("agent", statusPort), loopback("prometheus_stats", adminPort)],
		listeners: [
			listener(any, podPorts.status, "agent", { path: "/healthz/ready" }, "agent"),
			listener(any, podPorts.prometheus, "stats", { prefix: "/stats/prometheus" }, "prometheus_stats"),
		],
	};
}

function loopback(name: string, port: number): Cluster {
	const endpoint = { address: { socketAddress: { address: "127.0.0.1", portValue: port } } };
	return Cluster.fromPartial({
		name,
		type: Cluster_DiscoveryType.STATIC,
		connectTimeout: { seconds: 0n, nanos: 250_000_000 },
		loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint }] }] },
	});
}

function listener(address: string, port: number, statPrefix: string, match: object, cluster: string): Listener {
	const manager = HttpConnectionManager.fromPartial({
		statPrefix,
		routeConfig: { virtualHosts: [{ name: "backend", domains: ["*"], routes: [{ match, route: { cluster } }] }] },
		httpFilters: [{ name: "envoy.filters.http.router", typedConfig: packAny(routerType, Router, Router.fromPartial({})) }],
	});
	const filters = [{ name: "envoy.filters.network.http_connection_manager", typedConfig: packAny(managerType, HttpConnectionManager, manager) }];
	return Listener.fromPartial({ name: `${statPrefix}_${port}`, address: { socketAddress: { address, portValue: port } }, filterChains: [{ filters }] });
}
