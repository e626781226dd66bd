import type { Rbac, RbacRules } from "../../../config/http-filters.ts";
import { compileCelNode } from "../../cel/cel.ts";
import { mergeMetadata, type StreamInfo } from "../../log/stream-info.ts";
import type { CompileContext } from "../../match/compile-context.ts";
import type { Counter } from "../filter-inputs.ts";
import { anyOf, compileRbacRule } from "./rbac-rule.ts";

export interface RbacVerdict {
	readonly isAllowed: boolean;
	/** The policy that decided; "" when none matched. */
	readonly policy: string;
}

type Judge = (info: StreamInfo) => RbacVerdict;

/** Both rule sets of one configuration, with what is counted and told of them. */
export interface RbacEngine {
	/** undefined: nothing is enforced. */
	judge(info: StreamInfo): RbacVerdict | undefined;
}

export interface RbacReporting {
	/** Namespace of the dynamic metadata. */
	readonly filterName: string;
	readonly counter: (name: string) => Counter;
}

export function compileRbac(config: Rbac, context: CompileContext, { filterName, counter }: RbacReporting): RbacEngine {
	const shadow = config.shadowRules && compileRules(config.shadowRules, context);
	const rules = config.rules && compileRules(config.rules, context);
	const shadowCounts = shadow && countVerdicts(config.shadowRules, config.shadowRulesStatPrefix, "shadow_", config.trackPerRuleStats, counter);
	const counts = rules && countVerdicts(config.rules, config.rulesStatPrefix, "", config.trackPerRuleStats, counter);
	const tell = (info: StreamInfo, { isAllowed, policy }: RbacVerdict, prefix: string) => {
		const result = { [`${prefix}engine_result`]: isAllowed ? "allowed" : "denied" };
		mergeMetadata(info, filterName, policy === "" ? result : { ...result, [`${prefix}effective_policy_id`]: policy });
	};
	return {
		judge(info) {
			if (shadow !== undefined) {
				const verdict = shadow(info);
				shadowCounts?.(verdict);
				tell(info, verdict, `${config.shadowRulesStatPrefix}shadow_`);
			}
			if (rules === undefined) return undefined;
			const verdict = rules(info);
			counts?.(verdict);
			tell(info, verdict, `${config.rulesStatPrefix}enforced_`);
			return verdict;
		},
	};
}

function compileRules({ action, policies }: RbacRules, context: CompileContext): Judge {
	const compiled = policies.map(({ name, permissions, principals, condition }) => ({
		verdict: { isAllowed: action !== "deny", policy: name },
		isPermitted: anyOf(permissions.map((rule) => compileRbacRule(rule, context))),
		isPrincipal: anyOf(principals.map((rule) => compileRbacRule(rule, context))),
		holds: condition && compileCelNode(condition, `condition of policy ${JSON.stringify(name)}`, context),
	}));
	const unmatched: RbacVerdict = { isAllowed: action !== "allow", policy: "" };
	const judge: Judge = (info) => {
		for (const { verdict, isPermitted, isPrincipal, holds } of compiled) {
			if (isPermitted(info) && isPrincipal(info) && (holds === undefined || holds(info))) return verdict;
		}
		return unmatched;
	};
	if (action !== "log") return judge;
	// Allows whatever matches, and says so to access logs.
	return (info) => {
		const verdict = judge(info);
		mergeMetadata(info, "envoy.common", { access_log_hint: verdict.policy !== "" });
		return verdict;
	};
}

/** `rbac.[<prefix>.]allowed` and, for each policy when asked for, `rbac.[<prefix>.]policy.<name>.allowed`. */
function countVerdicts(
	rules: RbacRules | undefined,
	prefix: string,
	kind: "" | "shadow_",
	perRule: boolean,
	counter: (name: string) => Counter,
): (verdict: RbacVerdict) => void {
	const base = prefix === "" || prefix.endsWith(".") ? prefix : `${prefix}.`;
	const allowed = counter(`${base}${kind}allowed`);
	const denied = counter(`${base}${kind}denied`);
	const policies = perRule ? (rules?.policies ?? []) : [];
	const byPolicy = new Map(
		policies.map(({ name }) => [name, { allowed: counter(`${base}policy.${name}.${kind}allowed`), denied: counter(`${base}policy.${name}.${kind}denied`) }]),
	);
	return ({ isAllowed, policy }) => {
		(isAllowed ? allowed : denied)();
		const own = byPolicy.get(policy);
		(isAllowed ? own?.allowed : own?.denied)?.();
	};
}
