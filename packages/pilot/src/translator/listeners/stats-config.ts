import type { Any } from "@weft/xds";
import { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import { packed } from "../routes/values.ts";

const outbound = packed("stats.PluginConfig", PluginConfig, {});
// A server must not take the destination's name from a header that any client can write.
const inbound = packed("stats.PluginConfig", PluginConfig, { disableHostHeaderFallback: true });

/** Configuration of istio.stats, for HTTP and TCP alike. */
export function statsConfig(direction: "inbound" | "outbound"): Any {
	return direction === "outbound" ? outbound : inbound;
}
