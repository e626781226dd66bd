import type { PluginConfig } from "@weft/xds/generated/stats/config.ts";
import type { IstioStats } from "../telemetry.ts";
import { type At, onlySupports, report, under } from "./issues.ts";

/** istio.stats. New metrics (`definitions`) and conditions (`match`) need CEL, which is not here. */
export function decodeIstioStats(at: At, plugin: PluginConfig): IstioStats {
	onlySupports(at, "stats.PluginConfig", plugin, [
		"disableHostHeaderFallback",
		"tcpReportingDuration",
		"metrics",
		"reporter",
		"rotationInterval",
		"gracefulDeletionInterval",
	]);
	return {
		disableHostHeaderFallback: plugin.disableHostHeaderFallback,
		reporter: plugin.reporter === 1 ? "gateway" : "default",
		overrides: plugin.metrics.map((metric, i) => {
			if (metric.match !== "") report(under(at, `metrics[${i}].match`), "match is not implemented");
			return { metric: metric.name, drop: metric.drop, removeTags: metric.tagsToRemove, dimensions: metric.dimensions };
		}),
	};
}
