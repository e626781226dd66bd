import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { link, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { accepted, type Checked, checkedCall, checkSpiffeId, refused } from "@weft/pki";
import type { Clock } from "@weft/runtime";
import type { Authenticator } from "./authenticator.ts";
import { isErrno } from "./key-store.ts";

/** What a local workload's token says. It stands where Kubernetes has the projected service account token. */
export interface LocalTokenClaims {
	readonly ns: string;
	readonly sa: string;
	readonly pod: string;
	/** Epoch seconds, as in a JWT. */
	readonly exp: number;
}

const keyBytes = 32;
const tokenLengthMax = 4096;

/** `base64url(JSON claims).base64url(HMAC-SHA256 over the first part)`. */
export function issueLocalToken(key: Uint8Array, claims: LocalTokenClaims): string {
	const { ns, sa, pod, exp } = claims;
	const payload = Buffer.from(JSON.stringify({ ns, sa, pod, exp })).toString("base64url");
	return `${payload}.${mac(key, payload).toString("base64url")}`;
}

function mac(key: Uint8Array, payload: string): Buffer {
	if (key.length !== keyBytes) throw new TypeError(`a local token key has ${keyBytes} bytes, not ${key.length}`);
	return createHmac("sha256", key).update(payload).digest();
}

/** Checks form, MAC, then claims and expiry; nothing of the payload is parsed before the MAC holds. */
export function verifyLocalToken(key: Uint8Array, token: string, nowMs: number): Checked<LocalTokenClaims> {
	if (token.length > tokenLengthMax) return refused("local token is too long");
	const [payload = "", signature = "", ...rest] = token.split(".");
	const given = Buffer.from(signature, "base64url");
	// One spelling only: base64url decoding ignores what it does not know.
	const wellFormed = rest.length === 0 && given.length === keyBytes && given.toString("base64url") === signature;
	if (!wellFormed) return refused("local token is malformed");
	if (!timingSafeEqual(given, mac(key, payload))) return refused("local token's signature does not verify");
	const claims = checkedCall("local token's claims", () => JSON.parse(Buffer.from(payload, "base64url").toString("utf8")) as unknown);
	if (!claims.ok) return claims;
	if (!isClaims(claims.value)) return refused("local token's claims are incomplete");
	if (nowMs >= claims.value.exp * 1000) return refused("local token has expired");
	return accepted(claims.value);
}

function isClaims(value: unknown): value is LocalTokenClaims {
	if (typeof value !== "object" || value === null) return false;
	const { ns, sa, pod, exp } = value as Partial<Record<keyof LocalTokenClaims, unknown>>;
	return typeof ns === "string" && typeof sa === "string" && typeof pod === "string" && typeof exp === "number" && Number.isFinite(exp);
}

export interface LocalTokenAuthenticatorOptions {
	readonly key: Uint8Array;
	readonly clock: Clock;
	readonly trustDomain: string;
}

/** Accepts the bearer tokens of `issueLocalToken` for identities of `trustDomain`. */
export function createLocalTokenAuthenticator({ key, clock, trustDomain }: LocalTokenAuthenticatorOptions): Authenticator {
	return {
		name: "local-token",
		async authenticate({ bearerToken }) {
			if (bearerToken === undefined) return refused("no bearer token");
			const claims = verifyLocalToken(key, bearerToken, clock.nowMs());
			if (!claims.ok) return claims;
			const identity = checkSpiffeId({ trustDomain, namespace: claims.value.ns, serviceAccount: claims.value.sa });
			return identity.ok ? accepted({ identity: identity.value, pod: claims.value.pod }) : identity;
		},
	};
}

/** The key that launcher and authority share: 32 random bytes in a file of mode 0600, made by whoever comes first. */
export async function loadOrCreateLocalTokenKey(path: string): Promise<Buffer> {
	const staging = `${path}.${randomBytes(8).toString("hex")}.tmp`;
	await mkdir(dirname(path), { recursive: true, mode: 0o700 });
	await writeFile(staging, randomBytes(keyBytes), { mode: 0o600, flag: "wx" });
	try {
		// link fails when the name is taken, so that two starts share the first one's key, and never half of it.
		await link(staging, path);
	} catch (error) {
		if (!isErrno(error, "EEXIST")) throw error;
	} finally {
		await rm(staging, { force: true });
	}
	const key = await readFile(path);
	if (key.length !== keyBytes) throw new Error(`${path} is not a local token key: ${key.length} bytes instead of ${keyBytes}`);
	return key;
}
