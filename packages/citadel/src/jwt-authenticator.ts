import { accepted, type Checked, checkSpiffeId, refused } from "@weft/pki";
import type { Clock } from "@weft/runtime";
import type { AuthenticatedCaller, Authenticator, Unverifiable } from "./authenticator.ts";
import { decodeToken, decodeTokenKeys, type TokenKey, verifyToken } from "./json-web-token.ts";

/** Whose tokens are believed: istiod's JWT_RULE. */
export interface JwtRule {
	readonly issuer: string;
	/** One of them must be the token's; never empty. */
	readonly audiences: readonly string[];
	/** Where the keys are; undefined: by the issuer's `/.well-known/openid-configuration`. */
	readonly jwksUri: string | undefined;
	/** The keys themselves. */
	readonly jwks: string | undefined;
}

export interface JwtAuthenticatorOptions {
	readonly rule: JwtRule;
	/** Gets the text behind an address, with limits on size, redirects and addresses; rejects with what went wrong. */
	readonly fetchText: (url: string, timeoutMs: number) => Promise<string>;
	readonly clock: Clock;
	readonly trustDomain: string;
}

const tokenLengthMax = 16_384;
const fetchTimeoutMs = 5_000;
/** As istiod refreshes them. */
const refreshMs = 20 * 60_000;
/** A key that is not known may be new; who sends unknown ones must not make us ask all the time. */
const refetchMsMin = 10_000;
/** RFC 7519 §4.1.4 allows for small leeways. */
const leewayMs = 60_000;
const account = /^system:serviceaccount:([^:]+):([^:]+)$/;

type Keys = Checked<readonly TokenKey[]> | Unverifiable;

/** The service account of a token of an OpenID Connect issuer, outside of a cluster: subject `system:serviceaccount:NS:SA`. */
export function createJwtAuthenticator(options: JwtAuthenticatorOptions): Authenticator {
	const { rule, clock, trustDomain } = options;
	const keySet = createKeySet(options);
	return {
		name: "jwt",
		async authenticate({ bearerToken }) {
			if (bearerToken === undefined) return refused("no bearer token");
			if (bearerToken.length > tokenLengthMax) return refused("the token is too long");
			const token = decodeToken(bearerToken);
			if (!token.ok) return token;
			// Cheap and telling, and still believed only once the signature holds.
			const claims = checkClaims(token.value.claims, rule, clock.nowMs());
			if (!claims.ok) return claims;
			let keys = await keySet.get(false);
			if (!keys.ok) return keys;
			let signed = verifyToken(token.value, keys.value);
			if (!signed.ok && signed.unknownKey) {
				keys = await keySet.get(true);
				if (!keys.ok) return keys;
				signed = verifyToken(token.value, keys.value);
			}
			return signed.ok ? callerOf(token.value.claims, trustDomain) : refused(signed.reason);
		},
	};
}

function checkClaims(claims: Readonly<Record<string, unknown>>, { issuer, audiences }: JwtRule, nowMs: number): Checked<true> {
	const { iss, aud, exp, nbf, iat } = claims;
	if (iss !== issuer) return refused(`the token is of another issuer than ${issuer}`);
	const given: readonly unknown[] = Array.isArray(aud) ? aud : [aud];
	if (!given.some((one) => typeof one === "string" && audiences.includes(one)))
		return refused(`the token is for another audience than ${audiences.join(", ")}`);
	if (typeof exp !== "number" || !Number.isFinite(exp)) return refused("the token has no expiry");
	if (exp * 1000 + leewayMs <= nowMs) return refused("the token has expired");
	for (const from of [nbf, iat]) {
		if (from !== undefined && (typeof from !== "number" || from * 1000 - leewayMs > nowMs)) return refused("the token is not valid yet");
	}
	return accepted(true as const);
}

function callerOf({ sub }: Readonly<Record<string, unknown>>, trustDomain: string): Checked<AuthenticatedCaller> {
	const match = typeof sub === "string" ? account.exec(sub) : null;
	if (match === null) return refused("the token's subject is no system:serviceaccount:NAMESPACE:NAME");
	const identity = checkSpiffeId({ trustDomain, namespace: match[1] ?? "", serviceAccount: match[2] ?? "" });
	return identity.ok ? accepted({ identity: identity.value }) : identity;
}

