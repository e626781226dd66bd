import type { ConfigObject, ParentReference, RouteGroupKind } from "@weft/api";

// Status of the Gateway API's objects as plain values; whoever writes them adds times. https://gateway-api.sigs.k8s.io/reference/spec/

/** The name by which Istio (and so its users' Gateway classes) calls the controller of gateways. */
export const controllerName = "istio.io/gateway-controller";
export const waypointControllerName = "istio.io/mesh-controller";

export interface Condition {
	readonly type: string;
	readonly status: "True" | "False";
	readonly reason: string;
	readonly message: string;
	readonly observedGeneration?: number;
}

export interface ListenerStatus {
	readonly name: string;
	readonly attachedRoutes: number;
	readonly supportedKinds: readonly RouteGroupKind[];
	readonly conditions: readonly Condition[];
}

/** Of a ListenerSet. */
export interface ListenerSetStatus {
	readonly conditions: readonly Condition[];
	readonly listeners: readonly ListenerStatus[];
}

export interface GatewayStatus {
	/** Older CRDs do not know it: only where there are any. */
	readonly attachedListenerSets?: number;
	readonly addresses: readonly { readonly type: "IPAddress" | "Hostname"; readonly value: string }[];
	readonly conditions: readonly Condition[];
	readonly listeners: readonly ListenerStatus[];
}

export interface RouteParentStatus {
	readonly parentRef: ParentReference;
	readonly controllerName: string;
	readonly conditions: readonly Condition[];
}

export interface PolicyAncestorStatus {
	readonly ancestorRef: ParentReference;
	readonly controllerName: string;
	readonly conditions: readonly Condition[];
}

export type RouteKind = "HTTPRoute" | "GRPCRoute" | "TLSRoute" | "TCPRoute";
export type RouteObject = ConfigObject<"HTTPRoute"> | ConfigObject<"GRPCRoute"> | ConfigObject<"TLSRoute"> | ConfigObject<"TCPRoute">;

/** By `namespace/name`; only objects that this mesh is responsible for are there. */
export interface GatewayApiStatus {
	readonly classes: ReadonlyMap<string, readonly Condition[]>;
	readonly gateways: ReadonlyMap<string, GatewayStatus>;
	readonly listenerSets: ReadonlyMap<string, ListenerSetStatus>;
	/** By `kind/namespace/name`. */
	readonly routes: ReadonlyMap<string, readonly RouteParentStatus[]>;
	readonly backendTlsPolicies: ReadonlyMap<string, readonly PolicyAncestorStatus[]>;
}

/** Why something is not as its author wants it; `reason` is one of the Gateway API's. */
export interface Problem {
	readonly reason: string;
	readonly message: string;
}

/** A condition that holds unless there is a problem with it. */
export function condition(type: string, problem: Problem | undefined, fine: Problem, generation: number | undefined): Condition {
	return {
		type,
		status: problem ? "False" : "True",
		...(problem ?? fine),
		...(generation !== undefined && { observedGeneration: generation }),
	};
}
