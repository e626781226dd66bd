import { RBAC_Action } from "@weft/xds/generated/envoy/config/rbac/v3/rbac.ts";
import { type InboundChain, inboundChains } from "./chains.ts";
import { parsePolicyId } from "./policy-id.ts";

/** One AuthorizationPolicy as a proxy runs it, with the action as Envoy and istioctl name it: LOG is AUDIT. */
export interface AppliedPolicy {
	readonly action: "CUSTOM" | "DENY" | "ALLOW" | "LOG";
	/** `name.namespace` */
	readonly policy: string;
	readonly rules: number;
	/** Only counted and logged. */
	readonly dryRun: boolean;
}

const order = ["CUSTOM", "DENY", "ALLOW", "LOG"] as const;
const actionOf = { [RBAC_Action.ALLOW]: "ALLOW", [RBAC_Action.DENY]: "DENY", [RBAC_Action.LOG]: "LOG" } as const;

/** What istioctl calls rules that belong to no policy: an empty allow list. */
const anonymous = "_anonymous_match_nothing_";

/** Each policy once over all inbound chains, in the order in which they are judged. */
export function appliedPolicies(listeners: readonly unknown[]): readonly AppliedPolicy[] {
	const rules = new Map<string, Set<number>>();
	const add = (action: AppliedPolicy["action"], id: string | undefined, dryRun: boolean) => {
		const known = id === undefined ? undefined : parsePolicyId(id);
		const kind = known?.provider === undefined ? action : "CUSTOM";
		const key = JSON.stringify([kind, id === undefined ? anonymous : known ? `${known.name}.${known.namespace}` : id, dryRun]);
		rules.set(key, (rules.get(key) ?? new Set()).add(known?.rule ?? 0));
	};
	for (const chain of inboundChains(listeners)) eachRule(chain, add);
	return [...rules]
		.map(([key, indices]) => {
			const [action, policy, dryRun] = JSON.parse(key) as [AppliedPolicy["action"], string, boolean];
			return { action, policy, rules: indices.size, dryRun };
		})
		.sort((a, b) => order.indexOf(a.action) - order.indexOf(b.action) || (a.policy < b.policy ? -1 : 1));
}

function eachRule({ filters }: InboundChain, add: (action: AppliedPolicy["action"], id: string | undefined, dryRun: boolean) => void): void {
	for (const filter of filters) {
		if (filter.kind !== "rbac") continue;
		const { rules, shadowRules, shadowRulesStatPrefix } = filter.rbac;
		for (const [set, dryRun] of [[rules, false] as const, [shadowRules, !shadowRulesStatPrefix.startsWith("istio_ext_authz_")] as const]) {
			if (set === undefined) continue;
			const action = actionOf[set.action as keyof typeof actionOf] ?? "ALLOW";
			const ids = Object.keys(set.policies);
			for (const id of ids) add(action, id, dryRun);
			if (ids.length === 0 && !dryRun) add(action, undefined, dryRun);
		}
	}
}
