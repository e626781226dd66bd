import { isIP } from "node:net";
import { NameTable, type NameTable_NameInfo } from "@weft/xds/generated/istio/networking/nds/v1/nds.ts";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot, Scope } from "../model/push.ts";
import { scopeOf } from "../model/scope.ts";
import type { Endpoint, Service } from "../model/service.ts";
import type { Resources } from "./context.ts";
import { encodeResource, stats } from "./encode.ts";
import { addressingOf, serviceAddresses } from "./routes/domains.ts";

// Names that a sidecar answers for by itself: https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/

const none: Resources = new Map();

/** The one table of a sidecar's class; a gateway has no application to answer. Built where some client asks for it. */
export function nameTable(push: PushSnapshot, node: ProxyNode): Resources {
	if (node.kind !== "sidecar") return none;
	const scope = scopeOf(push, node);
	const headless = scope.services.filter((service) => service.headless);
	// Only headless services are known by the addresses of their endpoints.
	const inputs = [scope.services, ...headless.map((service) => push.endpoints.of(service)), ...(headless.length > 0 ? [push.workloads] : [])];
	return push.caches.shared.get(`nds ${node.dnsCapture} ${scope.key}`, inputs, () => {
		stats.builds.nds++;
		const table = NameTable.fromPartial({ table: Object.fromEntries(entriesOf(push, scope, node).sort(([a], [b]) => (a < b ? -1 : 1))) });
		return new Map([["", encodeResource("nds", "", NameTable, table)]]);
	}) as Resources;
}

type Entry = [name: string, info: NameTable_NameInfo];

function entriesOf(push: PushSnapshot, scope: Scope, node: ProxyNode): Entry[] {
	const entries = new Map<string, NameTable_NameInfo>();
	for (const service of scope.services) {
		for (const [name, info] of service.headless ? headlessEntries(push, service) : ownEntry(service, node)) if (!entries.has(name)) entries.set(name, info);
	}
	return [...entries];
}

function ownEntry(service: Service, node: ProxyNode): Entry[] {
	const all = serviceAddresses(service, addressingOf(node));
	// A range says where the service may be, not where it is.
	const ips = all.filter((address) => isIP(address) !== 0);
	return all.length === 0 ? [] : [[service.hostname, infoOf(service, ips)]];
}

/** The search list turns the short name into the others: the sidecar does the same. */
function infoOf(service: Service, ips: readonly string[], shortname = service.name): NameTable_NameInfo {
	const kubernetes = service.registry === "Kubernetes";
	return { ips: [...ips], registry: service.registry, shortname: kubernetes ? shortname : "", namespace: kubernetes ? service.namespace : "", altHosts: [] };
}

/** All pods under the service's name, and each under its own (StatefulSets). */
function headlessEntries({ endpoints, workloads }: PushSnapshot, service: Service): Entry[] {
	const [port] = service.ports;
	if (!port) return [];
	const ready = (endpoints.of(service).get(port.name) ?? []).filter(
		({ address, health }) => isIP(address) !== 0 && (health === "HEALTHY" || service.publishNotReady),
	);
	const pods = ready.flatMap((endpoint): Entry[] => {
		const pod = workloads.podByName.get(podKey(endpoint));
		if (!pod || pod.subdomain === "") return [];
		const shortname = `${pod.hostname}.${pod.subdomain}`;
		return [[`${shortname}${service.hostname.slice(service.hostname.indexOf("."))}`, infoOf(service, [endpoint.address], shortname)]];
	});
	const addresses = [...new Set(ready.map(({ address }) => address))].sort();
	return addresses.length === 0 ? pods : [[service.hostname, infoOf(service, addresses)], ...pods];
}

const podKey = ({ namespace, podName }: Endpoint): string => `${namespace}/${podName}`;
