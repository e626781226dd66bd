import type { RouteAction as ActionMessage, RouteMatch } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import type { UriTemplateMatchConfig } from "@weft/xds/generated/envoy/extensions/path/match/uri_template/v3/uri_template_match.ts";
import type { UriTemplateRewriteConfig } from "@weft/xds/generated/envoy/extensions/path/rewrite/uri_template/v3/uri_template_rewrite.ts";
import type { RouteAction } from "../routes.ts";
import { parseUriRewrite, parseUriTemplate } from "../uri-template.ts";
import { openAny } from "./any.ts";
import { type At, report, under } from "./issues.ts";
import { decodeRewrite } from "./matchers.ts";

type Rewrites = Pick<RouteAction, "prefixRewrite" | "regexRewrite" | "pathFormat">;

const policyType = "envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig";

/** At most one of them; a template is a regex with its variables as groups. */
export function decodePathRewrite(at: At, action: ActionMessage, match: RouteMatch | undefined): Rewrites {
	const { pathRewrite, pathRewritePolicy, prefixRewrite, regexRewrite } = action;
	const set = [
		prefixRewrite !== "" && "prefix_rewrite",
		regexRewrite && "regex_rewrite",
		pathRewritePolicy && "path_rewrite_policy",
		pathRewrite !== "" && "path_rewrite",
	].filter(Boolean);
	if (set.length > 1) report(at, `only one of ${set.join(" and ")} may be set`);
	return {
		prefixRewrite: prefixRewrite === "" ? undefined : prefixRewrite,
		regexRewrite:
			pathRewritePolicy === undefined
				? regexRewrite && decodeRewrite(under(at, "regexRewrite"), regexRewrite)
				: decodePolicy(under(at, "pathRewritePolicy"), pathRewritePolicy, match),
		pathFormat: pathRewrite === "" ? undefined : pathRewrite,
	};
}

function decodePolicy(at: At, policy: NonNullable<ActionMessage["pathRewritePolicy"]>, match: RouteMatch | undefined): Rewrites["regexRewrite"] {
	const opened = openAny(at, policy.typedConfig, `path rewrite policy ${policy.name}`);
	if (opened === undefined) return undefined;
	if (opened.typeName !== policyType) {
		report(at, `path rewrite policy of type ${opened.typeName} is not implemented`);
		return undefined;
	}
	const template = match?.pathMatchPolicy && openAny({ ...at, errors: [] }, match.pathMatchPolicy.typedConfig, "path match policy");
	if (template === undefined) {
		report(at, "it needs a path_match_policy of uri_template");
		return undefined;
	}
	const parsed = parseUriTemplate((template.message as UriTemplateMatchConfig).pathTemplate);
	// What is wrong with the match is reported there.
	if (parsed.kind === "error") return undefined;
	const { substitution, message } = parseUriRewrite((opened.message as UriTemplateRewriteConfig).pathTemplateRewrite, parsed.variables);
	if (message !== undefined) report(at, `invalid path template rewrite: ${message}`);
	return { pattern: `^${parsed.regex}$`, substitution };
}
