import { HTTPFault } from "@weft/xds/generated/envoy/extensions/filters/http/fault/v3/fault.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = { name: "envoy.filters.http.fault", typedConfig: packed("envoy.extensions.filters.http.fault.v3.HTTPFault", HTTPFault, {}) };

/** Does nothing by itself: routes configure it. */
export const buildFaultFilter: HttpFilterBuilder = () => filter;
