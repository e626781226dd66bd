import { http2Counters } from "../stats/families.ts";

export const http2Stat = http2Counters.index;
export type Http2Stat = number;
