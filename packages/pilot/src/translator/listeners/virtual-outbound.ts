import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { ProxyContext } from "../context.ts";
import { blackHoleCluster } from "../routes/cluster-name.ts";
import { addressOf, alsoIpv6, wildcardIpOf } from "./addresses.ts";
import type { ListenerInput } from "./listener-input.ts";
import { blackHoleFilters } from "./network-filters.ts";
import { fallthroughFilters } from "./outbound-draft.ts";

/** Takes all captured outbound traffic and hands it to the listener of its original destination; what has none ends here. */
export function buildVirtualOutbound({ push, scope, node }: ProxyContext, input: ListenerInput): Listener {
	const port = push.meshConfig.proxyListenPort ?? 15_001;
	return Listener.fromPartial({
		name: "virtualOutbound",
		address: addressOf({ ip: wildcardIpOf(node), port }),
		...alsoIpv6(input.dualStack, { ip: wildcardIpOf(node), port }),
		filterChains: [
			{
				// Traffic to the listener's own port would loop for ever.
				name: "virtualOutbound-blackhole",
				filterChainMatch: { destinationPort: port },
				filters: [...blackHoleFilters(input, "outbound", blackHoleCluster)],
			},
			{ name: "virtualOutbound-catchall-tcp", filters: [...fallthroughFilters(scope, input)] },
		],
		useOriginalDst: true,
		trafficDirection: TrafficDirection.OUTBOUND,
		maxConnectionsToAcceptPerSocketEvent: 1,
		accessLog: [...input.of("outbound").policies.accessLogs.listener],
		...(node.interceptionMode === "TPROXY" ? { transparent: true } : {}),
	});
}
