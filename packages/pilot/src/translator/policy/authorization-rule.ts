import { type AuthorizationRule, isPathTemplate } from "@weft/api";
import { UriTemplateMatchConfig } from "@weft/xds/generated/envoy/extensions/path/match/uri_template/v3/uri_template_match.ts";
import { cidrRange } from "../listeners/addresses.ts";
import { packed } from "../routes/values.ts";
import {
	anyText,
	anyValue,
	bracketed,
	claimListMatcher,
	claimMatcher,
	headerMatcher,
	literal,
	metadataMatcher,
	type StringMatcher,
	stringMatcher,
} from "./matchers.ts";
import { expandPrincipals, expandTrustDomains, type TrustDomains } from "./trust-domains.ts";

// One rule of an AuthorizationPolicy as one policy of Envoy's RBAC.
// https://istio.io/latest/docs/reference/config/security/authorization-policy/ and .../conditions/

export interface RuleContext {
	/** The namespace of the policy: service accounts without one are of it. */
	readonly namespace: string;
	readonly trustDomains: TrustDomains;
	/** A chain that sees bytes only: what asks for HTTP cannot be judged there. */
	readonly forTcp: boolean;
	/**
	 * What to do with a condition that cannot be judged: a rule that allows is dropped for it, so that less is allowed;
	 * from one that denies, audits or asks, only the condition is dropped, so that more is denied, logged or asked for.
	 */
	readonly allows: boolean;
}

/** envoy.config.rbac.v3.Policy. */
export interface RbacPolicy {
	readonly permissions: readonly object[];
	readonly principals: readonly object[];
}

/** One condition: alternatives of which one must hold, and such of which none may. */
interface Condition {
	readonly attribute: Attribute;
	readonly values: readonly string[];
	readonly notValues: readonly string[];
}

/** How values become matchers: `each` one by one, or `all` of them as one. Undefined: that cannot be judged. */
interface Attribute {
	readonly side: "permission" | "principal";
	readonly httpOnly?: true;
	readonly each?: (value: string) => object | undefined;
	readonly all?: (values: readonly string[]) => object | undefined;
}

const logic = {
	permission: {
		and: (rules: readonly object[]) => ({ andRules: { rules } }),
		or: (rules: readonly object[]) => ({ orRules: { rules } }),
		not: (rule: object) => ({ notRule: rule }),
	},
	principal: {
		and: (ids: readonly object[]) => ({ andIds: { ids } }),
		or: (ids: readonly object[]) => ({ orIds: { ids } }),
		not: (id: object) => ({ notId: id }),
	},
} as const;

const any = { any: true };

/** Undefined for a rule that is left out: it asks for what is not known here, and it allows. */
export function buildRbacPolicy(rule: AuthorizationRule, context: RuleContext): RbacPolicy | undefined {
	const when = (rule.when ?? []).map(({ key, values = [], notValues = [] }): Condition | undefined => {
		const attribute = attributeOf(key, context);
		return attribute && expanded({ attribute, values, notValues }, key, context);
	});
	// A key that validation has let pass and that is not known here means another version: it never makes a policy weaker.
	if (when.includes(undefined) && context.allows) return undefined;
	const known = when.filter((condition) => condition !== undefined);
	const sources = rule.from?.length ? rule.from.map(({ source = {} }) => sourceConditions(source, context)) : [[]];
	const operations = rule.to?.length ? rule.to.map(({ operation = {} }) => operationConditions(operation)) : [[]];
	const principals = sources.map((own) => conjunction("principal", [...own, ...known], context));
	const permissions = operations.map((own) => conjunction("permission", [...own, ...known], context));
	if (principals.includes(undefined) || permissions.includes(undefined)) return undefined;
	return { permissions: permissions.filter((part) => part !== undefined), principals: principals.filter((part) => part !== undefined) };
}

function conjunction(side: Attribute["side"], conditions: readonly Condition[], context: RuleContext): object | undefined {
	const parts: object[] = [];
	for (const condition of conditions) {
		if (condition.attribute.side !== side) continue;
		const terms = termsOf(condition, context);
		if (terms === undefined) return undefined;
		parts.push(...terms);
	}
	return logic[side].and(parts.length > 0 ? parts : [any]);
}

