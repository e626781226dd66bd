import { type JwtFailure, jwtStatus } from "./jwt-status.ts";

/** A token taken apart; nothing in it is proved yet. */
export interface Jwt {
	readonly alg: string;
	readonly kid: string;
	readonly header: Readonly<Record<string, unknown>>;
	readonly payload: Readonly<Record<string, unknown>>;
	/** As it stands in the token. */
	readonly payloadText: string;
	readonly signedText: string;
	readonly signature: Buffer;
	readonly issuer: string;
	readonly subject: string;
	readonly audiences: readonly string[];
	/** Seconds; undefined: not there. */
	readonly notBefore: number | undefined;
	readonly expires: number | undefined;
}

const algorithms: ReadonlySet<string> = new Set([
	"RS256",
	"RS384",
	"RS512",
	"PS256",
	"PS384",
	"PS512",
	"ES256",
	"ES384",
	"ES512",
	"HS256",
	"HS384",
	"HS512",
	"EdDSA",
]);

let last: { readonly token: string; readonly result: Jwt | JwtFailure } | undefined;

/** A string says what is wrong. Where a request may have a token of many issuers, each of them asks about the same one. */
export function parseJwt(token: string): Jwt | JwtFailure {
	if (last?.token !== token) last = { token, result: takeApart(token) };
	return last.result;
}

function takeApart(token: string): Jwt | JwtFailure {
	const parts = token.split(".");
	const [headerText, payloadText, signatureText] = parts;
	if (parts.length !== 3 || !headerText || !payloadText || !signatureText) return jwtStatus.badFormat;
	const header = parsePart(headerText, jwtStatus.headerBase64, jwtStatus.headerJson);
	if (typeof header === "string") return header;
	const { alg, kid } = header;
	if (typeof alg !== "string") return jwtStatus.headerAlg;
	if (!algorithms.has(alg)) return jwtStatus.headerAlgUnknown;
	if (kid !== undefined && typeof kid !== "string") return jwtStatus.headerKid;
	const payload = parsePart(payloadText, jwtStatus.payloadBase64, jwtStatus.payloadJson);
	if (typeof payload === "string") return payload;
	const wrong = checkClaims(payload);
	if (wrong !== undefined) return wrong;
	const signature = decodeBase64Url(signatureText);
	if (signature === undefined) return jwtStatus.signatureBase64;
	return {
		alg,
		kid: kid ?? "",
		header,
		payload,
		payloadText,
		signedText: token.slice(0, token.lastIndexOf(".")),
		signature,
		issuer: textOf(payload["iss"]),
		subject: textOf(payload["sub"]),
		audiences: listOf(payload["aud"]),
		notBefore: numberOf(payload["nbf"]),
		expires: numberOf(payload["exp"]),
	};
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const numberOf = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
const listOf = (value: unknown): readonly string[] =>
	typeof value === "string" ? [value] : Array.isArray(value) ? value.filter((entry) => typeof entry === "string") : [];

function parsePart(text: string, badBase64: JwtFailure, badJson: JwtFailure): Readonly<Record<string, unknown>> | JwtFailure {
	const bytes = decodeBase64Url(text);
	if (bytes === undefined) return badBase64;
	try {
		const value: unknown = JSON.parse(bytes.toString("utf8"));
		return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : badJson;
	} catch {
		// Not JSON is what there is to know.
		return badJson;
	}
}

/** undefined: not base64url without padding. */
export function decodeBase64Url(text: string): Buffer | undefined {
	return /^[A-Za-z0-9_-]+$/.test(text) && text.length % 4 !== 1 ? Buffer.from(text, "base64url") : undefined;
}

function checkClaims(payload: Readonly<Record<string, unknown>>): JwtFailure | undefined {
	for (const name of ["iss", "sub", "jti"]) {
		if (payload[name] !== undefined && typeof payload[name] !== "string") return `Jwt payload [${name}] field is not a string`;
	}
	for (const name of ["iat", "nbf", "exp"]) {
		const value = payload[name];
		if (value === undefined) continue;
		if (typeof value !== "number") return `Jwt payload [${name}] field is not an integer`;
		if (value < 0 || value > 2 ** 63) return `Jwt payload [${name}] field is not a positive 64 bit integer`;
	}
	const { aud } = payload;
	const isAudience = aud === undefined || typeof aud === "string" || (Array.isArray(aud) && aud.every((entry) => typeof entry === "string"));
	return isAudience ? undefined : "Jwt payload [aud] field is not a string or string list";
}
