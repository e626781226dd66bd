import { type AnyConfig, type Diagnostic, hasErrors } from "@weft/api";
import { admitObjects, decodeValue, type StoreSnapshot, withAge } from "@weft/galley";
import { Counter, type Registry } from "prom-client";
import { objectChecks } from "@weft/pilot";
import { type AdmissionRequest, type AdmissionResponse, answerReview, type WebhookHandler } from "./admission-review.ts";

export interface ValidateOptions {
	readonly snapshot: () => StoreSnapshot;
	readonly nowMs: () => number;
	readonly registry: Registry;
}

/** An API server shows a few lines, not a page. */
const problemsMax = 20;
const warningsMax = 10;
const warningLengthMax = 250;

/** `/validate`: the verdict that `weft apply` and files get, before the object is in the cluster. */
export function createValidateHandler(options: ValidateOptions): WebhookHandler {
	const { registry } = options;
	const labelNames = ["group", "resource"] as const;
	const passed = new Counter({ name: "galley_validation_passed", help: "Resource is valid", labelNames, registers: [registry] });
	const failed = new Counter({
		name: "galley_validation_failed",
		help: "Resource validation failed",
		labelNames: [...labelNames, "reason"],
		registers: [registry],
	});
	return {
		path: "/validate",
		handle: (review) =>
			answerReview(review, (request) => {
				const response = validateRequest(request, options);
				const labels = { group: request.kind?.group ?? "", resource: request.kind?.kind ?? "" };
				if (response.allowed) passed.inc(labels);
				else failed.inc({ ...labels, reason: "invalid_resource" });
				return response;
			}),
	};
}

export function validateRequest(request: AdmissionRequest, { snapshot, nowMs }: Pick<ValidateOptions, "snapshot" | "nowMs">): AdmissionResponse {
	const { uid, operation, object } = request;
	// What is going may be anything; refusing would keep it.
	if (operation === "DELETE" || operation === "CONNECT" || isGoing(object)) return { uid, allowed: true };
	const into = { objects: [] as AnyConfig[], diagnostics: [] as Diagnostic[] };
	decodeValue(object, {}, into, 0);
	const present = snapshot();
	const now = new Date(nowMs()).toISOString();
	const admitted = admitObjects(
		into.objects.map((config) => withAge(config, present, now)),
		present,
		objectChecks,
	);
	const diagnostics = [...into.diagnostics, ...admitted.diagnostics];
	const warnings = diagnostics.filter((d) => d.severity === "warning").map((d) => `${sentence(d)} [${d.code}]`.slice(0, warningLengthMax));
	const told = warnings.length > warningsMax ? [...warnings.slice(0, warningsMax), `and ${warnings.length - warningsMax} more warnings`] : warnings;
	const common = { uid, ...(told.length > 0 && { warnings: told }) };
	if (!hasErrors(diagnostics)) return { ...common, allowed: true };
	return { ...common, allowed: false, status: { code: 400, reason: "BadRequest", message: messageOf(diagnostics) } };
}

const sentence = ({ path, message }: Diagnostic): string => (path === "" ? message : `${path}: ${message}`);

function messageOf(diagnostics: readonly Diagnostic[]): string {
	const errors = diagnostics.filter((d) => d.severity === "error").map(sentence);
	const rest = errors.length - problemsMax;
	return [...errors.slice(0, problemsMax), ...(rest > 0 ? [`and ${rest} more problems`] : [])].join("; ");
}

function isGoing(object: unknown): boolean {
	const metadata: unknown = typeof object === "object" && object !== null ? Reflect.get(object, "metadata") : undefined;
	return typeof metadata === "object" && metadata !== null && typeof Reflect.get(metadata, "deletionTimestamp") === "string";
}
