import type { FilterOverrideConfig, HttpFilter } from "../../config/http-filters.ts";
import type { StreamFilter } from "../http/stream-filter.ts";
import { compileBandwidthLimit } from "./bandwidth-limit.ts";
import { compileBuffer } from "./buffer.ts";
import { compileCors } from "./cors.ts";
import { compileCsrf } from "./csrf.ts";
import { compileDynamicForwardProxy } from "./dynamic-forward-proxy.ts";
import { compileExtAuthz } from "./ext-authz.ts";
import { compileFault } from "./fault.ts";
import type { FilterInputs } from "./filter-inputs.ts";
import { compileGrpcHttp1Bridge } from "./grpc-http1-bridge.ts";
import { compileOnDemand } from "./on-demand.ts";
import { compileGrpcStats } from "./grpc-stats.ts";
import { compileGrpcWeb } from "./grpc-web.ts";
import { compileHeaderMutation } from "./header-mutation.ts";
import { compileHeaderToMetadata } from "./header-to-metadata.ts";
import { compileHealthCheck } from "./health-check.ts";
import { compileJwtAuthn } from "./jwt/jwt-authn.ts";
import { compileLocalRateLimit } from "./local-rate-limit.ts";
import { compileRateLimit } from "./rate-limit.ts";
import { compileHttpRbac } from "./rbac/rbac.ts";
import { compileSetFilterState } from "./set-filter-state.ts";
import { compileSetMetadata } from "./set-metadata.ts";
import { compileStatefulSession } from "./stateful-session.ts";

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
			return compileHttpRbac(filter.rbac, all("rbac")[0]?.rbac, inputs);
		case "localRateLimit":
			return compileLocalRateLimit(all("localRateLimit")[0]?.limit ?? filter.limit, inputs);
		case "headerMutation": {
			const overrides = all("headerMutation").map(({ mutations }) => mutations);
			return compileHeaderMutation(filter.mutations, overrides, filter.mostSpecificWins, inputs);
		}
		case "headerToMetadata":
			return compileHeaderToMetadata(all("headerToMetadata")[0]?.rules ?? filter.rules, inputs);
		case "setMetadata":
			return compileSetMetadata(filter.entries, inputs);
		case "setFilterState": {
			const values = all("setFilterState").map((override) => override.values);
			return compileSetFilterState(filter.values, filter.clearsRoute, values, inputs);
		}
		case "csrf":
			return compileCsrf(all("csrf")[0]?.policy ?? filter.policy, inputs);
		case "buffer":
			return compileBuffer(all("buffer")[0]?.bytesMax ?? filter.bytesMax);
		case "bandwidthLimit":
			return compileBandwidthLimit(all("bandwidthLimit")[0]?.limit ?? filter.limit, inputs);
		case "statefulSession": {
			const [override] = all("statefulSession");
			return compileStatefulSession(override === undefined ? filter.session : override.session, inputs);
		}
		case "dynamicForwardProxy":
			return compileDynamicForwardProxy(all("dynamicForwardProxy")[0]?.rewrite);
		case "onDemand":
			return compileOnDemand((all("onDemand")[0] ?? filter).clusters, inputs);
		case "grpcWeb":
			return compileGrpcWeb(inputs);
		case "grpcHttp1Bridge":
			return compileGrpcHttp1Bridge();
		case "grpcStats":
			return compileGrpcStats(filter.stats, inputs);
		case "extAuthz": {
			const settings = all("extAuthz").map((override) => override.settings);
			const contextExtensions = Object.assign({}, ...settings.map((one) => one.contextExtensions).toReversed()) as Record<string, string>;
			return compileExtAuthz(filter.authz, settings[0], contextExtensions, inputs);
		}
		case "rateLimit":
			return compileRateLimit(filter.limit, all("rateLimit")[0]?.settings, inputs);
		// These have no part in a stream's way: the router ends it, the others are asked by whoever needs them.
		case "router":
		case "alpn":
		case "istioStats":
		case "peerMetadata":
		// What it is has been looked up before.
		case "discovered":
			return undefined;
	}
}
