import type { JWTRule } from "@weft/api";

/** Key sets (JSON texts) as fetched, by `jwksKeyOf`. */
export type JwksIndex = ReadonlyMap<string, string>;

export const noJwks: JwksIndex = new Map();

/** What is fetched for a rule without keys in line: its address, or what its issuer says of itself (OpenID Connect discovery). */
export function jwksKeyOf({ jwksUri, jwks_uri: old, issuer }: Pick<JWTRule, "jwksUri" | "jwks_uri" | "issuer">): string {
	return jwksUri || old || `${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`;
}

export const isDiscovery = (key: string): boolean => key.endsWith("/.well-known/openid-configuration");

/**
 * Stands for keys that are not known yet. Its point was not made from a private key but found by hashing a text
 * (see jwks.test.ts), so nobody can sign for it, and every token is refused.
 */
export const unknownJwks =
	'{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"unknown","x":"tR-1jlNF_FSivbSlbQvL_IeUE-tuvTDh1VZjarIy2aw","y":"ayRCl1n5vatpySXUh4CzbAQZmf96mCkDeuwpAEydAiY"}]}';
