import { type AnyConfig, type Diagnostic, diagnosticCodes, type Kind } from "@weft/api";
import { diagnosticAt } from "../decode/locations.ts";
import type { MeshView } from "./mesh-view.ts";

interface Condition {
	readonly type?: string;
	readonly status?: string;
	readonly reason?: string;
	readonly message?: string;
}

interface Status {
	readonly conditions?: readonly Condition[];
	/** Of routes. */
	readonly parents?: readonly { readonly conditions?: readonly Condition[] }[];
}

const ofGatewayApi = ["Accepted", "Programmed", "ResolvedRefs"];

/** Conditions that are bad news when they are False. Of listeners nothing is said, as at istioctl. */
const told: readonly (readonly [Kind, readonly string[]])[] = [
	["Service", ["istio.io/WaypointBound"]],
	["ServiceEntry", ["istio.io/WaypointBound"]],
	["AuthorizationPolicy", ["ZtunnelAccepted", "WaypointAccepted"]],
	["KubernetesGateway", ofGatewayApi],
	["HTTPRoute", ofGatewayApi],
	["GRPCRoute", ofGatewayApi],
];

/** What some controller, ours or another, has written into the status of an object that it cannot serve. */
export function analyzeConditions(view: MeshView): readonly Diagnostic[] {
	return told.flatMap(([kind, types]) => view.concerned(kind).flatMap((object) => negativeConditions(object as AnyConfig, types)));
}

function negativeConditions(object: AnyConfig, types: readonly string[]): readonly Diagnostic[] {
	const { conditions = [], parents = [] } = (object.status ?? {}) as Status;
	const all = object.kind === "HTTPRoute" || object.kind === "GRPCRoute" ? parents.flatMap((parent) => parent.conditions ?? []) : conditions;
	return all.flatMap(({ type = "", status, reason = "", message = "" }) => {
		const isPartial = object.kind === "AuthorizationPolicy" && type === "WaypointAccepted" && reason === "PartiallyInvalid";
		if (!(types.includes(type) && status === "False") && !isPartial) return [];
		const text = `A condition with a negative status is present: type=${type}, reason=${reason}, message=${message}.`;
		return [diagnosticAt(object, "warning", diagnosticCodes.negativeCondition, ["status", "conditions"], text)];
	});
}
