export {
	blackHoleCluster,
	inboundClusterName,
	inboundPassthroughCluster,
	outboundClusterName,
	passthroughCluster,
} from "./cluster-name.ts";
export { buildRouteTable, httpProxyRouteName } from "./route-table.ts";
export { differentHosts, type SplitTable, splitTable } from "./split-table.ts";
export { type VirtualHostStats } from "./virtual-host-cache.ts";
export { virtualHostStats } from "./virtual-host.ts";
