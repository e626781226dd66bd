import { namespaceMode } from "../../model/peer-authentication.ts";
import type { EndpointIndex, Mesh, PushSnapshot } from "../../model/push.ts";
import type { Endpoint, Service, ServicePort } from "../../model/service.ts";
import { createMemo } from "../memo.ts";
import type { Pieces } from "../pieces.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";

const identities = createMemo<readonly string[]>();

/** SPIFFE ids that may answer for a service: its endpoints' service accounts, and what the entry itself names. Sorted. */
export function subjectAltNamesOf(push: PushSnapshot, service: Service): readonly string[] {
	const endpoints = push.endpoints.of(service);
	return identities.get([endpoints, service, push.mesh], "", () => {
		const domains = [push.mesh.trustDomain, ...(push.mesh.config.trustDomainAliases ?? [])];
		const names = new Set<string>(service.subjectAltNames);
		for (const list of endpoints.values()) {
			for (const { serviceAccount, namespace } of list) {
				if (serviceAccount === "") continue;
				for (const domain of domains) names.add(`spiffe://${domain}/ns/${namespace}/sa/${serviceAccount}`);
			}
		}
		return [...names].sort();
	});
}

/**
 * May clients try mutual TLS on their own? Not towards the outside, not where the namespace's policy disables it, and where no
 * endpoint can be chosen by its mark (ORIGINAL_DST) only if every one of them takes it.
 */
export function autoMtlsOf(push: PushSnapshot, service: Service, port: ServicePort, policy: EffectivePolicy): boolean {
	if (!push.mesh.enableAutoMtls || service.meshExternal) return false;
	if (service.resolution === "Passthrough" || policy.loadBalancer?.simple === "PASSTHROUGH") {
		const endpoints: readonly Endpoint[] = push.endpoints.of(service).get(port.name) ?? [];
		if (endpoints.length === 0 || endpoints.some(({ tlsMode }) => tlsMode !== "istio")) return false;
	}
	return namespaceMode(push.peerAuthentications, service.namespace) !== "DISABLE";
}

/**
 * What clusters (not assignments) read of endpoints: identities, whether all take mutual TLS, and everything where a cluster
 * carries its endpoints. The same list while none of this changes, so that a change of addresses alone leaves CDS be.
 */
export function endpointTraits(push: PushSnapshot): readonly unknown[] {
	const { lists } = push.caches;
	const { endpoints, services, mesh } = push;
	let last = lastTraits.get(lists);
	if (last?.endpoints === endpoints && last.services === services && last.mesh === mesh) return last.traits;
	const traits = (last && patchedTraits(push, last)) ?? services.map((service) => traitOf(push, service));
	last = { endpoints, services, mesh, traits: lists.get("endpoint traits", traits, () => traits) };
	lastTraits.set(lists, last);
	return last.traits;
}

interface Traits {
	readonly endpoints: EndpointIndex;
	readonly services: readonly Service[];
	readonly mesh: Mesh;
	/** One a service. */
	readonly traits: readonly unknown[];
}

/** The last ones, by what outlives snapshots. */
const lastTraits = new WeakMap<object, Traits>();

/** The last ones with those of changed services looked at again; undefined where any can differ. */
function patchedTraits(push: PushSnapshot, { endpoints, services, mesh, traits }: Traits): readonly unknown[] | undefined {
	const changed = services === push.services && mesh === push.mesh ? push.endpoints.changedSince(endpoints) : undefined;
	if (changed === undefined) return undefined;
	const patched = [...traits];
	const places = placesIn(services);
	for (const service of changed) patched[places.get(service) as number] = traitOf(push, service);
	return patched;
}

const knownPlaces = new WeakMap<readonly Service[], ReadonlyMap<Service, number>>();

function placesIn(services: readonly Service[]): ReadonlyMap<Service, number> {
	const known = knownPlaces.get(services) ?? new Map(services.map((service, i) => [service, i]));
	knownPlaces.set(services, known);
	return known;
}

/** Derives the endpoints that this snapshot has other than the one before, and what is read of them: else the first who asks waits for all of that. */
export function* prepareTraits(push: PushSnapshot): Pieces<void> {
	const { endpoints, services } = push;
	if (prepared.has(endpoints)) return;
	prepared.add(endpoints);
	for (const service of endpoints.touched ?? services) {
		yield;
		traitOf(push, service);
	}
}

const prepared = new WeakSet<EndpointIndex>();

const traits = createMemo<string>();

function traitOf(push: PushSnapshot, service: Service): unknown {
	const endpoints = push.endpoints.of(service);
	if (service.resolution !== "ClientSide") return endpoints;
	return traits.get([endpoints, service, push.mesh], "", () => {
		const ports = [...endpoints].map(([port, list]) => `${port}:${list.every(({ tlsMode }) => tlsMode === "istio")}`);
		return JSON.stringify([subjectAltNamesOf(push, service), ports.sort()]);
	});
}
