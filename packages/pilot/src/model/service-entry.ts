import type { ConfigObject, ServiceEntrySpec } from "@weft/api";
import { createdMsOf } from "./age.ts";
import { isWildcard } from "./hosts.ts";
import { declaredProtocol } from "./protocol.ts";
import type { Resolution, Service, ServicePort, TrafficDistribution } from "./service.ts";
import { trafficDistributionOf } from "./traffic-distribution.ts";

const resolutions: Readonly<Record<NonNullable<ServiceEntrySpec["resolution"]>, Resolution>> = {
	NONE: "Passthrough",
	STATIC: "ClientSide",
	DNS: "DNS",
	DNS_ROUND_ROBIN: "DNSRoundRobin",
	DYNAMIC_DNS: "DynamicDNS",
};

/** The services of one ServiceEntry, one a host. `autoAddress` gives each host without an address its automatic one. */
export function serviceEntryServices(
	object: ConfigObject<"ServiceEntry">,
	defaultExportTo: readonly string[],
	autoAddress: (host: string) => string | undefined,
	inherited: TrafficDistribution | undefined,
): readonly Service[] {
	const { metadata, spec } = object;
	const ports = (spec.ports ?? []).map(
		(port): ServicePort => ({
			name: port.name,
			port: port.number,
			protocol: declaredProtocol(port.protocol),
			targetPort: port.targetPort ?? 0,
		}),
	);
	const addresses = (spec.addresses ?? []).filter((address) => address !== "").map(withoutHostMask);
	return spec.hosts.map((hostname) => ({
		hostname,
		name: hostname,
		namespace: metadata.namespace,
		registry: "External",
		ports,
		addresses,
		autoAddress: addresses.length === 0 ? autoAddress(hostname) : undefined,
		headless: false,
		resolution: resolutions[spec.resolution ?? "NONE"],
		meshExternal: (spec.location ?? "MESH_EXTERNAL") === "MESH_EXTERNAL",
		exportTo: spec.exportTo !== undefined && spec.exportTo.length > 0 ? spec.exportTo : defaultExportTo,
		labels: metadata.labels,
		selector: undefined,
		externalName: undefined,
		subjectAltNames: spec.subjectAltNames ?? [],
		publishNotReady: false,
		internalTrafficLocal: false,
		trafficDistribution: trafficDistributionOf(undefined, metadata.annotations, inherited),
		createdMs: createdMsOf(metadata),
	}));
}

/** A range of one address is that address. */
const withoutHostMask = (address: string): string => address.replace(/^([^:]*)\/32$|^(.*:.*)\/128$/, "$1$2");

/** Hosts that get an automatic address: https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/#address-auto-allocation */
export function wantsAutoAddress({ spec, metadata }: ConfigObject<"ServiceEntry">): readonly string[] {
	if ((spec.addresses ?? []).length > 0 || (spec.resolution ?? "NONE") === "NONE") return [];
	if (metadata.labels["networking.istio.io/enable-autoallocate-ip"] === "false") return [];
	return spec.hosts.filter((host) => !isWildcard(host));
}

const poolSize = 65_536 - 2;

/**
 * Addresses of 240.240.0.0/16 by a hash of namespace and host, so that every replica and every run gives a host the same
 * address unless two collide; then the later one (in sorted order) takes the next free place.
 */
export function allotAddresses(entries: readonly ConfigObject<"ServiceEntry">[]): ReadonlyMap<string, string> {
	const wanted = new Set(entries.flatMap((entry) => wantsAutoAddress(entry).map((host) => `${entry.metadata.namespace}/${host}`)));
	const taken = new Set<number>();
	const allotted = new Map<string, string>();
	for (const key of [...wanted].sort()) {
		if (taken.size >= poolSize) break;
		let place = fnv1a(key) % poolSize;
		while (taken.has(place)) place = (place + 1) % poolSize;
		taken.add(place);
		const number = place + 1;
		allotted.set(key, `240.240.${number >> 8}.${number & 255}`);
	}
	return allotted;
}

/** http://www.isthe.com/chongo/tech/comp/fnv/ (32 bits): spreads well and is the same everywhere. */
function fnv1a(text: string): number {
	let hash = 0x811c9dc5;
	for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
	return hash >>> 0;
}
