import { type ConfigObject, loadBalancerAnnotation, outlierFailurePercentageAnnotation, parseOutlierFailurePercentage, parseOwnLoadBalancer } from "@weft/api";
import { byAge, compareText } from "./age.ts";
import { bySpecificity, hostCovers, isWildcard, resolveHost } from "./hosts.ts";
import { isEmpty, type Labels, labelsMatch } from "./labels.ts";
import type { DestinationRule, DestinationRuleIndex, HostRules } from "./push.ts";
import type { Reuse } from "./reuse.ts";
import { isVisible } from "./visibility.ts";

type RuleObject = ConfigObject<"DestinationRule">;

interface Options {
	readonly domain: string;
	readonly defaultExportTo: readonly string[];
}

/** A rule with a workloadSelector is for workloads of its own namespace, whatever its exportTo. */
function exportToOf({ spec }: RuleObject, options: Options): readonly string[] {
	if (spec.workloadSelector !== undefined) return ["."];
	return spec.exportTo !== undefined && spec.exportTo.length > 0 ? spec.exportTo : options.defaultExportTo;
}

function selectorOf({ spec }: RuleObject): Labels | undefined {
	const selector = spec.workloadSelector?.matchLabels;
	return isEmpty(selector) ? undefined : selector;
}

/** Rules are merged where host, namespace, workloadSelector and exportTo are the same; elsewhere they stay apart. What the default exports is no exportTo of its own. */
function mergeKey({ metadata, spec }: RuleObject, host: string): string {
	const selector = Object.entries(spec.workloadSelector?.matchLabels ?? {}).sort(([a], [b]) => compareText(a, b));
	const exportTo = spec.workloadSelector === undefined ? [...(spec.exportTo ?? [])].sort() : ["."];
	return JSON.stringify([metadata.namespace, host, selector, exportTo]);
}

/** Subsets are joined (the first of a name stays), the first traffic policy holds for all of them. */
function mergeRules(objects: readonly RuleObject[], host: string, options: Options): DestinationRule {
	const [oldest] = objects as readonly [RuleObject, ...RuleObject[]];
	const { name, namespace } = oldest.metadata;
	const subsets = new Map(objects.toReversed().flatMap(({ spec }) => (spec.subsets ?? []).toReversed().map((subset) => [subset.name, subset] as const)));
	return {
		host,
		namespace,
		name,
		trafficPolicy: objects.find(({ spec }) => spec.trafficPolicy !== undefined)?.spec.trafficPolicy,
		failurePercentage: annotated(objects, outlierFailurePercentageAnnotation, parseOutlierFailurePercentage),
		ownLoadBalancer: annotated(objects, loadBalancerAnnotation, parseOwnLoadBalancer),
		subsets: [...subsets.values()].reverse(),
		exportTo: exportToOf(oldest, options),
		workloadSelector: selectorOf(oldest),
		configPath: `/apis/networking.istio.io/v1/namespaces/${namespace}/destination-rule/${name}`,
		sources: objects.map(({ spec }) => spec),
	};
}

/** What does not parse was refused where it came in. */
function annotated<T>(objects: readonly RuleObject[], name: string, parse: (text: string) => { readonly value?: T | undefined }): T | undefined {
	const text = objects.map(({ metadata }) => metadata.annotations[name]).find((found) => found !== undefined);
	return text === undefined ? undefined : parse(text).value;
}

export function buildDestinationRuleIndex(objects: readonly RuleObject[], options: Options, reuse: Reuse<DestinationRule>): DestinationRuleIndex {
	const groups = new Map<string, { host: string; objects: RuleObject[] }>();
	const selectorKeys = new Set<string>();
	for (const object of [...objects].sort(byAge)) {
		const host = resolveHost(object.spec.host, object.metadata.namespace, options.domain);
		const key = mergeKey(object, host);
		const group = groups.get(key);
		if (group) group.objects.push(object);
		else groups.set(key, { host, objects: [object] });
		for (const label of Object.keys(selectorOf(object) ?? {})) selectorKeys.add(label);
	}
	const rules = [...groups].map(([key, { host, objects }]) => reuse.get(key, objects, () => mergeRules(objects, host, options)));
	return { byNamespace: byNamespace(rules), selectorKeys };
}

function byNamespace(rules: readonly DestinationRule[]): ReadonlyMap<string, HostRules> {
	const index = new Map<string, { exact: Map<string, DestinationRule[]>; wildcard: DestinationRule[] }>();
	for (const rule of rules) {
		let entry = index.get(rule.namespace);
		if (!entry) {
			entry = { exact: new Map(), wildcard: [] };
			index.set(rule.namespace, entry);
		}
		const same = entry.exact.get(rule.host);
		if (isWildcard(rule.host)) entry.wildcard.push(rule);
		else if (same) same.push(rule);
		else entry.exact.set(rule.host, [rule]);
	}
	for (const entry of index.values()) entry.wildcard.sort((a, b) => bySpecificity(a.host, b.host));
	return index;
}

/** Rules of the most specific host that covers `host` and has an accepted one. */
function rulesFor(rules: HostRules | undefined, host: string, accept: (rule: DestinationRule) => boolean): readonly DestinationRule[] {
	if (!rules) return [];
	const exact = (rules.exact.get(host) ?? []).filter(accept);
	if (exact.length > 0) return exact;
	const best = rules.wildcard.find((rule) => hostCovers(rule.host, host) && accept(rule));
	return best ? rules.wildcard.filter((rule) => rule.host === best.host && accept(rule)) : [];
}

const isPrivate = ({ exportTo, namespace }: DestinationRule): boolean => exportTo.length === 1 && (exportTo[0] === "." || exportTo[0] === namespace);

/**
 * The rules on a host as seen from a namespace: those of the client's own namespace, else those that the service's namespace
 * exports to it, else those of the root namespace. Of each namespace the most specific host counts, even if its rules are for others.
 * What the root namespace exports is for all, so its own clients ask the service's namespace before it. https://istio.io/latest/docs/ops/best-practices/traffic-management/#cross-namespace-configuration
 */
export function visibleRules(
	index: DestinationRuleIndex,
	host: string,
	namespace: string,
	serviceNamespace: string,
	rootNamespace: string,
): readonly DestinationRule[] {
	const isOwn = namespace === rootNamespace ? isPrivate : (rule: DestinationRule) => isVisible(rule.exportTo, namespace, namespace);
	const own = rulesFor(index.byNamespace.get(namespace), host, isOwn);
	if (own.length > 0) return own;
	for (const from of [serviceNamespace, rootNamespace]) {
		const exported = rulesFor(index.byNamespace.get(from), host, (rule) => !isPrivate(rule)).filter((rule) => isVisible(rule.exportTo, from, namespace));
		if (exported.length > 0) return exported;
	}
	return [];
}

/** A workloadSelector counts for clients of the rule's own namespace, and beats rules without one. */
export function selectRule(rules: readonly DestinationRule[], namespace: string, labels: Labels): DestinationRule | undefined {
	return rules.find((rule) => rule.workloadSelector && rule.namespace === namespace && labelsMatch(rule.workloadSelector, labels)) ?? unselectedRule(rules);
}

/** What holds on the server's side, where workloadSelector has no say. Rules that could not be merged do not add up: the youngest holds. */
export function unselectedRule(rules: readonly DestinationRule[]): DestinationRule | undefined {
	return rules.findLast((rule) => !rule.workloadSelector);
}
