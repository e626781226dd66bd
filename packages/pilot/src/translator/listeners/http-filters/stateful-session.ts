import { StatefulSession } from "@weft/xds/generated/envoy/extensions/filters/http/stateful_session/v3/stateful_session.ts";
import { statefulSessionFilter } from "../../routes/per-filter-config.ts";
import { packed } from "../../routes/values.ts";
import type { HttpFilterBuilder } from "./filter.ts";

const filter = {
	name: statefulSessionFilter,
	typedConfig: packed("envoy.extensions.filters.http.stateful_session.v3.StatefulSession", StatefulSession, {}),
};

/** Does nothing by itself: routes that keep sessions configure it. It is the client's side that chooses the host. */
export const buildStatefulSession: HttpFilterBuilder = ({ sessions, direction }) => (sessions && direction !== "inbound" ? filter : undefined);
