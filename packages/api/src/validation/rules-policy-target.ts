import type { MatchLabelsSelector, TargetRef } from "../schema/common.ts";
import type { Report } from "./report.ts";
import { checkSelectorLabels, checkSelectorSet } from "./rules-common.ts";
import { quote } from "./suggestion.ts";

interface Targeted {
	readonly selector?: MatchLabelsSelector;
	readonly targetRef?: TargetRef;
	readonly targetRefs?: readonly TargetRef[];
}

/** Istio's own limit. */
const targetRefsMax = 16;

const targets: readonly (readonly [group: string, kind: string])[] = [
	["", "Service"],
	["core", "Service"],
	["gateway.networking.k8s.io", "Gateway"],
	["gateway.networking.k8s.io", "GatewayClass"],
	["networking.istio.io", "ServiceEntry"],
];

/** The part that all policies have in common: https://istio.io/latest/docs/reference/config/type/workload-selector/ */
export function checkPolicyTarget(report: Report, { selector, targetRef, targetRefs }: Targeted): void {
	const set = [selector && "selector", targetRef && "targetRef", targetRefs?.length && "targetRefs"].filter((name) => typeof name === "string");
	if (set.length > 1) report.error(`only one of ${set.join(" and ")} may be set; keep one`);
	checkSelectorLabels(report.at("selector", "matchLabels"), selector?.matchLabels);
	checkSelectorSet(report.at("selector"), selector, selector?.matchLabels);
	if (targetRef) checkTargetRef(report.at("targetRef"), targetRef);
	checkTargetRefs(report.at("targetRefs"), targetRefs);
}

export function checkTargetRefs(report: Report, refs: readonly TargetRef[] | undefined): void {
	if (refs && refs.length > targetRefsMax) report.error(`there are ${refs.length} targetRefs, at most ${targetRefsMax} are allowed`);
	for (const [i, ref] of (refs ?? []).entries()) checkTargetRef(report.at(i), ref);
}

function checkTargetRef(report: Report, { group = "", kind, name, namespace = "" }: TargetRef): void {
	if (name === "") report.at("name").error("the target's name is empty");
	if (namespace !== "") report.at("namespace").error("a policy cannot target another namespace; remove the field, and put the policy beside its target");
	if (targets.some(([g, k]) => g === group && k === kind)) return;
	const known = targets.filter(([g]) => g !== "core").map(([g, k]) => (g === "" ? k : `${g}/${k}`));
	report.error(`${quote(group === "" ? kind : `${group}/${kind}`)} is no kind that policies can target; write one of ${known.join(", ")}`);
}
