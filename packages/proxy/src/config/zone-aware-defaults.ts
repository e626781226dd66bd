import type { ZoneAware } from "./load-balancing.ts";

/** Of clusters that say nothing about zones: where the proxy knows its local cluster, zones are looked at. */
export const zoneAwareDefaults: ZoneAware = { routingEnabledPercent: 100, minClusterSize: 6, failsOnPanic: false, localZoneMin: undefined, basis: "hosts" };
