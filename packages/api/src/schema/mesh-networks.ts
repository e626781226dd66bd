import { list, map, obj, opt, type StaticOf, text, uint32 } from "./builders.ts";

// https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshNetworks

const networkEndpointsSchema = obj({ fromCidr: opt(text()), fromRegistry: opt(text()) }, { "x-weft-one-of": [["fromCidr", "fromRegistry"]] });

const networkGatewaySchema = obj(
	{ registryServiceName: opt(text()), address: opt(text()), port: uint32(), locality: opt(text()) },
	{ "x-weft-one-of": [["registryServiceName", "address"]] },
);

export const meshNetworksSchema = obj({
	networks: opt(map(obj({ endpoints: opt(list(networkEndpointsSchema)), gateways: opt(list(networkGatewaySchema)) }))),
});

/** Which endpoints are in which network, and behind which gateways. */
export type MeshNetworks = StaticOf<typeof meshNetworksSchema>;
