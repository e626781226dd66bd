import { BuildVersion, Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import type { BootstrapConfig } from "../config/bootstrap/decode-bootstrap.ts";

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

/** How this proxy tells control planes of itself: what the bootstrap says of the node, and what we can. */
export function nodeOf({ config, version }: { readonly config: BootstrapConfig; readonly version: string }): Node {
	const { id, cluster } = config.node;
	// Virtual hosts one by one, from a Pilot that knows the word; to any other it says nothing.
	const clientFeatures = [...(config.message.node?.clientFeatures ?? []), vhdsFeature];
	const userAgentBuildVersion = buildVersionOf(version);
	return Node.fromPartial({ ...config.message.node, id, cluster, userAgentName: "weft-proxy", userAgentBuildVersion, clientFeatures, extensions });
}

/** `1.2.3-rc.1` as Envoy tells its own version; istioctl shows it. */
function buildVersionOf(version: string): BuildVersion {
	const [numbers = "", label] = version.split("-", 2);
	const [majorNumber, minorNumber, patch] = numbers.split(".").map((part) => Number(part) || 0);
	const metadata = { ...(label !== undefined && { "build.label": label }), "ssl.version": `OpenSSL-${process.versions.openssl}` };
	return BuildVersion.fromPartial({ version: { majorNumber, minorNumber, patch }, metadata });
}
