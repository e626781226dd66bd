import { clusterCounters, clusterGauges } from "../stats/families.ts";

/** Positions in a cluster's block: a property of a constant, where a name would be looked up anew for each count. */
export const clusterStat = clusterCounters.index;
export const clusterGauge = clusterGauges.index;
