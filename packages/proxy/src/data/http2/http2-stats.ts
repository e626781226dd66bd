import { http2Counters, http2Gauges } from "../stats/families.ts";

export const http2Stat = http2Counters.index;
export const http2Gauge = http2Gauges.index;
/** A value of `http2Stat`. */
export type Http2Stat = number;
