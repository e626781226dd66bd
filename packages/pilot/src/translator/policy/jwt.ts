import type { ConfigObject, JWTRule } from "@weft/api";
import { JwtAuthentication } from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import { createMemo } from "../memo.ts";
import type { HttpFilter } from "../listeners/http-filters/filter.ts";
import { packed } from "../routes/values.ts";
import { jwksKeyOf, type JwksIndex, unknownJwks } from "../../model/jwks.ts";

// https://istio.io/latest/docs/reference/config/security/request_authentication/

export interface JwtInput {
	/** Those that hold for the workload; the same array while they are the same. */
	readonly policies: readonly ConfigObject<"RequestAuthentication">[];
	readonly jwks: JwksIndex;
	/** A gateway may choose routes by claims, which are known only now. */
	readonly isGateway: boolean;
}

const built = createMemo<{ readonly filter: HttpFilter | undefined }>();

/** A token that is there must be valid; none at all is a matter of AuthorizationPolicy. Undefined where no policy says anything about tokens. */
export function buildJwtAuthn({ policies, jwks, isGateway }: JwtInput): HttpFilter | undefined {
	if (policies.length === 0) return undefined;
	const rules = nearestFirst(policies)
		.flatMap(({ spec }) => spec.jwtRules ?? [])
		.sort((a, b) => (a.issuer < b.issuer ? -1 : a.issuer > b.issuer ? 1 : 0));
	const keys = JSON.stringify(rules.map((rule) => keySet(rule, jwks)));
	return built.get([policies], `${isGateway} ${keys}`, () => ({ filter: rules.length > 0 ? jwtFilter(rules, jwks, isGateway) : undefined })).filter;
}

/** Of the rules for one issuer those of the workload's own namespace come before the mesh's, which `policies` begin with. */
function nearestFirst(policies: JwtInput["policies"]): JwtInput["policies"] {
	const nearest = policies.at(-1)?.metadata.namespace;
	const isNear = ({ metadata }: JwtInput["policies"][number]) => metadata.namespace === nearest;
	return [...policies.filter(isNear), ...policies.filter((policy) => !isNear(policy))];
}

function jwtFilter(rules: readonly JWTRule[], jwks: JwksIndex, isGateway: boolean): HttpFilter {
	const config = {
		providers: Object.fromEntries(rules.map((rule, i) => [`origins-${i}`, jwtProvider(rule, jwks, isGateway)])),
		rules: [{ match: { prefix: "/" }, requires: requirement(rules.length) }],
		bypassCorsPreflight: true,
	};
	return {
		name: "envoy.filters.http.jwt_authn",
		typedConfig: packed("envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication", JwtAuthentication, config),
	};
}

/**
 * One valid token is enough, and a request without any passes. With several providers Envoy would let a token of one pass for
 * "missing" with another: only where all of them see none is there none.
 */
function requirement(count: number): object {
	const any = (requirements: readonly object[]) => ({ requiresAny: { requirements } });
	const names = Array.from({ length: count }, (_, i) => ({ providerName: `origins-${i}` }));
	const orMissing = names.map((name) => any([name, { allowMissing: {} }]));
	const [only] = orMissing;
	return count === 1 && only ? only : any([...names, { requiresAll: { requirements: orMissing } }]);
}

const splitByDefault = ["scope", "permission"];

function jwtProvider(rule: JWTRule, jwks: JwksIndex, isGateway: boolean): object {
	return {
		issuer: rule.issuer,
		audiences: [...(rule.audiences ?? [])],
		localJwks: { inlineString: keySet(rule, jwks) },
		forward: rule.forwardOriginalToken === true,
		fromHeaders: (rule.fromHeaders ?? []).map(({ name, prefix = "" }) => ({ name, valuePrefix: prefix })),
		fromParams: [...(rule.fromParams ?? [])],
		fromCookies: [...(rule.fromCookies ?? [])],
		forwardPayloadHeader: rule.outputPayloadToHeader ?? "",
		claimToHeaders: (rule.outputClaimToHeaders ?? []).map(({ header, claim }) => ({ headerName: header, claimName: claim })),
		payloadInMetadata: "payload",
		normalizePayloadInMetadata: { spaceDelimitedClaims: [...new Set([...splitByDefault, ...(rule.spaceDelimitedClaims ?? [])])].sort() },
		clearRouteCache: isGateway,
	};
}

/** The keys in line; those of an address as fetched. Until they are known, one that signs nothing: tokens are refused, not passed. */
function keySet(rule: JWTRule, jwks: JwksIndex): string {
	return rule.jwks || (jwks.get(jwksKeyOf(rule)) ?? unknownJwks);
}
