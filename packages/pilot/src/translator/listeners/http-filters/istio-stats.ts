import type { HttpFilterBuilder } from "./filter.ts";

/** Istio's standard metrics (istio_requests_total and its kin), one filter a provider. */
export const buildIstioStats: HttpFilterBuilder = ({ policies }) => policies.stats;
