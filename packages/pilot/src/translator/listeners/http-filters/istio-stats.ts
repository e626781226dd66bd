import { statsConfig } from "../stats-config.ts";
import type { HttpFilterBuilder } from "./filter.ts";

/** Istio's standard metrics (istio_requests_total and its kin). */
export const buildIstioStats: HttpFilterBuilder = ({ direction, istioExtensions, metrics }) =>
	istioExtensions && metrics ? { name: "istio.stats", typedConfig: statsConfig(direction) } : undefined;
