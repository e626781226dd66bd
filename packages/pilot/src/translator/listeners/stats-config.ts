import type { Any } from "@weft/xds";
import { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import type { Direction } from "./http-filters/filter.ts";
import { packed } from "../routes/values.ts";

const outbound = packed("stats.PluginConfig", PluginConfig, {});
// The destination's name must not come from a header that any client can write.
const guarded = packed("stats.PluginConfig", PluginConfig, { disableHostHeaderFallback: true });

/** Configuration of istio.stats, for HTTP and TCP alike. */
export function statsConfig(direction: Direction): Any {
	return direction === "outbound" ? outbound : guarded;
}
