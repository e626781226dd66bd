import type { HTTPRoute } from "@weft/api";
import type { VirtualService } from "./push.ts";

/** How a client that was served by a host comes back to it. https://gateway-api.sigs.k8s.io/geps/gep-1619/ */
export interface SessionPersistence {
	readonly type: "cookie" | "header";
	/** Of the cookie or header. */
	readonly name: string;
	/** Of the cookie; empty: any. */
	readonly path: string;
	/** A duration; undefined: until the client ends. */
	readonly ttl: string | undefined;
}

/** Istio's routes have no such field: only those that are compiled from the Gateway API's do. */
export interface SessionRoute extends HTTPRoute {
	readonly sessionPersistence?: SessionPersistence;
}

export const sessionOf = (route: HTTPRoute): SessionPersistence | undefined => (route as SessionRoute).sessionPersistence;

const known = new WeakMap<readonly VirtualService[], boolean>();

/** Does some route of the list keep sessions? Remembered by the list. */
export function keepsSessions(virtualServices: readonly VirtualService[]): boolean {
	let found = known.get(virtualServices);
	if (found === undefined) {
		found = virtualServices.some(({ semantics, spec }) => semantics === "gateway" && spec.http?.some((route) => sessionOf(route) !== undefined));
		known.set(virtualServices, found);
	}
	return found;
}
