import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { ServerOptions } from "./server-options.ts";

const vhdsFeature = "weft.xds.vhds";

/** What control planes ask about before they rely on it. */
const extensions = [
	{ name: "envoy.clusters.dynamic_forward_proxy", category: "envoy.clusters" },
	{ name: "envoy.filters.http.dynamic_forward_proxy", category: "envoy.filters.http" },
	{ name: "envoy.filters.network.sni_dynamic_forward_proxy", category: "envoy.filters.network" },
	{ name: "istio.alpn", category: "envoy.filters.http" },
	{ name: "istio.stats", category: "envoy.filters.http" },
	{ name: "istio.peer_metadata", category: "envoy.filters.http" },
];

/** Who this proxy tells the control plane that it is. */
export function nodeOf({ config, version }: ServerOptions): Node {
	const { id, cluster } = config.node;
	// Virtual hosts one by one, from a Pilot that knows the word; to any other it says nothing.
	const clientFeatures = [...(config.message.node?.clientFeatures ?? []), vhdsFeature];
	return Node.fromPartial({ ...config.message.node, id, cluster, userAgentName: "weft-proxy", userAgentVersion: version, clientFeatures, extensions });
}
