import { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = { name: "envoy.filters.http.router", typedConfig: packed("envoy.extensions.filters.http.router.v3.Router", Router, {}) };

export const buildRouter: HttpFilterBuilder = () => filter;
