import type { KubeClient } from "./client.ts";
import { pathOf, resources } from "./resource.ts";
import { errorOfResponse } from "./errors.ts";

/** What the API server says of a token. https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-review-v1/ */
export type TokenVerdict =
	| {
			readonly authenticated: true;
			readonly username: string;
			readonly groups: readonly string[];
			/** Those of the asked ones that the token is for. */
			readonly audiences: readonly string[];
			readonly extra: Readonly<Record<string, readonly string[]>>;
	  }
	| { readonly authenticated: false; readonly error: string };

interface TokenReviewStatus {
	readonly authenticated?: boolean;
	readonly error?: string;
	readonly user?: { readonly username?: string; readonly groups?: readonly string[]; readonly extra?: Readonly<Record<string, readonly string[]>> };
	readonly audiences?: readonly string[];
}

const reviewTimeoutMs = 5_000;

/** Rejects when the API server does not answer, or refuses the question itself. */
export async function reviewToken(client: KubeClient, token: string, audiences: readonly string[]): Promise<TokenVerdict> {
	const path = pathOf(resources.tokenReviews);
	const body = JSON.stringify({ apiVersion: "authentication.k8s.io/v1", kind: "TokenReview", spec: { token, audiences } });
	const response = await client.transport.request({ method: "POST", path, body, timeoutMs: reviewTimeoutMs });
	if (response.status < 200 || response.status > 299) throw errorOfResponse("TokenReview", response);
	const { status = {} } = JSON.parse(response.body) as { readonly status?: TokenReviewStatus };
	if (status.authenticated !== true) return { authenticated: false, error: status.error ?? "the API server does not know the token" };
	const granted = status.audiences ?? [];
	// A server that does not know of audiences ignores the question, and vouches for a token that is for something else.
	if (!audiences.some((audience) => granted.includes(audience)))
		return { authenticated: false, error: `the token is not for audience ${audiences.join(" or ")}` };
	const { username = "", groups = [], extra = {} } = status.user ?? {};
	return { authenticated: true, username, groups, audiences: granted, extra };
}
