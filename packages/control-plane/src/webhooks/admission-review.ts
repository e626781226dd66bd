/** https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#request */
export interface AdmissionReview {
	readonly apiVersion: "admission.k8s.io/v1";
	readonly kind: "AdmissionReview";
	readonly request: AdmissionRequest;
}

export interface AdmissionRequest {
	readonly uid: string;
	readonly operation: "CREATE" | "UPDATE" | "DELETE" | "CONNECT";
	readonly namespace?: string;
	readonly name?: string;
	readonly object?: unknown;
	readonly oldObject?: unknown;
	readonly dryRun?: boolean;
	readonly kind?: { readonly group: string; readonly version: string; readonly kind: string };
	readonly [field: string]: unknown;
}

export interface AdmissionResponse {
	readonly uid: string;
	readonly allowed: boolean;
	readonly status?: { readonly code: number; readonly message: string; readonly reason?: string };
	readonly warnings?: readonly string[];
	readonly patchType?: "JSONPatch";
	/** Base64. */
	readonly patch?: string;
}

/** One request of the API server. */
export interface WebhookRequest {
	readonly body: string;
	readonly url: URL;
}

/** What goes back: 200 with an AdmissionReview, or another status with a text for people. */
export interface WebhookAnswer {
	readonly status: number;
	readonly body: string;
}

/** Answers what the API server asks under a path. */
export interface WebhookHandler {
	/** The path itself, and everything below it: `/inject` answers `/inject/cluster/c1`, too. */
	readonly path: string;
	/** Throws only where there is a mistake of ours: the API server is then told so, and decides by its failurePolicy. */
	handle(request: WebhookRequest): WebhookAnswer | Promise<WebhookAnswer>;
}

/** Decodes, asks `decide`, and wraps the verdict. */
export function answerReview({ body }: WebhookRequest, decide: (request: AdmissionRequest) => AdmissionResponse): WebhookAnswer {
	const decoded = decodeReview(body);
	if (!decoded.ok) return { status: 400, body: `${decoded.reason}\n` };
	return { status: 200, body: JSON.stringify({ apiVersion: "admission.k8s.io/v1", kind: "AdmissionReview", response: decide(decoded.review.request) }) };
}

/** Deeper ones are no object that anybody means; the walks over objects are recursive. */
export const nestingMax = 100;

export type DecodedReview = { readonly ok: true; readonly review: AdmissionReview } | { readonly ok: false; readonly reason: string };

/** Never throws. The nesting is measured before anything is built from the text. */
export function decodeReview(text: string): DecodedReview {
	if (isTooDeep(text)) return { ok: false, reason: `the AdmissionReview is nested deeper than ${nestingMax} levels` };
	let value: Partial<Record<keyof AdmissionReview, unknown>> | null;
	try {
		value = JSON.parse(text) as typeof value;
	} catch {
		return { ok: false, reason: "the body is no JSON" };
	}
	const refuse = (reason: string) => ({ ok: false, reason }) as const;
	if (typeof value !== "object" || value === null || value.kind !== "AdmissionReview") return refuse("the body is no AdmissionReview");
	if (value.apiVersion !== "admission.k8s.io/v1") return refuse(`apiVersion ${JSON.stringify(value.apiVersion)} is not admission.k8s.io/v1`);
	const request = value.request as Partial<AdmissionRequest> | null | undefined;
	if (typeof request !== "object" || request === null || typeof request.uid !== "string" || typeof request.operation !== "string")
		return refuse("the AdmissionReview has no request with uid and operation");
	return { ok: true, review: value as AdmissionReview };
}

function isTooDeep(text: string): boolean {
	let depth = 0;
	let inString = false;
	for (let i = 0; i < text.length; i++) {
		const code = text.charCodeAt(i);
		if (inString) {
			if (code === 92) i++;
			else if (code === 34) inString = false;
		} else if (code === 34) inString = true;
		else if (code === 123 || code === 91) {
			if (++depth > nestingMax) return true;
		} else if (code === 125 || code === 93) depth--;
	}
	return false;
}
