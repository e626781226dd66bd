import type { AuthorizationAction, ConfigObject, ExtensionProvider } from "@weft/api";
import { RBAC_Action } from "@weft/xds/generated/envoy/config/rbac/v3/rbac.ts";
import { RBAC } from "@weft/xds/generated/envoy/extensions/filters/http/rbac/v3/rbac.ts";
import { RBAC as NetworkRbac } from "@weft/xds/generated/envoy/extensions/filters/network/rbac/v3/rbac.ts";
import { createMemo } from "../memo.ts";
import type { HttpFilter } from "../listeners/http-filters/filter.ts";
import type { NetworkFilter } from "../listeners/network-filters.ts";
import { packed } from "../routes/values.ts";
import { buildRbacPolicy, type RbacPolicy } from "./authorization-rule.ts";
import { type Authorizer, authorizerPrefix, buildAuthorizer } from "./ext-authz.ts";
import type { ServicesByHost } from "./provider-service.ts";
import type { TrustDomains } from "./trust-domains.ts";

type Policy = ConfigObject<"AuthorizationPolicy">;

/** Filters of one kind of chain: those that ask an external authorizer stand before authentication, the others behind it. */
export interface AuthorizationFilters<F> {
	readonly custom: readonly F[];
	readonly rbac: readonly F[];
}

export interface Authorization {
	readonly http: AuthorizationFilters<HttpFilter>;
	readonly tcp: AuthorizationFilters<NetworkFilter>;
}

export interface AuthorizationInput {
	/** Those that hold for the workload, in order of precedence; the same array while they are the same. */
	readonly policies: readonly Policy[];
	readonly trustDomains: TrustDomains;
	readonly providers: readonly ExtensionProvider[] | undefined;
	readonly services: ServicesByHost;
}

const none = { custom: [], rbac: [] };
export const noAuthorization: Authorization = { http: none, tcp: none };

const built = createMemo<Authorization>();

export function buildAuthorization(input: AuthorizationInput): Authorization {
	const { policies, trustDomains, providers, services } = input;
	if (policies.length === 0) return noAuthorization;
	// Of all services only whether the authorizers' own are there can make a difference.
	const authorizers = new Map(
		customProviders(policies).map(
			(name) =>
				[
					name,
					buildAuthorizer(
						providers?.find((p) => p.name === name),
						services,
					),
				] as const,
		),
	);
	const reachable = [...authorizers].map(([name, authorizer]) => `${name}=${authorizer !== undefined}`).join();
	const key = `${trustDomains.join()} ${reachable}`;
	return built.get([policies, providers ?? policies], key, () => ({
		http: { custom: customFilters(policies, trustDomains, authorizers, http), rbac: rbacFilters(policies, trustDomains, http) },
		tcp: { custom: customFilters(policies, trustDomains, authorizers, tcp), rbac: rbacFilters(policies, trustDomains, tcp) },
	}));
}

const actionOf = ({ spec }: Policy): AuthorizationAction => spec.action ?? "ALLOW";
const isDryRun = ({ metadata }: Policy): boolean => /^(?:1|t|T|true|TRUE|True)$/.test(metadata.annotations["istio.io/dry-run"] ?? "");

function customProviders(policies: readonly Policy[]): readonly string[] {
	return [...new Set(policies.filter((policy) => actionOf(policy) === "CUSTOM").map(({ spec }) => spec.provider?.name ?? ""))].sort();
}

/** What differs between the two kinds of chains. */
interface ChainKind<F> {
	readonly forTcp: boolean;
	readonly rbac: (config: object) => F;
	readonly authorizer: (authorizer: Authorizer) => F | undefined;
}

const http: ChainKind<HttpFilter> = {
	forTcp: false,
	rbac: (config) => ({ name: "envoy.filters.http.rbac", typedConfig: packed("envoy.extensions.filters.http.rbac.v3.RBAC", RBAC, config) }),
	authorizer: (authorizer) => authorizer.http,
};

const tcp: ChainKind<NetworkFilter> = {
	forTcp: true,
	rbac: (config) => ({
		name: "envoy.filters.network.rbac",
		typedConfig: packed("envoy.extensions.filters.network.rbac.v3.RBAC", NetworkRbac, { statPrefix: "tcp.", ...config }),
	}),
	authorizer: (authorizer) => authorizer.tcp,
};