/** Undefined: the whole rule goes. */
function termsOf({ attribute, values, notValues }: Condition, context: RuleContext): readonly object[] | undefined {
	const { or, not } = logic[attribute.side];
	const one = (list: readonly string[]): object | undefined | "unjudged" => {
		if (list.length === 0) return undefined;
		if (attribute.httpOnly && context.forTcp) return "unjudged";
		if (attribute.all) return attribute.all(list) ?? "unjudged";
		const matchers = list.map((value) => attribute.each?.(value));
		const good = matchers.filter((matcher) => matcher !== undefined);
		return good.length === matchers.length || (!context.allows && good.length > 0) ? or(good) : "unjudged";
	};
	const terms: object[] = [];
	const positive = one(values);
	const negative = one(notValues);
	if ((positive === "unjudged" || negative === "unjudged") && context.allows) return undefined;
	if (positive !== undefined && positive !== "unjudged") terms.push(positive);
	if (negative !== undefined && negative !== "unjudged") terms.push(not(negative));
	return terms;
}

type Source = NonNullable<NonNullable<AuthorizationRule["from"]>[number]["source"]>;

function sourceConditions(source: Source, context: RuleContext): readonly Condition[] {
	const list = (key: string, values: readonly string[] = [], notValues: readonly string[] = []): readonly Condition[] => {
		const attribute = values.length > 0 || notValues.length > 0 ? attributeOf(key, context) : undefined;
		return attribute ? [expanded({ attribute, values, notValues }, key, context)] : [];
	};
	return [
		...list("source.principal", source.principals, source.notPrincipals),
		...list("request.auth.principal", source.requestPrincipals, source.notRequestPrincipals),
		...list("source.namespace", source.namespaces, source.notNamespaces),
		...list("source.serviceAccount", source.serviceAccounts, source.notServiceAccounts),
		...list(trustDomainKey, source.trustDomains, source.notTrustDomains),
		...list("remote.ip", source.remoteIpBlocks, source.notRemoteIpBlocks),
		...list("source.ip", source.ipBlocks, source.notIpBlocks),
	];
}

function expanded(condition: Condition, key: string, { trustDomains }: RuleContext): Condition {
	const expand = key === "source.principal" ? expandPrincipals : key === trustDomainKey ? expandTrustDomains : undefined;
	if (expand === undefined) return condition;
	return { ...condition, values: expand(condition.values, trustDomains), notValues: expand(condition.notValues, trustDomains) };
}

type Operation = NonNullable<NonNullable<AuthorizationRule["to"]>[number]["operation"]>;

function operationConditions(operation: Operation): readonly Condition[] {
	const list = (attribute: Attribute, values: readonly string[] = [], notValues: readonly string[] = []): readonly Condition[] =>
		values.length > 0 || notValues.length > 0 ? [{ attribute, values, notValues }] : [];
	return [
		...list(hosts, operation.hosts, operation.notHosts),
		...list(methods, operation.methods, operation.notMethods),
		...list(paths, operation.paths, operation.notPaths),
		...list(destinationPort, operation.ports, operation.notPorts),
	];
}

const hosts: Attribute = { side: "permission", httpOnly: true, each: (value) => ({ header: headerMatcher(":authority", value, true) }) };
const methods: Attribute = { side: "permission", httpOnly: true, each: (value) => ({ header: headerMatcher(":method", value) }) };
const paths: Attribute = { side: "permission", httpOnly: true, each: pathPermission };

function pathPermission(path: string): object {
	if (!isPathTemplate(path)) return { urlPath: { path: stringMatcher(path) } };
	const pathTemplate = path.replaceAll("{**}", "**").replaceAll("{*}", "*");
	const typeName = "envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig";
	return { uriTemplate: { name: "uri-template", typedConfig: packed(typeName, UriTemplateMatchConfig, { pathTemplate }) } };
}

const destinationPort: Attribute = {
	side: "permission",
	each: (value) => (/^\d+$/.test(value) && Number(value) <= 65_535 ? { destinationPort: Number(value) } : undefined),
};

/** Not a key that users write: `from.source.trustDomains` alone has it. */
const trustDomainKey = "source.trustDomain";

const authenticated = (principalName: StringMatcher) => ({ authenticated: { principalName } });
const principal = (each: NonNullable<Attribute["each"]>): Attribute => ({ side: "principal", each });

