import type { ProxyNode } from "../model/proxy-node.ts";
import type { EndpointIndex, PushSnapshot, Scope, VirtualService } from "../model/push.ts";
import type { Service } from "../model/service.ts";
import { onceEach } from "../model/once-each.ts";
import { keepsSessions } from "../model/session-persistence.ts";
import type { ServiceEndpoints } from "../model/endpoint-index.ts";
import { endpointTraits } from "./clusters/identities.ts";
import type { ProxyContext, Resources } from "./context.ts";
import { changedServices } from "./endpoints/assignments.ts";
import { identityOf } from "./memo.ts";

/** What was built for a proxy. */
export interface KeptParts {
	clusters?: Resources;
	listeners?: Resources;
}

interface Kept {
	readonly parts: KeptParts;
	/** Of the proxy's own workload, as `placesOf` has it. */
	readonly place: string;
	readonly scope: readonly unknown[];
	readonly inputs: readonly unknown[];
	endpoints: EndpointIndex;
}

const keptOf = new WeakMap<ProxyNode, Kept>();

/**
 * What a proxy was given last, as long as nothing that it is made of changes, and nothing from then on: most pushes are about endpoints
 * somewhere else, and must not cost a look at every service for every proxy.
 */
export function keptParts({ push, scope, node }: ProxyContext): KeptParts {
	// A gateway reads the pods behind its own Service, a local proxy the addresses of its Services: they are few, and always built.
	if (node.kind !== "sidecar" || node.local !== undefined) return {};
	const inputs = inputsOf(push);
	const seen = scopeParts(push, scope);
	const last = keptOf.get(node);
	if (last?.scope === seen && last.inputs === inputs && (last.endpoints === push.endpoints || !touches(push, last, node))) {
		last.endpoints = push.endpoints;
		return last.parts;
	}
	const parts = {};
	keptOf.set(node, { parts, place: `${node.namespace}/${node.name}`, scope: seen, inputs, endpoints: push.endpoints });
	return parts;
}

/** What clusters and listeners read of a scope: of HTTP routes only whether any keeps sessions, all else is in route tables. The same list while none of it changes. */
function scopeParts(push: PushSnapshot, scope: Scope): readonly unknown[] {
	let parts = partsOfScope.get(scope);
	if (!parts) {
		const { key, sidecar, services, serviceByHost, destinationRule, egress } = scope;
		const listeners = egress.flatMap((listener) => [listener.services, keepsSessions(listener.virtualServices), ...layer4Of(listener.virtualServices)]);
		const all = [sidecar, services, serviceByHost, destinationRule, ...listeners];
		parts = push.caches.lists.get(`kept scope ${key}`, all, () => all);
		partsOfScope.set(scope, parts);
	}
	return parts;
}

const partsOfScope = new WeakMap<Scope, readonly unknown[]>();

/** VirtualServices that shape listeners by themselves. */
const layer4Of = onceEach((virtualServices: readonly VirtualService[]) => virtualServices.filter(({ spec }) => spec.tls?.length || spec.tcp?.length));

const headlessOf = onceEach((services: readonly Service[]) => services.filter(({ headless }) => headless));

/**
 * What clusters and listeners are not made of, which may differ in every push; and what they read only a part of, which `stableInputs` picks.
 */
const unread: ReadonlySet<string> = new Set<keyof PushSnapshot>([
	...(["version", "config", "caches", "workloads", "servicesByHost", "gatewayStatus", "heldVirtualServices"] as const),
	...(["endpoints", "virtualServices"] as const),
]);

/** Everything else of a snapshot; of endpoints, what clusters and listeners read of them. The same list while none of it changes. */
function inputsOf(push: PushSnapshot): readonly unknown[] {
	let inputs = inputsOfPush.get(push);
	if (!inputs) {
		inputs = stableInputs(push);
		inputsOfPush.set(push, inputs);
	}
	return inputs;
}

const inputsOfPush = new WeakMap<PushSnapshot, readonly unknown[]>();

function stableInputs(push: PushSnapshot): readonly unknown[] {
	const parts = Object.entries(push).flatMap(([name, part]) => (unread.has(name) ? [] : [part]));
	const headless = headlessOf(push.services).map((service) => push.endpoints.of(service));
	const all = [...parts, ...layer4Of(push.virtualServices), endpointTraits(push), ...headless];
	return push.caches.lists.get("kept inputs", all, () => all);
}

/** Is or was the proxy's workload itself one of the endpoints that changed? */
function touches(push: PushSnapshot, { endpoints: before, place }: Kept, { ips }: ProxyNode): boolean {
	let last = touched.get(push.endpoints);
	if (last?.before !== identityOf(before)) {
		last = { before: identityOf(before), places: placesOf(push, before) };
		touched.set(push.endpoints, last);
	}
	const { places } = last;
	return places.has(place) || ips.some((ip) => places.has(ip));
}

/** Almost every proxy was given the index before this one last. By number: a chain of indexes would hold all that ever were. */
const touched = new WeakMap<EndpointIndex, { readonly before: number; readonly places: ReadonlySet<string> }>();

function placesOf(push: PushSnapshot, before: EndpointIndex): ReadonlySet<string> {
	const places = new Set<string>();
	const add = (endpoints: ServiceEndpoints) => {
		for (const { podName, namespace, address } of [...endpoints.values()].flat()) places.add(podName === "" ? address : `${namespace}/${podName}`);
	};
	for (const service of changedServices(push, before)) {
		add(before.of(service));
		add(push.endpoints.of(service));
	}
	return places;
}