/** In the order in which they are judged: a log entry first, then refusals, and what is left must be allowed. */
const enforced = [
	{ action: "AUDIT", rbac: RBAC_Action.LOG, shadowPrefix: "" },
	{ action: "DENY", rbac: RBAC_Action.DENY, shadowPrefix: "istio_dry_run_deny_" },
	{ action: "ALLOW", rbac: RBAC_Action.ALLOW, shadowPrefix: "istio_dry_run_allow_" },
] as const;

function rbacFilters<F>(policies: readonly Policy[], trustDomains: TrustDomains, kind: ChainKind<F>): readonly F[] {
	return enforced.flatMap(({ action, rbac, shadowPrefix }) => {
		const own = policies.filter((policy) => actionOf(policy) === action);
		if (own.length === 0) return [];
		const rules = rulesOf(
			own.filter((policy) => !isDryRun(policy)),
			rbac,
			trustDomains,
			kind.forTcp,
		);
		const shadowRules = rulesOf(own.filter(isDryRun), rbac, trustDomains, kind.forTcp);
		// Without shadow rules Istio writes the prefix of the first action.
		return [kind.rbac({ rules, shadowRules, shadowRulesStatPrefix: shadowRules ? shadowPrefix : "istio_dry_run_allow_" })];
	});
}

/** RBAC without any policy that says anything (all its rules were dropped) still allows nothing; undefined only where there is no policy at all. */
function rulesOf(policies: readonly Policy[], action: RBAC_Action, trustDomains: TrustDomains, forTcp: boolean, prefix = ""): object | undefined {
	return policies.length === 0 ? undefined : { action, policies: rbacPolicies(policies, action, trustDomains, forTcp, prefix) };
}

const never: RbacPolicy = { permissions: [{ notRule: { any: true } }], principals: [{ notId: { any: true } }] };

function rbacPolicies(
	policies: readonly Policy[],
	action: RBAC_Action,
	trustDomains: TrustDomains,
	forTcp: boolean,
	prefix: string,
): Readonly<Record<string, RbacPolicy>> {
	const found: [string, RbacPolicy][] = [];
	for (const { metadata, spec } of policies) {
		const { namespace, name } = metadata;
		const id = (rule: number) => `${prefix}ns[${namespace}]-policy[${name}]-rule[${rule}]`;
		if (!spec.rules?.length) found.push([id(0), never]);
		for (const [i, rule] of (spec.rules ?? []).entries()) {
			const policy = buildRbacPolicy(rule, { namespace, trustDomains, forTcp, allows: action === RBAC_Action.ALLOW });
			if (policy) found.push([id(i), policy]);
		}
	}
	return Object.fromEntries(found.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** An RBAC filter that marks, and the filter that asks about what is marked. Where nobody can be asked, the mark is a refusal. */
function customFilters<F>(
	policies: readonly Policy[],
	trustDomains: TrustDomains,
	authorizers: ReadonlyMap<string, Authorizer | undefined>,
	kind: ChainKind<F>,
): readonly F[] {
	return [...authorizers].flatMap(([provider, authorizer]) => {
		const own = policies.filter((policy) => actionOf(policy) === "CUSTOM" && (policy.spec.provider?.name ?? "") === provider);
		const prefix = provider === "" ? "istio-ext-authz-" : `${authorizerPrefix(provider)}-`;
		const rules = (list: readonly Policy[]) => ({
			action: RBAC_Action.DENY,
			policies: rbacPolicies(list, RBAC_Action.DENY, trustDomains, kind.forTcp, prefix),
		});
		const marked = rules(own.filter((policy) => !isDryRun(policy)));
		// One workload has one authorizer in Istio: with several it refuses, and so do we.
		if (authorizer === undefined || authorizers.size > 1) return [kind.rbac({ rules: refusal(marked) })];
		const asking = kind.authorizer(authorizer);
		return asking === undefined ? [] : [kind.rbac({ shadowRules: marked, shadowRulesStatPrefix: "istio_ext_authz_" }), asking];
	});
}

function refusal({ action, policies }: { readonly action: RBAC_Action; readonly policies: Readonly<Record<string, RbacPolicy>> }): object {
	return { action, policies: Object.fromEntries(Object.entries(policies).map(([id, policy]) => [`${id}-deny-due-to-bad-CUSTOM-action`, policy])) };
}