function attributeOf(key: string, { namespace }: RuleContext): Attribute | undefined {
	switch (key) {
		case "source.ip":
			return principal((value) => ({ directRemoteIp: cidrRange(value) }));
		case "remote.ip":
			return principal((value) => ({ remoteIp: cidrRange(value) }));
		case "source.namespace":
			return principal((value) => authenticated({ safeRegex: { regex: `.*/ns/${wildcard(value, ".*")}/.*` } }));
		case "source.principal":
			return principal((value) => authenticated(stringMatcher(value, "spiffe://")));
		case "source.serviceAccount":
			return principal((value) => authenticated(serviceAccount(value, namespace)));
		case trustDomainKey:
			return principal((value) => authenticated(trustDomain(value)));
		case "request.auth.principal":
			return { side: "principal", httpOnly: true, all: requestPrincipals };
		case "request.auth.audiences":
			return claim(["aud"]);
		case "request.auth.presenter":
			return claim(["azp"]);
		case "destination.ip":
			return { side: "permission", each: (value) => ({ destinationIp: cidrRange(value) }) };
		case "destination.port":
			return destinationPort;
		case "connection.sni":
			return { side: "permission", each: (value) => ({ requestedServerName: stringMatcher(value) }) };
		default:
			return namedAttribute(key);
	}
}

function namedAttribute(key: string): Attribute | undefined {
	if (key.startsWith("request.headers")) {
		const name = bracketed(key.slice("request.headers".length))?.join("][");
		return name === undefined ? undefined : { side: "principal", httpOnly: true, each: (value) => ({ header: headerMatcher(name, value) }) };
	}
	if (key.startsWith("request.auth.claims")) {
		const path = bracketed(key.slice("request.auth.claims".length));
		return path && claim(path);
	}
	const filter = /^experimental\.(envoy\.filters\.[^[]*)\[(.*)\]$/.exec(key);
	return filter ? { side: "permission", all: (values) => filterMetadata(filter[1] ?? "", filter[2] ?? "", values) } : undefined;
}

/** `[v]` asks for a list with v in it. */
function filterMetadata(filter: string, name: string, values: readonly string[]): object {
	const matchers = values.map((value) => {
		const isList = value.startsWith("[") && value.endsWith("]");
		const text = { stringMatch: stringMatcher(isList ? value.replace(/^[[\]]+|[[\]]+$/g, "") : value) };
		return isList ? { listMatch: { oneOf: text } } : text;
	});
	return { metadata: metadataMatcher(filter, [name], anyValue(matchers)) };
}

function claim(path: readonly string[]): Attribute {
	return {
		side: "principal",
		httpOnly: true,
		all: (values) => ({ metadata: claimListMatcher(path, anyValue(values.map((value) => ({ stringMatch: stringMatcher(value) })))) }),
	};
}

/** The user's text with its wildcards as `any`, everything else as it stands. */
const wildcard = (text: string, anyPart: string): string => text.split("*").map(literal).join(anyPart);

/** `spiffe://DOMAIN/ns/NAMESPACE/sa/NAME`, with whatever other parts an identity may have between them. */
function serviceAccount(value: string, namespace: string): StringMatcher {
	const slash = value.indexOf("/");
	const [ns, name] = slash < 0 ? [namespace, value] : [value.slice(0, slash), value.slice(slash + 1)];
	return { safeRegex: { regex: `spiffe://.+/ns/${literal(ns)}/(.+/|)sa/${literal(name)}(/.+)?` } };
}

function trustDomain(value: string): StringMatcher {
	if (value === "*") return { prefix: "spiffe://" };
	if (!value.includes("*")) return { prefix: `spiffe://${value}/` };
	return { safeRegex: { regex: `spiffe://${wildcard(value, "[^/]*")}/.*` } };
}

/** `issuer/subject`; the issuer may be an address with slashes of its own. */
function requestPrincipals(values: readonly string[]): object {
	const ids = values.map((value) => {
		const { issuer, subject } = requestPrincipal(value);
		const part = (name: string, stringMatch: StringMatcher) => ({ metadata: claimMatcher([name], { stringMatch }) });
		return logic.principal.and([part("iss", issuer), part("sub", subject)]);
	});
	const [only] = ids;
	return ids.length === 1 && only ? only : logic.principal.or(ids);
}

function requestPrincipal(value: string): { readonly issuer: StringMatcher; readonly subject: StringMatcher } {
	if (value === "*") return { issuer: anyText, subject: anyText };
	const slash = value.lastIndexOf("/");
	const [issuer, subject] = slash < 0 ? [value, ""] : [value.slice(0, slash), value.slice(slash + 1)];
	if (value.startsWith("*")) {
		if (slash < 0) return { issuer: anyText, subject: { suffix: value.slice(1) } };
		return { issuer: issuer === "*" ? anyText : { suffix: issuer.slice(1) }, subject: { exact: subject } };
	}
	if (value.endsWith("*")) {
		if (slash < 0) return { issuer: { prefix: value.slice(0, -1) }, subject: anyText };
		return { issuer: { exact: issuer }, subject: subject === "*" ? anyText : { prefix: subject.slice(0, -1) } };
	}
	return { issuer: { exact: issuer }, subject: { exact: subject } };
}
