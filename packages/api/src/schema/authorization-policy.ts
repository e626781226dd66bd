import { list, obj, oneOf, opt, type StaticOf, text } from "./builders.ts";
import { policyTarget } from "./common.ts";

// https://istio.io/latest/docs/reference/config/security/authorization-policy/

const texts = () => opt(list(text()));

const sourceSchema = obj({
	principals: texts(),
	notPrincipals: texts(),
	requestPrincipals: texts(),
	notRequestPrincipals: texts(),
	namespaces: texts(),
	notNamespaces: texts(),
	serviceAccounts: texts(),
	notServiceAccounts: texts(),
	trustDomains: texts(),
	notTrustDomains: texts(),
	ipBlocks: texts(),
	notIpBlocks: texts(),
	remoteIpBlocks: texts(),
	notRemoteIpBlocks: texts(),
});
export type AuthorizationSource = StaticOf<typeof sourceSchema>;

const operationSchema = obj({
	hosts: texts(),
	notHosts: texts(),
	ports: texts(),
	notPorts: texts(),
	methods: texts(),
	notMethods: texts(),
	paths: texts(),
	notPaths: texts(),
});
export type AuthorizationOperation = StaticOf<typeof operationSchema>;

const conditionSchema = obj({ key: text(), values: texts(), notValues: texts() });
export type AuthorizationCondition = StaticOf<typeof conditionSchema>;

const ruleSchema = obj({
	from: opt(list(obj({ source: opt(sourceSchema) }))),
	to: opt(list(obj({ operation: opt(operationSchema) }))),
	when: opt(list(conditionSchema)),
});
export type AuthorizationRule = StaticOf<typeof ruleSchema>;

export const authorizationActions = ["ALLOW", "DENY", "AUDIT", "CUSTOM"] as const;
export type AuthorizationAction = (typeof authorizationActions)[number];

export const authorizationPolicySchema = obj({
	...policyTarget,
	rules: opt(list(ruleSchema, { description: "A request matches if any rule does. Without rules nothing matches: with ALLOW, everything is denied." })),
	action: opt(oneOf(authorizationActions)),
	provider: opt(obj({ name: opt(text()) }, { description: "The external authorizer of action CUSTOM, of MeshConfig.extensionProviders." })),
});
export type AuthorizationPolicySpec = StaticOf<typeof authorizationPolicySchema>;
