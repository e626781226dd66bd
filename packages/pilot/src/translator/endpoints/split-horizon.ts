import { type NetworkGateway, networkOfAddress, type Networks } from "../../model/networks.ts";
import type { Endpoint } from "../../model/service.ts";
import { type LocalityGroup, weightOf } from "./locality.ts";

/** Which network an endpoint is in; "" when nobody says: then it counts as reachable. */
export function networkOf({ network, registry, address }: Endpoint, networks: Networks): string {
	return network || (registry === "Kubernetes" ? networks.own || networkOfAddress(address, networks) : "");
}

/** The gateways that stand between the client and an endpoint (none: their addresses are not known yet); undefined: it is reached directly. */
export function gatewaysTo(endpoint: Endpoint, clientNetwork: string, networks: Networks): readonly NetworkGateway[] | undefined {
	const network = networkOf(endpoint, networks);
	if (network === "" || clientNetwork === "" || network === clientNetwork) return undefined;
	return networks.gateways[network];
}

/**
 * The endpoints of one place as a client of one network sees them: those of other networks stand behind their gateways, which get their weight.
 * Gateways find the service by SNI, so only endpoints that take mutual TLS can be had that way.
 */
export function splitHorizon(group: LocalityGroup, clientNetwork: string, networks: Networks, takesMutualTls: (endpoint: Endpoint) => boolean): LocalityGroup {
	const { weightScale } = networks;
	const direct: Endpoint[] = [];
	const shares = new Map<string, { readonly gateway: NetworkGateway; readonly network: string; weight: number }>();
	for (const endpoint of group.endpoints) {
		const gateways = gatewaysTo(endpoint, clientNetwork, networks);
		const weight = weightOf(endpoint) * weightScale;
		if (gateways === undefined) {
			if (endpoint.address !== "") direct.push(weightScale === 1 ? endpoint : { ...endpoint, weight });
			continue;
		}
		if (!takesMutualTls(endpoint)) continue;
		for (const gateway of gateways) {
			const key = `${gateway.address} ${gateway.port}`;
			const share = shares.get(key) ?? { gateway, network: networkOf(endpoint, networks), weight: 0 };
			share.weight += weight / gateways.length;
			shares.set(key, share);
		}
	}
	const remote = [...shares].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, share]) => gatewayEndpoint(share, group));
	const endpoints = [...direct, ...remote];
	return { ...group, endpoints, weight: endpoints.reduce((sum, endpoint) => sum + weightOf(endpoint), 0) };
}

function gatewayEndpoint(
	{ gateway, network, weight }: { readonly gateway: NetworkGateway; readonly network: string; readonly weight: number },
	{ locality }: LocalityGroup,
): Endpoint {
	return {
		address: gateway.address,
		port: gateway.port,
		portName: "",
		labels: {},
		namespace: "",
		workloadName: "",
		podName: "",
		nodeName: "",
		serviceAccount: "",
		locality,
		network,
		weight,
		health: "HEALTHY",
		tlsMode: "istio",
		...(gateway.clusterId !== undefined && { clusterId: gateway.clusterId }),
		registry: "External",
	};
}
