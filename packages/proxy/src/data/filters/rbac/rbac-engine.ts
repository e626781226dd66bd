import type { OnMatch } from "../../../config/matcher-tree.ts";
import type { Rbac, RbacAction, RbacMatcher, RbacPolicies, RbacRules } from "../../../config/http-filters.ts";
import { compileCelNode } from "../../cel/cel.ts";
import { mergeMetadata, type StreamInfo } from "../../log/stream-info.ts";
import type { CompileContext } from "../../match/compile-context.ts";
import { compileMatcherTree } from "../../match/matcher-tree.ts";
import type { Counter } from "../filter-inputs.ts";
import { compileAnyOf } from "./rbac-rule.ts";
import { describeChecked, type RbacTrace } from "./rbac-trace.ts";
import { guardOf } from "./rule-guard.ts";
import { createRuleIndex } from "./rule-index.ts";

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
	/** undefined: nobody reads along. */
	readonly trace?: RbacTrace;
	/** Of what is counted, where it is not named as what is told; Envoy counts a route's rules as the filter's. */
	readonly statPrefixes?: Pick<Rbac, "rulesStatPrefix" | "shadowRulesStatPrefix">;
}

export function compileRbac(config: Rbac, context: CompileContext, { filterName, counter, trace, statPrefixes = config }: RbacReporting): RbacEngine {
	const shadow = config.shadowRules && compileRules(config.shadowRules, context, () => undefined);
	const rules = config.rules && compileRules(config.rules, context, hintToLogs);
	const shadowCounts = shadow && countVerdicts(config.shadowRules, statPrefixes.shadowRulesStatPrefix, "shadow_", config.trackPerRuleStats, counter);
	const counts = rules && countVerdicts(config.rules, statPrefixes.rulesStatPrefix, "", config.trackPerRuleStats, counter);
	const tell = (info: StreamInfo, { isAllowed, policy }: RbacVerdict, prefix: string) => {
		const result = { [`${prefix}engine_result`]: isAllowed ? "allowed" : "denied" };
		mergeMetadata(info, filterName, policy === "" ? result : { ...result, [`${prefix}effective_policy_id`]: policy });
	};
	return {
		judge(info) {
			const told = trace?.isOn() ? trace.write : undefined;
			told?.(describeChecked(info));
			if (shadow !== undefined) {
				const verdict = shadow(info);
				told?.(describeVerdict("shadow", verdict));
				shadowCounts?.(verdict);
				tell(info, verdict, `${config.shadowRulesStatPrefix}shadow_`);
			}
			if (rules === undefined) {
				told?.("no engine, allowed by default");
				return undefined;
			}
			const verdict = rules(info);
			told?.(describeVerdict("enforced", verdict));
			counts?.(verdict);
			tell(info, verdict, `${config.rulesStatPrefix}enforced_`);
			return verdict;
		},
	};
}

const describeVerdict = (rules: "shadow" | "enforced", { isAllowed, policy }: RbacVerdict): string =>
	`${rules} ${isAllowed ? "allowed" : "denied"}, matched policy ${policy || "none"}`;

/** To access logs, of rules that say LOG. */
type Hint = (info: StreamInfo, isLogged: boolean) => void;

function hintToLogs(info: StreamInfo, isLogged: boolean): void {
	mergeMetadata(info, "envoy.common", { access_log_hint: isLogged });
}

function compileRules(rules: RbacRules, context: CompileContext, hint: Hint): Judge {
	return rules.kind === "matcher" ? compileMatcher(rules, context, hint) : compilePolicies(rules, context, hint);
}

function compileMatcher({ tree }: RbacMatcher, context: CompileContext, hint: Hint): Judge {
	const decide = compileMatcherTree(tree, context);
	const logs = actionsIn(tree).some(({ action }) => action === "log");
	const unmatched: RbacVerdict = { isAllowed: false, policy: "" };
	const verdicts = new Map(actionsIn(tree).map((one) => [one, { isAllowed: one.action !== "deny", policy: one.name }]));
	return (info) => {
		const taken = decide(info);
		if (taken === undefined) return unmatched;
		if (logs) hint(info, taken.action === "log");
		return verdicts.get(taken) ?? unmatched;
	};
}

type Tree = RbacMatcher["tree"];
type Taken = { readonly name: string; readonly action: RbacAction };

function actionsIn(tree: Tree): readonly Taken[] {
	const onMatches: readonly OnMatch<Taken>[] =
		tree.kind === "list"
			? tree.cases.map(({ onMatch }) => onMatch)
			: tree.kind === "ip"
				? tree.ranges.map(({ onMatch }) => onMatch)
				: (tree.kind === "serverName" ? tree.domains : tree.entries).map(([, onMatch]) => onMatch);
	return [...onMatches, ...(tree.onNoMatch === undefined ? [] : [tree.onNoMatch])].flatMap((one) =>
		one.kind === "action" ? [one.action] : actionsIn(one.matcher),
	);
}

function compilePolicies({ action, policies }: RbacPolicies, context: CompileContext, hint: Hint): Judge {
	const compiled = policies.map(({ name, permissions, principals, condition }) => ({
		verdict: { isAllowed: action !== "deny", policy: name },
		isPermitted: compileAnyOf(permissions, context),
		isPrincipal: compileAnyOf(principals, context),
		holds: condition && compileCelNode(condition, `condition of policy ${JSON.stringify(name)}`, context),
	}));
	const unmatched: RbacVerdict = { isAllowed: action !== "allow", policy: "" };
	type Policy = (typeof compiled)[number];
	const isMatch = ({ isPermitted, isPrincipal, holds }: Policy, info: StreamInfo): boolean =>
		isPermitted(info) && isPrincipal(info) && (holds === undefined || holds(info));
	const index = createRuleIndex(policies.map(({ permissions, principals }) => guardOf([permissions, principals])));
	const judge: Judge =
		index === undefined
			? (info) => compiled.find((policy) => isMatch(policy, info))?.verdict ?? unmatched
			: (info) => compiled[index.first(info, (at) => isMatch(compiled[at] as Policy, info))]?.verdict ?? unmatched;
	if (action !== "log") return judge;
	// Allows whatever matches, and says so to access logs.
	return (info) => {
		const verdict = judge(info);
		hint(info, verdict.policy !== "");
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
	const policies = !perRule || rules === undefined ? [] : rules.kind === "policies" ? rules.policies : actionsIn(rules.tree);
	const byPolicy = new Map(
		policies.map(({ name }) => [name, { allowed: counter(`${base}policy.${name}.${kind}allowed`), denied: counter(`${base}policy.${name}.${kind}denied`) }]),
	);
	return ({ isAllowed, policy }) => {
		(isAllowed ? allowed : denied)();
		const own = byPolicy.get(policy);
		(isAllowed ? own?.allowed : own?.denied)?.();
	};
}
