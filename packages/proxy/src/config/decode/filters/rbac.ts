import type { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import type { Action, Permission, Principal, RBAC as RulesMessage } from "@weft/xds/generated/envoy/config/rbac/v3/rbac.ts";
import type { RBAC as HttpMessage } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import type { RBAC as NetworkMessage } from "@weft/xds/generated/envoy/extensions/filters/network/rbac/v3/rbac.ts";
import type { UriTemplateMatchConfig } from "@weft/xds/generated/envoy/extensions/path/match/uri_template/v3/uri_template_match.ts";
import type { Matcher } from "@weft/xds/generated/xds/type/matcher/v3/matcher.ts";
import { isIP } from "node:net";
import type { Rbac, RbacMatcher, RbacPolicies, RbacRule, RbacRules } from "../../http-filters.ts";
import { parseUriTemplate } from "../../uri-template.ts";
import { openAny } from "../any.ts";
import { decodeCelExpression } from "../cel-expression.ts";
import { type At, onlySupports, report, under } from "../issues.ts";
import { connectionInputs, decodeMatcherTree, requestInputs } from "../matcher-tree.ts";
import { decodeHeaderMatch, decodeMetadataMatch, decodeStringMatch } from "../matchers.ts";

const httpFields = ["rules", "rulesStatPrefix", "matcher", "shadowRules", "shadowMatcher", "shadowRulesStatPrefix", "trackPerRuleStats"];

export function decodeHttpRbac(at: At, rbac: HttpMessage): Rbac {
	onlySupports(at, "envoy.extensions.filters.http.rbac.v3.RBAC", rbac, httpFields);
	return {
		...decodeBoth(at, rbac, requestInputs, "RBAC HTTP filter cannot match on"),
		rulesStatPrefix: rbac.rulesStatPrefix,
		shadowRulesStatPrefix: rbac.shadowRulesStatPrefix,
		trackPerRuleStats: rbac.trackPerRuleStats,
	};
}

/** Judged once whatever `enforcement_type` says: nothing that the rules look at changes while a connection lasts. */
export function decodeNetworkRbac(at: At, rbac: NetworkMessage): Rbac {
	for (const field of ["rules", "shadowRules"] as const) {
		const has = Object.values(rbac[field]?.policies ?? {}).some(
			({ permissions, principals }) => permissions.some(asksForHeader) || principals.some(asksForHeader),
		);
		// As Envoy has it: a connection has no headers, and a rule that never matches would be taken for one that protects.
		if (has) report(under(at, field), "header rules are not supported in the RBAC network filter");
	}
	const supported = ["rules", "matcher", "shadowRules", "shadowMatcher", "shadowRulesStatPrefix", "statPrefix", "enforcementType"];
	onlySupports(at, "envoy.extensions.filters.network.rbac.v3.RBAC", rbac, supported);
	return {
		...decodeBoth(at, rbac, connectionInputs, "RBAC network filter cannot match"),
		rulesStatPrefix: "",
		shadowRulesStatPrefix: rbac.shadowRulesStatPrefix,
		trackPerRuleStats: false,
	};
}

type Both = Pick<HttpMessage & NetworkMessage, "rules" | "matcher" | "shadowRules" | "shadowMatcher">;

/** Beside a matcher, rules are not looked at. */
function decodeBoth(at: At, message: Both, inputs: readonly string[], refusal: string): Pick<Rbac, "rules" | "shadowRules"> {
	const decode = (name: string, rules: RulesMessage | undefined, matcherName: string, matcher: Matcher | undefined): RbacRules | undefined => {
		const policies = rules && decodeRules(under(at, name), rules);
		return matcher === undefined ? policies : decodeMatcher(under(at, matcherName), matcher, inputs, refusal);
	};
	return {
		rules: decode("rules", message.rules, "matcher", message.matcher),
		shadowRules: decode("shadowRules", message.shadowRules, "shadowMatcher", message.shadowMatcher),
	};
}

function decodeMatcher(at: At, matcher: Matcher, inputs: readonly string[], refusal: string): RbacMatcher {
	const tree = decodeMatcherTree(at, matcher, {
		inputs: new Set(inputs),
		refusal,
		decodeAction(here, { typeName, message }) {
			if (typeName !== "envoy.config.rbac.v3.Action") {
				report(here, `action of type ${typeName} is not one of RBAC's (envoy.config.rbac.v3.Action)`);
				return undefined;
			}
			const { name, action } = message as Action;
			return { name, action: actions[action] ?? "allow" };
		},
	});
	return { kind: "matcher", tree };
}

type AnyRule = Partial<Permission & Principal>;

function asksForHeader({ header, andRules, orRules, notRule, andIds, orIds, notId }: AnyRule): boolean {
	const inner: readonly AnyRule[] = [andRules?.rules, orRules?.rules, andIds?.ids, orIds?.ids].flatMap((rules: readonly AnyRule[] = []) => rules);
	return header !== undefined || inner.some(asksForHeader) || [notRule, notId].some((rule) => rule !== undefined && asksForHeader(rule));
}

const actions = ["allow", "deny", "log"] as const;

function decodeRules(at: At, rules: RulesMessage): RbacPolicies {
	onlySupports(at, "envoy.config.rbac.v3.RBAC", rules, ["action", "policies"]);
	const policies = Object.entries(rules.policies).toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
	return {
		kind: "policies",
		action: actions[rules.action] ?? "allow",
		policies: policies.map(([name, policy]) => {
			const here = under(at, `policies["${name}"]`);
			onlySupports(here, "envoy.config.rbac.v3.Policy", policy, ["permissions", "principals", "condition"]);
			return {
				name,
				permissions: policy.permissions.map((permission, i) => decodePermission(under(here, `permissions[${i}]`), permission)),
				principals: policy.principals.map((principal, i) => decodePrincipal(under(here, `principals[${i}]`), principal)),
				...(policy.condition && { condition: decodeCelExpression(under(here, "condition"), policy.condition) }),
			};
		}),
	};
}

/** Stands where there was an error, and matches nothing. */
const nothing: RbacRule = { kind: "or", rules: [] };

function decodePermission(at: At, rule: Permission): RbacRule {
	const all = (name: string, rules: readonly Permission[]) => rules.map((r, i) => decodePermission(under(at, `${name}.rules[${i}]`), r));
	if (rule.andRules !== undefined) return { kind: "and", rules: all("andRules", rule.andRules.rules) };
	if (rule.orRules !== undefined) return { kind: "or", rules: all("orRules", rule.orRules.rules) };
	if (rule.notRule !== undefined) return { kind: "not", rule: decodePermission(under(at, "notRule"), rule.notRule) };
	if (rule.destinationIp !== undefined) return decodeIp(under(at, "destinationIp"), "destinationIp", rule.destinationIp);
	if (rule.destinationPort !== undefined) return { kind: "destinationPort", start: rule.destinationPort, end: rule.destinationPort + 1 };
	if (rule.destinationPortRange !== undefined) {
		const { start, end } = rule.destinationPortRange;
		if (start >= end) report(under(at, "destinationPortRange"), `range start ${start} cannot be greater or equal than range end ${end}`);
		return { kind: "destinationPort", start, end };
	}
	if (rule.requestedServerName !== undefined)
		return { kind: "requestedServerName", match: decodeStringMatch(under(at, "requestedServerName"), rule.requestedServerName) };
	if (rule.uriTemplate !== undefined) return decodeUriTemplate(under(at, "uriTemplate"), rule.uriTemplate);
	if (rule.matcher !== undefined) report(under(at, "matcher"), `matcher ${rule.matcher.name} is not implemented`);
	return decodeCommon(at, rule);
}

function decodePrincipal(at: At, id: Principal): RbacRule {
	const all = (name: string, ids: readonly Principal[]) => ids.map((r, i) => decodePrincipal(under(at, `${name}.ids[${i}]`), r));
	if (id.andIds !== undefined) return { kind: "and", rules: all("andIds", id.andIds.ids) };
	if (id.orIds !== undefined) return { kind: "or", rules: all("orIds", id.orIds.ids) };
	if (id.notId !== undefined) return { kind: "not", rule: decodePrincipal(under(at, "notId"), id.notId) };
	if (id.authenticated !== undefined) {
		const { principalName } = id.authenticated;
		return { kind: "authenticated", name: principalName && decodeStringMatch(under(at, "authenticated.principalName"), principalName) };
	}
	if (id.sourceIp !== undefined) return decodeIp(under(at, "sourceIp"), "sourceIp", id.sourceIp);
	if (id.directRemoteIp !== undefined) return decodeIp(under(at, "directRemoteIp"), "directRemoteIp", id.directRemoteIp);
	if (id.remoteIp !== undefined) return decodeIp(under(at, "remoteIp"), "remoteIp", id.remoteIp);
	if (id.filterState !== undefined)
		return { kind: "filterState", key: id.filterState.key, match: decodeStringMatch(under(at, "filterState.stringMatch"), id.filterState.stringMatch) };
	return decodeCommon(at, id);
}

function decodeCommon(at: At, rule: Pick<Permission & Principal, "any" | "header" | "urlPath" | "metadata">): RbacRule {
	if (rule.any !== undefined) return { kind: "any" };
	if (rule.header !== undefined) return { kind: "header", header: decodeHeaderMatch(under(at, "header"), rule.header) };
	if (rule.urlPath !== undefined) return { kind: "urlPath", match: decodeStringMatch(under(at, "urlPath.path"), rule.urlPath.path) };
	if (rule.metadata !== undefined) return { kind: "metadata", match: decodeMetadataMatch(under(at, "metadata"), rule.metadata) };
	return nothing;
}

interface Range {
	readonly addressPrefix: string;
	readonly prefixLen: number | undefined;
}

function decodeIp(at: At, kind: "destinationIp" | "sourceIp" | "directRemoteIp" | "remoteIp", { addressPrefix, prefixLen = 0 }: Range): RbacRule {
	const bitsMax = isIP(addressPrefix) === 6 ? 128 : 32;
	if (isIP(addressPrefix) === 0) report(at, `malformed IP address: ${addressPrefix}`);
	return { kind, cidr: `${addressPrefix}/${Math.min(prefixLen, bitsMax)}` };
}

function decodeUriTemplate(at: At, extension: TypedExtensionConfig): RbacRule {
	const opened = openAny(at, extension.typedConfig, `URI template ${extension.name}`);
	if (opened === undefined) return nothing;
	if (opened.typeName !== "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig") {
		report(at, `URI template of type ${opened.typeName} is not implemented`);
		return nothing;
	}
	const { pathTemplate } = opened.message as UriTemplateMatchConfig;
	const parsed = parseUriTemplate(pathTemplate);
	if (parsed.kind === "error") report(at, `invalid path template ${JSON.stringify(pathTemplate)}: ${parsed.message}`);
	return { kind: "uriTemplate", template: pathTemplate };
}
