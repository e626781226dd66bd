import type { ParentReference } from "@weft/api";
import { compareText } from "../age.ts";
import { hostCovers, hostsOverlap, isWildcard } from "../hosts.ts";
import { gatewayGroup, type GroupKind, isKind, kindOf, kinds, type RouteContext, type RouteParent } from "./context.ts";
import type { Problem, RouteKind, RouteObject } from "./status.ts";

/** One parent that a route names, once a listener where the reference leaves the listener open. */
export interface BoundParent {
	readonly ref: ParentReference;
	/** Gateway, Service or ServiceEntry. */
	readonly kind: GroupKind;
	readonly namespace: string;
	readonly parent: RouteParent;
	/** Why the route may not bind; undefined: it is bound. */
	readonly denied: Problem | undefined;
	/** Hostnames of the other listeners on the same port, which take what they match more closely. */
	readonly otherHostnames: readonly string[];
}

const meshParent: RouteParent = {
	internalName: "mesh",
	allowedKinds: ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"],
	hosts: [],
	hostname: "",
	section: "",
	port: 0,
	protocol: "",
};

export const isMesh = ({ parent }: BoundParent): boolean => parent === meshParent;

/** All parents that this mesh knows of those that a route names, in the order of their references' text. */
export function resolveParents(route: RouteObject, hostnames: readonly string[], context: RouteContext): readonly BoundParent[] {
	const { namespace: own } = route.metadata;
	const bound = (route.spec.parentRefs ?? []).flatMap((ref): BoundParent[] => {
		const kind = kindOf(ref, kinds.gateway);
		const namespace = ref.namespace ?? own;
		const common = { ref, kind, namespace };
		if (isKind(kind, kinds.service) || isKind(kind, kinds.serviceEntry)) {
			return [{ ...common, parent: meshParent, denied: missingHost(ref, kind, namespace, context), otherHostnames: [] }];
		}
		const isSet = isKind(kind, kinds.listenerSet);
		if (!isSet && !isKind(kind, kinds.gateway)) return [];
		const listeners = ((isSet ? context.setListeners : context.listeners).get(`${namespace}/${ref.name}`) ?? []).map(({ parent }) => parent);
		return listeners.map((parent) => ({ ...common, parent, denied: denial(route, ref, parent, hostnames), otherHostnames: rivals(parent, listeners) }));
	});
	return bound.sort((a, b) => compareText(referenceText(a.ref), referenceText(b.ref)));
}

function referenceText({ group, kind, name, sectionName, port, namespace }: ParentReference): string {
	return `${group ?? gatewayGroup}/${kind ?? "Gateway"}/${name}/${sectionName ?? ""}/${port ?? 0}.${namespace ?? ""}`;
}

/** References with equal text are one to the status. */
export const referenceKey = (ref: ParentReference, own: string): string => referenceText({ ...ref, namespace: ref.namespace ?? own });

function missingHost({ name }: ParentReference, kind: GroupKind, namespace: string, context: RouteContext): Problem | undefined {
	if (isKind(kind, kinds.service)) {
		return context.hasService(namespace, name) ? undefined : { reason: "NoMatchingParent", message: `parent service: ${JSON.stringify(name)} not found` };
	}
	if (context.serviceEntry(namespace, name)) return undefined;
	return { reason: "NoMatchingParent", message: `parent service entry: ${JSON.stringify(name)} not found` };
}

function rivals(own: RouteParent, all: readonly RouteParent[]): readonly string[] {
	return all
		.filter((other) => other !== own && other.port === own.port && other.protocol === own.protocol && other.hostname !== own.hostname)
		.map(({ hostname }) => hostname);
}

function denial(route: RouteObject, ref: ParentReference, parent: RouteParent, hostnames: readonly string[]): Problem | undefined {
	if (ref.port !== undefined && ref.port !== 0 && ref.port !== parent.port) return { reason: "NoMatchingParent", message: `port ${ref.port} not found` };
	if (ref.sectionName && ref.sectionName !== parent.section)
		return { reason: "NoMatchingParent", message: `sectionName ${JSON.stringify(ref.sectionName)} not found` };
	const { namespace } = route.metadata;
	const listenerHosts = parent.hosts.map((text) => ({ namespace: text.slice(0, text.indexOf("/")), host: text.slice(text.indexOf("/") + 1) }));
	const matching = listenerHosts.filter(({ host }) => (hostnames.length > 0 ? hostnames : ["*"]).some((hostname) => hostsOverlap(host, hostname)));
	if (matching.length === 0)
		return { reason: "NoMatchingListenerHostname", message: `no hostnames matched parent hostname ${JSON.stringify(parent.hostname)}` };
	if (!matching.some((allowed) => allowed.namespace === "*" || allowed.namespace === namespace)) {
		const message = `hostnames matched parent hostname ${JSON.stringify(parent.hostname)}, but namespace ${JSON.stringify(namespace)} is not allowed by the parent`;
		return { reason: "NotAllowedByListeners", message };
	}
	const kind: RouteKind = route.kind;
	if (!parent.allowedKinds.includes(kind)) return { reason: "NotAllowedByListeners", message: `kind ${gatewayGroup}/${kind} is not allowed` };
	return undefined;
}

/** A host that another listener of the port matches more closely belongs to that one alone. */
export function isIsolated({ parent, otherHostnames }: BoundParent, host: string): boolean {
	const own = parent.hostname;
	if (own !== "" && !isWildcard(own)) return true;
	if (own !== "" && !hostsOverlap(host, own)) return false;
	return !otherHostnames.some((other) => other !== "" && own.length <= other.length && hostCovers(other, host));
}
