import type { ProxyNode } from "./proxy-node.ts";
import type { DestinationRule, InboundPort, MtlsMode, PushSnapshot, Scope, VirtualService } from "./push.ts";
import type { Endpoint, Service } from "./service.ts";
import { inboundPortsOf } from "./inbound-ports.ts";
import { mtlsModeOf } from "./peer-authentication.ts";

const noEndpoints: readonly Endpoint[] = [];

/** Endpoints of one service port, ready or not; builders filter by health. */
export function endpointsOf(push: PushSnapshot, service: Service, portName: string): readonly Endpoint[] {
	return push.endpoints.of(service).get(portName) ?? noEndpoints;
}

/** The merged rule that holds for `host` in this scope. */
export function destinationRuleFor(scope: Scope, host: string): DestinationRule | undefined {
	return scope.destinationRule(host);
}

/** VirtualServices for `mesh` over all egress listeners, oldest first, each once. */
export function virtualServices(scope: Scope): readonly VirtualService[] {
	if (scope.egress.length === 1) return scope.egress[0]?.virtualServices ?? [];
	return [...new Set(scope.egress.flatMap((listener) => listener.virtualServices))];
}

/** What the proxy's own workload serves, in order of port; from its services, or from its Sidecar's `ingress`. */
export function inboundPorts(push: PushSnapshot, scope: Scope, node: ProxyNode): readonly InboundPort[] {
	return inboundPortsOf(push, scope, node);
}

/** The mTLS mode that PeerAuthentication sets for a workload's container port; without a port, for the workload as a whole. */
export function mtlsMode(push: PushSnapshot, node: ProxyNode, port?: number): MtlsMode {
	return mtlsModeOf(push.peerAuthentications, node.namespace, node.labels, port);
}
