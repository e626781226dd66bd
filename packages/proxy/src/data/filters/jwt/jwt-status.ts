/** What is wrong with a token or with the keys, in the words that clients are told (Envoy's). */
export const jwtStatus = {
	missing: "Jwt is missing",
	notYetValid: "Jwt not yet valid",
	expired: "Jwt is expired",
	badFormat: "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
	headerBase64: "Jwt header is an invalid Base64url encoded",
	headerJson: "Jwt header is an invalid JSON",
	headerAlg: "Jwt header [alg] field is required and must be a string",
	headerAlgUnknown: "Jwt header [alg] is not supported",
	headerKid: "Jwt header [kid] field is not a string",
	payloadBase64: "Jwt payload is an invalid Base64url encoded",
	payloadJson: "Jwt payload is an invalid JSON",
	signatureBase64: "Jwt signature is an invalid Base64url encoded",
	unknownIssuer: "Jwt issuer is not configured",
	audience: "Audiences in Jwt are not allowed",
	verificationFails: "Jwt verification fails",
	jwksParse: "Jwks is an invalid JSON",
	jwksNoKeys: "Jwks does not have [keys] field",
	jwksBadKeys: "[keys] in Jwks is not an array",
	jwksNoValidKeys: "Jwks doesn't have any valid public key",
	jwksMismatch: "Jwks doesn't have key to match kid or alg from Jwt",
	jwksFetch: "Jwks remote fetch is failed",
} as const;

/** One of the texts above, one of `fieldError`, or undefined when all is well. */
export type JwtFailure = string;

const field = (name: string, what: string): string => `Jwt payload [${name}] field is not ${what}`;
const integer = "an integer";
const positive = "a positive 64 bit integer";

/** Envoy's number of a failure, for `failed_status_in_metadata`: its place in this list. */
const numbered: readonly JwtFailure[] = [
	"OK",
	jwtStatus.missing,
	jwtStatus.notYetValid,
	jwtStatus.expired,
	jwtStatus.badFormat,
	jwtStatus.headerBase64,
	jwtStatus.headerJson,
	jwtStatus.headerAlg,
	jwtStatus.headerAlgUnknown,
	jwtStatus.headerKid,
	jwtStatus.payloadBase64,
	jwtStatus.payloadJson,
	field("iss", "a string"),
	field("sub", "a string"),
	field("iat", integer),
	field("iat", positive),
	field("nbf", integer),
	field("nbf", positive),
	field("exp", integer),
	field("exp", positive),
	field("jti", "a string"),
	field("aud", "a string or string list"),
	jwtStatus.signatureBase64,
	"Jwt ED25519 signature is wrong length",
	jwtStatus.unknownIssuer,
	jwtStatus.audience,
	jwtStatus.verificationFails,
	"Found multiple Jwt tokens",
	jwtStatus.jwksParse,
	jwtStatus.jwksNoKeys,
	jwtStatus.jwksBadKeys,
	jwtStatus.jwksNoValidKeys,
	jwtStatus.jwksMismatch,
];

export function failureCode(failure: JwtFailure): number {
	return failure === jwtStatus.jwksFetch ? 40 : numbered.indexOf(failure);
}
