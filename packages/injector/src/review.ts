import { type InjectionFacts, type InjectionResult, injectPod } from "./inject-pod.ts";
import { isJsonObject, type JsonObject, nestingDepth, omit, type StringMap } from "./json.ts";
import { decodePod, type Pod } from "./pod/pod.ts";
import type { InjectorSettings } from "./settings/settings.ts";

// https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#webhook-request-and-response

/** An API server sends an object of at most 3 MB, and with it the old one. */
export const reviewBytesMax = 6 * 1024 * 1024;
/** Kubernetes' own objects are far from it. */
export const reviewDepthMax = 100;

export interface ReviewInput {
	/** Of the HTTP request. */
	readonly body: string;
	/** Of the HTTP request, without its query: `/inject/cluster/C1/net/N1` names the cluster and network of the pods. */
	readonly path: string;
}

export interface ReviewAnswer {
	/** HTTP status: 200 with an AdmissionReview, 400 and 413 with a text for people. */
	readonly status: number;
	readonly body: string;
	/** What was done, for log and metrics; `subject` is namespace/name of the pod. */
	readonly outcome: InjectionResult | { readonly kind: "refused"; readonly message: string };
	readonly subject: string;
}

export interface ReviewFacts {
	/** What is known of a namespace when its pod comes. */
	factsOf(namespace: string, pod: Pod): InjectionFacts;
}

/** Answers one AdmissionReview of v1 or v1beta1. Pure but for `factsOf`; never throws on what a caller sent. */
export function reviewInjection({ body, path }: ReviewInput, settings: InjectorSettings, facts: ReviewFacts): ReviewAnswer {
	const parsed = parseReview(body);
	if ("message" in parsed) return { status: parsed.status, body: `${parsed.message}\n`, outcome: { kind: "refused", message: parsed.message }, subject: "" };
	const { apiVersion, request } = parsed;
	const uid = typeof request["uid"] === "string" ? request["uid"] : "";
	const answer = (outcome: ReviewAnswer["outcome"], subject: string): ReviewAnswer => ({
		status: 200,
		body: JSON.stringify({ apiVersion, kind: "AdmissionReview", response: { uid, ...responseOf(outcome) } }),
		outcome,
		subject,
	});
	const namespace = typeof request["namespace"] === "string" ? request["namespace"] : "";
	if (!isPodCreation(request)) return answer({ kind: "skipped", reason: "not a pod creation", message: "only the creation of Pods is injected" }, namespace);
	const decoded = decodePod(withoutManagedFields(request["object"]));
	if ("error" in decoded) return answer({ kind: "error", message: `the object is no Pod: ${decoded.error}` }, namespace);
	const { pod } = decoded;
	const known = facts.factsOf(namespace, pod);
	const result = injectPod(pod, settings, {
		...known,
		namespace: { ...known.namespace, isSelected: true },
		environment: { ...known.environment, ...pathEnvironment(path) },
	});
	return answer(result, `${namespace}/${pod.metadata.name ?? `${pod.metadata.generateName ?? ""}*`}`);
}

type ParsedReview = { readonly apiVersion: string; readonly request: JsonObject } | { readonly status: 400 | 413; readonly message: string };

function parseReview(body: string): ParsedReview {
	const bytes = Buffer.byteLength(body);
	if (bytes > reviewBytesMax) return { status: 413, message: `the AdmissionReview has ${bytes} bytes, at most ${reviewBytesMax} are read` };
	if (body.trim() === "") return { status: 400, message: "no body found" };
	// Before it is parsed: what walks the object later is recursive.
	const depth = nestingDepth(body);
	if (depth > reviewDepthMax) return { status: 400, message: `the AdmissionReview is nested ${depth} deep, at most ${reviewDepthMax}` };
	let review: unknown;
	try {
		review = JSON.parse(body);
	} catch (error) {
		return { status: 400, message: `could not decode body: ${error instanceof Error ? error.message : String(error)}` };
	}
	if (!isJsonObject(review)) return { status: 400, message: "could not decode body: expected an AdmissionReview" };
	const { apiVersion, kind, request } = review;
	if (kind !== "AdmissionReview" || (apiVersion !== "admission.k8s.io/v1" && apiVersion !== "admission.k8s.io/v1beta1")) {
		return { status: 400, message: `unsupported ${String(kind)} of ${String(apiVersion)}; expected an AdmissionReview of admission.k8s.io/v1 or v1beta1` };
	}
	if (!isJsonObject(request)) return { status: 400, message: "the AdmissionReview has no request" };
	return { apiVersion, request };
}

function isPodCreation(request: JsonObject): boolean {
	const { kind, operation, subResource } = request;
	const isPod = !isJsonObject(kind) || (kind["kind"] === "Pod" && (kind["group"] ?? "") === "") || isFromIstioctl(kind);
	return isPod && (operation === undefined || operation === "" || operation === "CREATE") && (subResource === undefined || subResource === "");
}

/** `istioctl kube-inject` names the kind of its question instead of the pod's, and no operation. */
const isFromIstioctl = (kind: JsonObject): boolean => kind["kind"] === "AdmissionRequest" && kind["group"] === "admission.k8s.io";

/** They may be large, and nothing of injection reads them. */
function withoutManagedFields(object: unknown): unknown {
	if (!isJsonObject(object) || !isJsonObject(object["metadata"])) return object;
	return { ...object, metadata: omit(object["metadata"], ["managedFields"]) };
}

function responseOf(outcome: ReviewAnswer["outcome"]): JsonObject {
	switch (outcome.kind) {
		case "injected": {
			const warnings = outcome.warnings.length > 0 ? { warnings: outcome.warnings } : {};
			if (outcome.patch.length === 0) return { allowed: true, ...warnings };
			return { allowed: true, ...warnings, patchType: "JSONPatch", patch: Buffer.from(JSON.stringify(outcome.patch)).toString("base64") };
		}
		case "skipped":
			return { allowed: true, status: { message: `not injected: ${outcome.message}` }, auditAnnotations: { "injection-skipped": outcome.reason } };
		default:
			return { allowed: false, status: { status: "Failure", reason: "BadRequest", code: 400, message: outcome.message } };
	}
}

const pathVariables: ReadonlyMap<string, string> = new Map([
	["cluster", "ISTIO_META_CLUSTER_ID"],
	["net", "ISTIO_META_NETWORK"],
]);

/** `/inject/k1/v1/k2/v2`: variables of the proxy; a slash within a value is written --slash--. */
export function pathEnvironment(path: string): StringMap {
	const [, prefix, ...rest] = path.replace(/\/$/, "").split("/");
	if (prefix !== "inject") return {};
	const environment: Record<string, string> = {};
	for (let i = 0; i + 1 < rest.length; i += 2) {
		const [key = "", value = ""] = [rest[i], rest[i + 1]];
		const name = pathVariables.get(key) ?? key.toUpperCase();
		// What is no name of a variable would be refused by the API server, and the pod with it.
		if (/^[A-Za-z_][A-Za-z0-9_.-]*$/.test(name)) environment[name] = value.replaceAll("--slash--", "/");
	}
	return environment;
}
