import type { BackendRef, Destination } from "@weft/api";
import { isKind, kindOf, kinds, gatewayGroup, type Outcome, type RouteContext } from "./context.ts";
import type { Problem, RouteKind } from "./status.ts";

/** Who sends to a backend. Routes of the mesh need no grant: their destinations are open to every client anyway. */
export interface BackendUser {
	readonly kind: RouteKind;
	readonly namespace: string;
	readonly needsGrant: boolean;
}

/** Requests to it are answered with 500, connections to it are cut: no cluster has its name. */
const nowhere: Destination = { host: "" };

/** With `problem` and a value, the route stays with what it has; without a value the whole route is invalid. */
export function resolveBackend(ref: BackendRef, user: BackendUser, context: RouteContext): Outcome<Destination> {
	const kind = kindOf(ref, kinds.service);
	const namespace = ref.namespace ?? user.namespace;
	if (
		user.needsGrant &&
		namespace !== user.namespace &&
		!context.grants.allows({ group: gatewayGroup, kind: user.kind }, user.namespace, kind, namespace, ref.name)
	) {
		const message = `backendRef ${ref.name}/${namespace} not accessible to a ${user.kind} in namespace ${JSON.stringify(user.namespace)} (missing a ReferenceGrant?)`;
		return { value: nowhere, problem: { reason: "RefNotPermitted", message } };
	}
	if (isKind(kind, kinds.service) || isKind(kind, kinds.serviceImport)) {
		if (ref.name.includes(".")) return invalid("service name invalid; the name of the Service must be used, not the hostname.");
		return destination(`${ref.name}.${namespace}.svc.${context.domain}`, ref, context.hasService(namespace, ref.name));
	}
	if (isKind(kind, kinds.hostname)) {
		if (ref.namespace !== undefined) return invalid("namespace may not be set with Hostname type");
		return destination(ref.name, ref, context.hasHost(ref.name));
	}
	return {
		value: nowhere,
		problem: { reason: "InvalidKind", message: `referencing unsupported backendRef: group ${JSON.stringify(kind.group)} kind ${JSON.stringify(kind.kind)}` },
	};
}

function invalid(message: string): { readonly value: undefined; readonly problem: Problem } {
	return { value: undefined, problem: { reason: "UnsupportedValue", message } };
}

function destination(host: string, { port }: BackendRef, exists: boolean): Outcome<Destination> {
	if (port === undefined) return invalid("port is required in backendRef");
	const value: Destination = { host, port: { number: port } };
	return exists ? { value } : { value, problem: { reason: "BackendNotFound", message: `backend(${host}) not found` } };
}

export function weightSum(refs: readonly BackendRef[]): number {
	return refs.reduce((sum, { weight }) => sum + (weight ?? 1), 0);
}

/** Backends of weight 0 are left out; one alone needs no weight. */
export function weighted<R extends BackendRef>(refs: readonly R[]): readonly { readonly ref: R; readonly weight: number }[] {
	const used = refs.filter(({ weight }) => (weight ?? 1) > 0);
	return used.map((ref) => ({ ref, weight: used.length === 1 ? 0 : (ref.weight ?? 1) }));
}
