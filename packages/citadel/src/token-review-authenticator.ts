import { createHash } from "node:crypto";
import { accepted, type Checked, checkSpiffeId, refused } from "@weft/pki";
import type { Clock } from "@weft/runtime";
import type { AuthenticatedCaller, Authenticator, Unverifiable } from "./authenticator.ts";

/** What the Kubernetes API server says of a token that it was asked about with our audience. */
export type ReviewedToken =
	| { readonly authenticated: true; readonly username: string; readonly extra: Readonly<Record<string, readonly string[]>> }
	| { readonly authenticated: false; readonly error: string };

export interface TokenReviewAuthenticatorOptions {
	/** Asks the API server; rejects when it does not answer. */
	readonly review: (token: string) => Promise<ReviewedToken>;
	readonly clock: Clock;
	readonly trustDomain: string;
	/**
	 * Only tokens that are bound to a living pod, as kubelet projects them. A certificate outlives its token, so it is given to
	 * a pod alone; a question about the mesh may come from anybody who has an account.
	 */
	readonly needsPod: boolean;
	/** With `needsPod`: accounts of machines outside of the cluster, which have no pod; default none. */
	readonly isMachine?: (namespace: string, serviceAccount: string) => boolean;
}

type Verdict = Checked<AuthenticatedCaller> | Unverifiable;

/** A retry or a second stream of one pod asks nothing; a pod that is deleted is forgotten soon. */
const cacheMs = 30_000;
/** Shorter: the API server may know of a new pod a moment later. */
const refusalCacheMs = 5_000;
const cacheEntriesMax = 10_000;
/** As many as certificate requests may be in work. */
const reviewsMax = 256;
const tokenLengthMax = 16_384;

const podNameKey = "authentication.kubernetes.io/pod-name";
const podUidKey = "authentication.kubernetes.io/pod-uid";
const accountUser = /^system:serviceaccount:([^:]+):([^:]+)$/;

/** The service account of a bearer token, by TokenReview: `spiffe://TRUST-DOMAIN/ns/NS/sa/SA`. */
export function createTokenReviewAuthenticator(options: TokenReviewAuthenticatorOptions): Authenticator {
	const { review, clock, needsPod } = options;
	const cache = new Map<string, { readonly verdict: Verdict; readonly untilMs: number }>();
	const asking = new Map<string, Promise<Verdict>>();

	const ask = async (key: string, token: string, expiresAtMs: number): Promise<Verdict> => {
		let reviewed: ReviewedToken;
		try {
			reviewed = await review(token);
		} catch (error) {
			// No answer is not remembered: the next attempt may find the server back.
			return unverifiable(error instanceof Error ? error.message : String(error));
		}
		const verdict = decide(options, reviewed);
		if (cache.size >= cacheEntriesMax) cache.delete(cache.keys().next().value ?? "");
		cache.set(key, { verdict, untilMs: Math.min(clock.nowMs() + (verdict.ok ? cacheMs : refusalCacheMs), expiresAtMs) });
		return verdict;
	};

	return {
		name: needsPod ? "kubernetes-pod-token" : "kubernetes-token",
		async authenticate({ bearerToken }) {
			if (bearerToken === undefined) return refused("no bearer token");
			if (bearerToken.length > tokenLengthMax) return refused("the token is too long");
			// Whatever else it says is the API server's to judge; what is no token at all, or has expired, need not trouble it.
			const expiresAtMs = expiryOf(bearerToken);
			if (expiresAtMs === undefined) return refused("the token is no JSON Web Token with an expiry");
			if (expiresAtMs <= clock.nowMs()) return refused("the token has expired");
			const key = createHash("sha256").update(bearerToken).digest("base64");
			const known = cache.get(key);
			if (known && known.untilMs > clock.nowMs()) return known.verdict;
			cache.delete(key);
			if (!asking.has(key) && asking.size >= reviewsMax) return unverifiable("too many token reviews at one time");
			let verdict = asking.get(key);
			if (!verdict) {
				verdict = ask(key, bearerToken, expiresAtMs).finally(() => asking.delete(key));
				asking.set(key, verdict);
			}
			return verdict;
		},
	};
}

function decide({ trustDomain, needsPod, isMachine = () => false }: TokenReviewAuthenticatorOptions, reviewed: ReviewedToken): Verdict {
	if (!reviewed.authenticated) return refused(reviewed.error);
	const account = accountUser.exec(reviewed.username);
	if (!account) return refused(`${reviewed.username.slice(0, 100)} is no service account`);
	const pod = reviewed.extra[podNameKey]?.[0];
	const isBound = pod !== undefined && reviewed.extra[podUidKey]?.[0] !== undefined;
	const [, namespace = "", serviceAccount = ""] = account;
	if (needsPod && !isBound && !isMachine(namespace, serviceAccount)) return refused("the token is not bound to a pod, and its account is no WorkloadGroup's");
	const identity = checkSpiffeId({ trustDomain, namespace, serviceAccount });
	return identity.ok ? accepted({ identity: identity.value, ...(pod !== undefined && { pod }) }) : identity;
}

const unverifiable = (reason: string): Unverifiable => ({ ok: false, reason: `TokenReview: ${reason}`, isUnavailable: true });

function expiryOf(token: string): number | undefined {
	const [, payload = "", signature, ...rest] = token.split(".");
	if (signature === undefined || rest.length > 0) return undefined;
	try {
		const claims: unknown = JSON.parse(Buffer.from(payload, "base64url").toString("utf8"));
		const exp: unknown = typeof claims === "object" && claims !== null ? Reflect.get(claims, "exp") : undefined;
		return typeof exp === "number" && Number.isFinite(exp) ? exp * 1000 : undefined;
	} catch {
		return undefined;
	}
}
