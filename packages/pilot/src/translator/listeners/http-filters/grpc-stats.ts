import { FilterConfig } from "@weft/xds/generated/envoy/extensions/filters/http/grpc_stats/v3/config.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = {
	name: "envoy.filters.http.grpc_stats",
	typedConfig: packed("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", FilterConfig, {
		emitFilterState: true,
		statsForAllMethods: false,
	}),
};

/** Leaves message counts in filter state, where istio.stats reads them. */
export const buildGrpcStats: HttpFilterBuilder = () => filter;
