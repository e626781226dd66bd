import { Router } from "@weft/xds/generated/envoy/extensions/filters/http/router/v3/router.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilter, HttpFilterBuilder } from "./filter.ts";

const router = (config: object): HttpFilter => ({
	name: "envoy.filters.http.router",
	typedConfig: packed("envoy.extensions.filters.http.router.v3.Router", Router, config),
});

const plain = router({});
const quiet = router({ suppressEnvoyHeaders: true });

export const buildRouter: HttpFilterBuilder = ({ suppressEnvoyHeaders }) => (suppressEnvoyHeaders ? quiet : plain);
