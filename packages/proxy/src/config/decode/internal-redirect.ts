import type { InternalRedirectPolicy as PolicyMessage } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { AllowListedRoutesConfig } from "@weft/xds/generated/envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.ts";
import type { InternalRedirectPolicy, RedirectPredicate } from "../internal-redirect.ts";
import { openAny } from "./any.ts";
import { type At, report, under } from "./issues.ts";

const predicateTypes = "envoy.extensions.internal_redirect";

/** Those that name a place to go to; others are passed over, as in Envoy. */
const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308];

export function decodeInternalRedirect(at: At, policy: PolicyMessage): InternalRedirectPolicy {
	const { redirectResponseCodes: codes, responseHeadersToCopy } = policy;
	const copiedHeaders = responseHeadersToCopy.map((name) => name.toLowerCase());
	const unfit = copiedHeaders.find((name) => name.startsWith(":") || name === "host");
	if (unfit !== undefined) report(under(at, "responseHeadersToCopy"), `:-prefixed headers or Hosts may not be specified here (${unfit})`);
	return {
		redirectsMax: policy.maxInternalRedirects ?? 1,
		statuses: codes.length === 0 ? [302] : codes.filter((code) => redirectStatuses.includes(code)),
		predicates: policy.predicates.map((predicate, i) => decodePredicate(under(at, `predicates[${i}]`), predicate)).filter((one) => one !== undefined),
		allowsCrossScheme: policy.allowCrossSchemeRedirect,
		copiedHeaders,
	};
}

function decodePredicate(at: At, { name, typedConfig }: PolicyMessage["predicates"][number]): RedirectPredicate | undefined {
	const opened = openAny(at, typedConfig, `internal redirect predicate ${name}`);
	if (opened === undefined) return undefined;
	const { typeName, message } = opened;
	if (typeName === `${predicateTypes}.previous_routes.v3.PreviousRoutesConfig`) return { kind: "previousRoutes" };
	if (typeName === `${predicateTypes}.safe_cross_scheme.v3.SafeCrossSchemeConfig`) return { kind: "safeCrossScheme" };
	if (typeName === `${predicateTypes}.allow_listed_routes.v3.AllowListedRoutesConfig`)
		return { kind: "allowListedRoutes", names: (message as AllowListedRoutesConfig).allowedRouteNames };
	report(at, `internal redirect predicate of type ${typeName} is not implemented`);
	return undefined;
}
