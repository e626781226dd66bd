import { httpCounters, httpGauges } from "../stats/families.ts";

/** Positions in a connection manager's block, see upstream/cluster-stats.ts. */
export const httpStat = httpCounters.index;
export const httpGauge = httpGauges.index;
