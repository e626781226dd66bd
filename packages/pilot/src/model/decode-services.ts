import type { ConfigObject } from "@weft/api";
import { oldestFirst } from "./age.ts";
import { kubernetesService } from "./kubernetes-service.ts";
import type { Mesh } from "./push.ts";
import { createReuse, sameItems } from "./reuse.ts";
import type { Service, TrafficDistribution } from "./service.ts";
import { allotAddresses, serviceEntryServices } from "./service-entry.ts";

type EntryObject = ConfigObject<"ServiceEntry">;

export interface DecodedServices {
	/** Oldest first; the same list while none of them changes. */
	readonly services: readonly Service[];
	/** The ServiceEntry that a service was declared by. */
	readonly entryOf: (service: Service) => EntryObject | undefined;
}

export interface ServiceObjects {
	readonly objects: readonly ConfigObject<"Service">[];
	readonly entries: readonly EntryObject[];
	/** What their namespaces say for all services in them; the same map while none of it changes. */
	readonly distributions: ReadonlyMap<string, TrafficDistribution>;
}

interface Last extends Pick<ServiceObjects, "objects" | "distributions"> {
	readonly mesh: Mesh;
	readonly signatures: readonly string[];
	readonly services: readonly Service[];
	/** Where the entry of a service stands among the entries. */
	readonly places: ReadonlyMap<Service, number>;
}

/**
 * The services of a mesh, and whose they are. An edit of a ServiceEntry's endpoints alone leaves its services what they were,
 * and where nothing else changed, nothing else is looked at.
 */
export function createServiceDecoder(): (inputs: ServiceObjects, mesh: Mesh) => DecodedServices {
	const kept = createReuse<readonly Service[]>();
	const signatures = createSignatures();
	let last: Last | undefined;
	return ({ objects, entries, distributions }, mesh) => {
		const signed = signatures(entries);
		const same = last?.objects === objects && last.mesh === mesh && last.distributions === distributions && sameItems(last.signatures, signed);
		if (last === undefined || !same) {
			const all = decodeEntries(entries, signed, distributions, mesh, kept);
			const exportTo = mesh.config.defaultServiceExportTo;
			const kubernetes = objects.map((object) =>
				kubernetesService(object, mesh.domain, exportTo, mesh.trustDomain, distributions.get(object.metadata.namespace)),
			);
			const services = [...kubernetes, ...all.flat()].sort(oldestFirst);
			const places = new Map(all.flatMap((own, i) => own.map((service) => [service, i] as const)));
			const unchanged = last && sameItems(last.services, services) ? last.services : services;
			last = { objects, distributions, mesh, signatures: signed, services: unchanged, places };
		}
		const { services, places } = last;
		return {
			services,
			entryOf: (service) => {
				const place = places.get(service);
				return place === undefined ? undefined : entries[place];
			},
		};
	};
}

function decodeEntries(
	entries: readonly EntryObject[],
	signatures: readonly string[],
	distributions: ReadonlyMap<string, TrafficDistribution>,
	mesh: Mesh,
	kept: ReturnType<typeof createReuse<readonly Service[]>>,
): readonly (readonly Service[])[] {
	kept.advance();
	const exportTo = mesh.config.defaultServiceExportTo;
	const addresses = allotAddresses(entries);
	return entries.map((entry, i) => {
		const { name, namespace } = entry.metadata;
		const addressOf = (host: string) => addresses.get(`${namespace}/${host}`);
		const inherited = distributions.get(namespace);
		const inputs = [signatures[i], exportTo.join(), inherited, ...entry.spec.hosts.map(addressOf)];
		return kept.get(`${namespace}/${name}`, inputs, () => serviceEntryServices(entry, exportTo, addressOf, inherited));
	});
}

/** What the services of each entry are made of, as text. */
function createSignatures(): (entries: readonly EntryObject[]) => readonly string[] {
	const known = new WeakMap<EntryObject, string>();
	return (entries) =>
		entries.map((entry) => {
			let signature = known.get(entry);
			if (signature === undefined) {
				const { endpoints: _, workloadSelector: __, ...spec } = entry.spec;
				const { name, namespace, labels, annotations, creationTimestamp } = entry.metadata;
				signature = JSON.stringify([namespace, name, spec, labels, annotations, creationTimestamp]);
				known.set(entry, signature);
			}
			return signature;
		});
}
