import type {
	JwtAuthentication as JwtMessage,
	JwtProvider as ProviderMessage,
	JwtRequirement as RequirementMessage,
	RemoteJwks as RemoteMessage,
} from "@weft/xds/generated/envoy/extensions/filters/http/jwt_authn/v3/config.ts";
import type { JwtAuthentication, JwtProvider, JwtRequirement, RemoteJwks } from "../../jwt-authentication.ts";
import { parseJwks } from "../../../data/filters/jwt/jwks.ts";
import { type DecodeEnvironment, dataText } from "../environment.ts";
import { type At, durationMsOr, onlySupports, report, under } from "../issues.ts";
import { decodeStringMatch } from "../matchers.ts";
import { decodeRouteMatch } from "../route-match.ts";

const cacheMsDefault = 600_000;
const cacheSizeDefault = 100;
const clockSkewDefault = 60;
const refetchMsDefault = 1000;

export function decodeJwtAuthn(at: At, jwt: JwtMessage, environment: DecodeEnvironment): JwtAuthentication {
	const providers = Object.fromEntries(
		Object.entries(jwt.providers).map(([name, provider]) => [name, decodeProvider(under(at, `providers["${name}"]`), provider, environment)]),
	);
	const context = { providers: new Set(Object.keys(providers)), names: new Set(Object.keys(jwt.requirementMap)) };
	const requirement = (where: At, message: RequirementMessage) => decodeRequirement(where, message, context.providers);
	return {
		providers,
		requirements: Object.fromEntries(
			Object.entries(jwt.requirementMap).map(([name, message]) => [name, requirement(under(at, `requirementMap["${name}"]`), message)]),
		),
		rules: jwt.rules.map((rule, i) => {
			const here = under(at, `rules[${i}]`);
			const match = decodeRouteMatch(under(here, "match"), rule.match);
			if (rule.requirementName === undefined) return { match, requirement: rule.requires && requirement(under(here, "requires"), rule.requires) };
			const named = jwt.requirementMap[rule.requirementName];
			if (named === undefined) report(under(here, "requirementName"), `requirement_name ${rule.requirementName} is not in requirement_map`);
			return { match, requirement: named && requirement(here, named) };
		}),
		filterStateRules: jwt.filterStateRules && {
			key: jwt.filterStateRules.name,
			requirements: Object.fromEntries(
				Object.entries(jwt.filterStateRules.requires).map(([value, message]) => [
					value,
					requirement(under(at, `filterStateRules.requires["${value}"]`), message),
				]),
			),
		},
		bypassCorsPreflight: jwt.bypassCorsPreflight,
		stripFailureResponse: jwt.stripFailureResponse,
	};
}

function decodeRequirement(at: At, message: RequirementMessage, providers: ReadonlySet<string>): JwtRequirement {
	const all = (name: string, requirements: readonly RequirementMessage[]) =>
		requirements.map((r, i) => decodeRequirement(under(at, `${name}.requirements[${i}]`), r, providers));
	const provider = (name: string, audiences: readonly string[] | undefined): JwtRequirement => {
		if (!providers.has(name)) report(at, `provider ${name} is not in providers`);
		return { kind: "provider", name, audiences };
	};
	if (message.providerName !== undefined) return provider(message.providerName, undefined);
	if (message.providerAndAudiences !== undefined) return provider(message.providerAndAudiences.providerName, message.providerAndAudiences.audiences);
	if (message.requiresAny !== undefined) return { kind: "any", requirements: all("requiresAny", message.requiresAny.requirements) };
	if (message.requiresAll !== undefined) return { kind: "all", requirements: all("requiresAll", message.requiresAll.requirements) };
	if (message.allowMissingOrFailed !== undefined) return { kind: "allowMissingOrFailed" };
	if (message.allowMissing !== undefined) return { kind: "allowMissing" };
	// Nothing is required (Envoy: requires_type not set).
	return { kind: "all", requirements: [] };
}

function decodeProvider(at: At, provider: ProviderMessage, environment: DecodeEnvironment): JwtProvider {
	return {
		issuer: provider.issuer,
		audiences: provider.audiences,
		subjects: provider.subjects && decodeStringMatch(under(at, "subjects"), provider.subjects),
		requireExpiration: provider.requireExpiration,
		maxLifetimeMs: durationMsOr(provider.maxLifetime, 0),
		jwks: decodeJwks(at, provider, environment),
		forward: provider.forward,
		fromHeaders: provider.fromHeaders.map(({ name, valuePrefix }) => ({ name: name.toLowerCase(), valuePrefix })),
		fromParams: provider.fromParams,
		fromCookies: provider.fromCookies,
		forwardPayloadHeader: provider.forwardPayloadHeader.toLowerCase(),
		padForwardPayloadHeader: provider.padForwardPayloadHeader,
		payloadInMetadata: provider.payloadInMetadata,
		headerInMetadata: provider.headerInMetadata,
		failedStatusInMetadata: provider.failedStatusInMetadata,
		spaceDelimitedClaims: provider.normalizePayloadInMetadata?.spaceDelimitedClaims ?? [],
		clockSkewSeconds: provider.clockSkewSeconds === 0 ? clockSkewDefault : provider.clockSkewSeconds,
		cacheSize: provider.jwtCacheConfig === undefined ? 0 : provider.jwtCacheConfig.jwtCacheSize || cacheSizeDefault,
		claimToHeaders: provider.claimToHeaders.map(({ headerName, claimName }) => ({ header: headerName.toLowerCase(), claim: claimName })),
		clearRouteCache: provider.clearRouteCache,
	};
}

function decodeJwks(at: At, provider: ProviderMessage, environment: DecodeEnvironment): JwtProvider["jwks"] {
	if (provider.remoteJwks !== undefined) return { kind: "remote", source: decodeRemote(under(at, "remoteJwks"), provider.remoteJwks) };
	const json = dataText(under(at, "localJwks"), provider.localJwks, environment);
	const keys = parseJwks(json);
	if (typeof keys === "string") report(under(at, "localJwks"), `invalid local jwks: ${keys}`);
	return { kind: "local", json };
}

function decodeRemote(at: At, remote: RemoteMessage): RemoteJwks {
	if (remote.retryPolicy !== undefined)
		onlySupports(under(at, "retryPolicy"), "envoy.config.core.v3.RetryPolicy", remote.retryPolicy, ["numRetries", "retryBackOff", "retryOn"]);
	return {
		uri: remote.httpUri?.uri ?? "",
		cluster: remote.httpUri?.cluster ?? "",
		timeoutMs: durationMsOr(remote.httpUri?.timeout, 5000),
		cacheMs: durationMsOr(remote.cacheDuration, cacheMsDefault),
		isAsync: remote.asyncFetch !== undefined,
		failedRefetchMs: durationMsOr(remote.asyncFetch?.failedRefetchDuration, refetchMsDefault),
		retries: remote.retryPolicy?.numRetries ?? (remote.retryPolicy === undefined ? 0 : 1),
	};
}
