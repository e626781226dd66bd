import type { AnyConfig } from "@weft/api";
import type { PushSnapshot } from "./push.ts";

/** The `status` that the control plane has to write into an object, as the Kubernetes API has it; undefined where it has nothing to say. */
export function computedStatus({ gatewayStatus, servicesByHost }: PushSnapshot, object: AnyConfig): object | undefined {
	const { namespace, name } = object.metadata;
	switch (object.kind) {
		case "GatewayClass": {
			const conditions = gatewayStatus.classes.get(name);
			return conditions && { conditions };
		}
		case "KubernetesGateway":
			return gatewayStatus.gateways.get(`${namespace}/${name}`);
		case "ListenerSet":
			return gatewayStatus.listenerSets.get(`${namespace}/${name}`);
		case "HTTPRoute":
		case "GRPCRoute":
		case "TLSRoute":
		case "TCPRoute": {
			const parents = gatewayStatus.routes.get(`${object.kind}/${namespace}/${name}`);
			return parents && { parents };
		}
		case "BackendTLSPolicy": {
			const ancestors = gatewayStatus.backendTlsPolicies.get(`${namespace}/${name}`);
			return ancestors && { ancestors };
		}
		case "ServiceEntry": {
			// https://istio.io/latest/docs/ops/configuration/traffic-management/dns-proxy/#address-auto-allocation
			const addresses = object.spec.hosts.flatMap((host) => {
				const value = servicesByHost.get(host)?.find((service) => service.namespace === namespace && service.registry === "External")?.autoAddress;
				return value === undefined ? [] : [{ host, value }];
			});
			return addresses.length > 0 ? { addresses } : undefined;
		}
		default:
			return undefined;
	}
}
