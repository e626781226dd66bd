import { Cors } from "@weft/xds/generated/envoy/extensions/filters/http/cors/v3/cors.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = { name: "envoy.filters.http.cors", typedConfig: packed("envoy.extensions.filters.http.cors.v3.Cors", Cors, {}) };

/** Does nothing by itself: routes configure it. */
export const buildCorsFilter: HttpFilterBuilder = () => filter;