/** The issuer's keys, asked for once by whoever needs them; what was good stays while the issuer is away. */
function createKeySet({ rule, fetchText, clock }: JwtAuthenticatorOptions): { get(isStale: boolean): Promise<Keys> } {
	let known: Keys | undefined = rule.jwks === undefined ? undefined : decodeTokenKeys(rule.jwks);
	let askedMs = Number.NEGATIVE_INFINITY;
	let asking: Promise<Keys> | undefined;
	const ask = async (): Promise<Keys> => {
		askedMs = clock.monotonicMs();
		try {
			const keys = decodeTokenKeys(await fetchText(await jwksUriOf(rule, fetchText), fetchTimeoutMs));
			if (!keys.ok) throw new Error(keys.reason);
			return (known = keys);
		} catch (error) {
			const reason = `keys of ${rule.issuer}: ${error instanceof Error ? error.message : String(error)}`;
			return known?.ok ? known : { ok: false, reason, isUnavailable: true };
		}
	};
	return {
		async get(isStale) {
			const ageMs = clock.monotonicMs() - askedMs;
			if (rule.jwks !== undefined && known !== undefined) return known;
			if (known?.ok && ageMs < (isStale ? refetchMsMin : refreshMs)) return known;
			if (!known?.ok && ageMs < 1_000 && asking === undefined) return { ok: false, reason: `keys of ${rule.issuer} are not known yet`, isUnavailable: true };
			asking ??= ask().finally(() => {
				asking = undefined;
			});
			return asking;
		},
	};
}

/** OpenID Connect Discovery 1.0 §4: the document must be the issuer's own. */
async function jwksUriOf({ issuer, jwksUri }: JwtRule, fetchText: JwtAuthenticatorOptions["fetchText"]): Promise<string> {
	if (jwksUri !== undefined) return jwksUri;
	const document = JSON.parse(await fetchText(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, fetchTimeoutMs)) as unknown;
	const field = (name: string): unknown => (typeof document === "object" && document !== null ? Reflect.get(document, name) : undefined);
	const [named, uri] = [field("issuer"), field("jwks_uri")];
	if (named !== issuer || typeof uri !== "string") throw new Error("the discovery document is of another issuer, or names no jwks_uri");
	return uri;
}

/** Reads istiod's JWT_RULE: JSON with issuer, audiences, jwksUri or jwks_uri, jwks. */
export function decodeJwtRule(text: string, audienceDefault: string): Checked<JwtRule> {
	let value: unknown;
	try {
		value = JSON.parse(text);
	} catch (error) {
		return refused(`not JSON: ${error instanceof Error ? error.message : String(error)}`);
	}
	const fields: Readonly<Record<string, unknown>> = typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
	const known = new Set(["issuer", "audiences", "jwksUri", "jwks_uri", "jwks"]);
	const unknown = Object.keys(fields).find((name) => !known.has(name));
	if (unknown !== undefined) return refused(`field ${unknown} is not implemented: issuer, audiences, jwksUri and jwks are`);
	const { issuer, audiences = [], jwks } = fields;
	const jwksUri = fields["jwksUri"] ?? fields["jwks_uri"];
	if (typeof issuer !== "string" || issuer === "") return refused("issuer is missing");
	if (!Array.isArray(audiences) || !audiences.every((one) => typeof one === "string")) return refused("audiences is no list of texts");
	if (jwksUri !== undefined && typeof jwksUri !== "string") return refused("jwksUri is no text");
	if (jwks !== undefined && typeof jwks !== "string") return refused("jwks is no text");
	const keys = jwks === undefined ? undefined : decodeTokenKeys(jwks);
	if (keys && !keys.ok) return refused(`jwks: ${keys.reason}`);
	return accepted({ issuer, audiences: audiences.length === 0 ? [audienceDefault] : (audiences as readonly string[]), jwksUri, jwks });
}
