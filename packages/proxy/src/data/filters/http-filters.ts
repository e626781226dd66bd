import type { FilterOverrideConfig, HttpFilter } from "../../config/http-filters.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { compileCors } from "./cors.ts";
import { compileFault } from "./fault.ts";
import type { FilterInputs } from "./filter-inputs.ts";
import { compileHealthCheck } from "./health-check.ts";
import { compileJwtAuthn } from "./jwt/jwt-authn.ts";
import { compileHttpRbac } from "./rbac/rbac.ts";

type OfKind<Kind extends FilterOverrideConfig["kind"]> = Extract<FilterOverrideConfig, { kind: Kind }>;

/** A filter as it is on one route; `overrides` from the most specific to the least. undefined: it has nothing to do there. */
export function compileHttpFilter(filter: HttpFilter, overrides: readonly FilterOverrideConfig[], inputs: FilterInputs): StreamFilter | undefined {
	const all = <Kind extends FilterOverrideConfig["kind"]>(kind: Kind) => overrides.filter((override): override is OfKind<Kind> => override.kind === kind);
	switch (filter.kind) {
		case "cors":
			return compileCors(all("cors")[0]?.policy, inputs);
		case "fault":
			return compileFault(all("fault")[0]?.policy ?? filter.policy, inputs);
		case "healthCheck":
			return compileHealthCheck(filter.check, inputs);
		case "jwtAuthn":
			return compileJwtAuthn(filter.jwt, all("jwtAuthn")[0]?.requirementName, inputs);
		case "rbac":
			return compileHttpRbac(all("rbac")[0]?.rbac ?? filter.rbac, inputs);
		// These have no part in a stream's way: the router ends it, the others are asked by whoever needs them.
		case "router":
		case "alpn":
		case "istioStats":
		case "peerMetadata":
			return undefined;
	}
}
