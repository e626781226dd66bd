import { parseJwks } from "../../../packages/proxy/src/data/filters/jwt/jwks.ts";
import { parseJwt } from "../../../packages/proxy/src/data/filters/jwt/jwt.ts";
import { check } from "../invariants.ts";

const hmacKey = parseJwks(JSON.stringify({ keys: [{ kty: "oct", k: "c2VjcmV0LW9mLWEtdGVzdA", alg: "HS256" }] }));

/** The set, a line feed, the token: each is understood or refused with a reason, and no generated signature is good. */
export function fuzz(data: Buffer): void {
	const at = data.indexOf(10);
	const jwks = parseJwks(data.toString("utf8", 0, Math.max(at, 0)));
	check(typeof jwks !== "string" || jwks !== "", "a set refused without a reason");
	const jwt = parseJwt(data.latin1Slice(at + 1));
	if (typeof jwt === "string") return check(jwt !== "", "a token refused without a reason");
	if (typeof jwks !== "string") jwks.verify(jwt);
	if (typeof hmacKey === "string") throw new Error(hmacKey);
	check(hmacKey.verify(jwt) !== undefined, "a signature by a key that nobody has");
}
