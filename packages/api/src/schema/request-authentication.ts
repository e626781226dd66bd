import { bool, duration, list, obj, opt, type StaticOf, text } from "./builders.ts";
import { policyTarget } from "./common.ts";

// https://istio.io/latest/docs/reference/config/security/request_authentication/

const jwtRuleSchema = obj(
	{
		issuer: text({ description: "The claim iss that tokens must have." }),
		audiences: opt(list(text())),
		jwksUri: opt(text({ description: "Where the control plane fetches the issuer's keys." })),
		jwks_uri: opt(text({ "x-weft-deprecated": "write jwksUri" })),
		jwks: opt(text({ description: "The keys themselves, as a JSON Web Key Set." })),
		fromHeaders: opt(list(obj({ name: text(), prefix: opt(text()) }))),
		fromParams: opt(list(text())),
		fromCookies: opt(list(text())),
		outputPayloadToHeader: opt(text()),
		forwardOriginalToken: opt(bool()),
		outputClaimToHeaders: opt(list(obj({ header: text(), claim: text() }))),
		timeout: opt(duration()),
		spaceDelimitedClaims: opt(list(text())),
	},
	{ "x-weft-one-of": [["jwksUri", "jwks_uri", "jwks"]] },
);
export type JWTRule = StaticOf<typeof jwtRuleSchema>;

export const requestAuthenticationSchema = obj({ ...policyTarget, jwtRules: opt(list(jwtRuleSchema)) });
export type RequestAuthenticationSpec = StaticOf<typeof requestAuthenticationSchema>;
