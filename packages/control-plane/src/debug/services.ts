import type { Endpoint, Service } from "@weft/pilot";
import { type DebugContext, type DebugHandler, jsonReply } from "./context.ts";

// The mesh's services and their endpoints, with the names and numbers of istiod's model.

const resolutions: Readonly<Record<Service["resolution"], number>> = { ClientSide: 0, DNS: 1, Passthrough: 2, DNSRoundRobin: 3, Alias: 4, DynamicDNS: 5 };
const distributions = { PreferSameZone: 1, PreferSameNode: 2 } as const;
const healths: Readonly<Record<Endpoint["health"], number>> = { HEALTHY: 1, UNHEALTHY: 2, DRAINING: 3, TERMINATING: 4 };

const filled = <T extends object>(value: T): T | null => (Object.keys(value).length === 0 ? null : value);

export function serviceJson({ clusterId }: DebugContext, service: Service): object {
	const { addresses } = service;
	const isKubernetes = service.registry === "Kubernetes";
	return {
		Attributes: {
			ServiceRegistry: service.registry,
			Name: service.name,
			Namespace: service.namespace,
			Labels: filled(service.labels),
			ExportTo: filled(Object.fromEntries(service.exportTo.map((namespace) => [namespace, {}]))),
			LabelSelectors: service.selector ?? null,
			ExternalName: service.externalName ?? "",
			NodeLocal: service.internalTrafficLocal,
			TrafficDistribution: service.trafficDistribution === undefined ? 0 : distributions[service.trafficDistribution],
			PublishNotReadyAddresses: service.publishNotReady,
		},
		ports: service.ports.map(({ name, port, protocol }) => ({ name, port, protocol })),
		...(service.subjectAltNames.length > 0 && { serviceAccounts: service.subjectAltNames }),
		creationTime: new Date(service.createdMs).toISOString(),
		hostname: service.hostname,
		clusterVIPs: { Addresses: isKubernetes && addresses.length > 0 ? { [clusterId]: addresses } : null },
		defaultAddress: addresses[0] ?? "0.0.0.0",
		...(service.autoAddress !== undefined && { autoAllocatedIPv4Address: service.autoAddress }),
		Resolution: resolutions[service.resolution],
		MeshExternal: service.meshExternal,
	};
}

/** `/debug/registryz`. */
export const registryz: DebugHandler = (request) =>
	jsonReply(
		request,
		request.context.discovery.push.services.map((service) => serviceJson(request.context, service)),
	);

/** `/debug/endpointShardz`: host → namespace → endpoints by where they were read. */
export const endpointShardz: DebugHandler = (request) => {
	const { discovery, clusterId } = request.context;
	const { push } = discovery;
	const hosts: Record<string, Record<string, object>> = {};
	for (const service of push.services) {
		const endpoints = [...push.endpoints.of(service).values()].flat();
		if (endpoints.length === 0) continue;
		const shards = Map.groupBy(endpoints, (endpoint) => `${endpoint.registry}/${endpoint.clusterId ?? clusterId}`);
		const accounts = endpoints.flatMap(({ serviceAccount, namespace }) =>
			serviceAccount === "" ? [] : [identityOf(push.mesh.trustDomain, namespace, serviceAccount)],
		);
		(hosts[service.hostname] ??= {})[service.namespace] = {
			Shards: Object.fromEntries([...shards].map(([key, all]) => [key, all.map((endpoint) => endpointJson(endpoint, push.mesh.trustDomain, clusterId))])),
			ServiceAccounts: Object.fromEntries(accounts.sort().map((account) => [account, {}])),
		};
	}
	return jsonReply(request, hosts);
};

const identityOf = (trustDomain: string, namespace: string, serviceAccount: string) => `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`;

function endpointJson(endpoint: Endpoint, trustDomain: string, clusterId: string): object {
	const { locality, namespace, serviceAccount } = endpoint;
	const label = locality.text ?? [locality.region, locality.zone, locality.subZone].filter((part) => part !== "").join("/");
	return {
		Labels: endpoint.labels,
		Addresses: [endpoint.address],
		ServicePortName: endpoint.portName,
		ServiceAccount: serviceAccount === "" ? "" : identityOf(trustDomain, namespace, serviceAccount),
		Network: endpoint.network,
		Locality: { Label: label, ClusterID: endpoint.clusterId ?? clusterId },
		EndpointPort: endpoint.port,
		LbWeight: endpoint.weight,
		TLSMode: endpoint.tlsMode,
		Namespace: namespace,
		WorkloadName: endpoint.workloadName,
		HealthStatus: healths[endpoint.health],
		NodeName: endpoint.nodeName,
	};
}
