import { exactBalance } from "./connection-balance.ts";
import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import type { InboundPort } from "../../model/push.ts";
import { inboundPorts, mtlsMode } from "../../model/lookup.ts";
import { serverSecretsOf } from "../../model/mounted-certificates.ts";
import { labelsMatch } from "../../model/labels.ts";
import type { ProxyContext } from "../context.ts";
import { createMemo, none } from "../memo.ts";
import { blackHoleCluster } from "../routes/cluster-name.ts";
import { addressOf, alsoIpv6, isDualStack, listenerName, parseSocketAddress, type SocketAddressValue, wildcardIpOf } from "./addresses.ts";
import { type InboundChain, passthroughChains, portChains } from "./inbound-chains.ts";
import { ownPorts } from "./own-ports.ts";
import { detectionTimeout } from "./outbound-draft.ts";
import { httpInspector, httpInspectorExcept, originalDst, originalSrc, tlsInspectorExcept, tlsInspectorFor } from "./listener-filters.ts";
import { type ListenerInput, listenerInput } from "./listener-input.ts";
import { blackHoleFilters, inboundPrefix } from "./network-filters.ts";
import { directionPolicies } from "../policy/workload-policies.ts";
import { workloadKey } from "./tracing.ts";
import { spanNames } from "./tracing-service-name.ts";

const built = createMemo<readonly Listener[]>();
const noPorts: ReadonlySet<number> = new Set();

/** Everything that comes into the workload, built once a workload and kept while nothing that it reads changes. */
export function inboundListeners(context: ProxyContext): readonly Listener[] {
	const { push, scope, node } = context;
	const ports = servedPorts(context);
	const policyPorts = portsOfPolicy(context, ports);
	const workload = push.workloads.podByName.get(`${node.namespace}/${node.name}`) ?? ports[0]?.service ?? none;
	const { name = "", namespace = "" } = scope.sidecar?.metadata ?? {};
	const key = JSON.stringify([
		ports.map(({ service, port, targetPort, ingress }) => [
			service.hostname,
			port.port,
			port.protocol,
			targetPort,
			ingress && [ingress.bind ?? "", ingress.captureMode, name, namespace],
			mtlsMode(push, node, targetPort),
			node.local?.inbound[String(targetPort)]?.bind,
		]),
		mtlsMode(push, node),
		policyPorts.map((port) => [port, mtlsMode(push, node, port)]),
		[node.ip, spanNames(node), wildcardIpOf(node), isDualStack(node), node.interceptionMode, node.local !== undefined, node.istioExtensions, workloadKey(node)],
		serverSecretsOf(node),
	]);
	// Hung on the workload, of which there are many, rather than on what they share.
	const objects = [workload === none ? push.meshConfig : workload, push.meshConfig, push.mesh, directionPolicies(push, node, "inbound")] as const;
	return built.get(objects, key, () => buildInboundListeners(context, ports, policyPorts));
}

/** Each container port once: a Sidecar may list one twice, and Envoy would refuse the whole listener for it. */
function servedPorts(context: ProxyContext): readonly InboundPort[] {
	const { push, scope, node } = context;
	// Nothing is behind the sidecar's own ports but itself: a chain for one would send a connection around for ever.
	const own = node.local === undefined ? ownPorts(context) : noPorts;
	const ports = inboundPorts(push, scope, node).filter(({ targetPort }) => !own.has(targetPort));
	return [...new Map(ports.toReversed().map((port) => [port.targetPort, port])).values()].toReversed();
}

/** Ports that a PeerAuthentication names and no service serves: what it asks of them must hold all the same. */
function portsOfPolicy(context: ProxyContext, served: readonly InboundPort[]): readonly number[] {
	const { push, node } = context;
	const own = ownPorts(context);
	const policies = push.peerAuthentications.workloads.get(node.namespace) ?? [];
	const policy = policies.find(({ selector }) => labelsMatch(selector, node.labels));
	return [...(policy?.ports.keys() ?? [])].filter((port) => !own.has(port) && !served.some(({ targetPort }) => targetPort === port)).sort((a, b) => a - b);
}

/** One listener for all ports where traffic is captured, else one bound listener a port. */
function buildInboundListeners(context: ProxyContext, ports: readonly InboundPort[], policyPorts: readonly number[]): readonly Listener[] {
	const input = listenerInput(context);
	const { interceptionMode, local } = context.node;
	if (local !== undefined) return localListeners(context, input, ports);
	const bound = (port: InboundPort): boolean => interceptionMode === "NONE" || port.ingress?.captureMode === "NONE";
	const sidecarListeners = ports.filter(bound).flatMap((port) => (port.ingress ? [sidecarListener(context, input, port)] : []));
	if (interceptionMode === "NONE") return sidecarListeners;
	const captured = ports.filter((port) => !bound(port));
	return [virtualInbound(context, input, captured, policyPorts), ...sidecarListeners];
}

function virtualInbound(context: ProxyContext, input: ListenerInput, ports: readonly InboundPort[], policyPorts: readonly number[]): Listener {
	const isTproxy = context.node.interceptionMode === "TPROXY";
	const listenPort = context.push.meshConfig.proxyInboundListenPort ?? 15_006;
	const chains = [
		...passthroughChains(context, input),
		...policyPorts.flatMap((port) => passthroughChains(context, input, port)),
		...ports.flatMap((port) => portChains(context, input, port, chainName(context, port), true)),
	];
	return Listener.fromPartial({
		name: "virtualInbound",
		address: addressOf({ ip: wildcardIpOf(context.node), port: listenPort }),
		...alsoIpv6(input.dualStack, { ip: wildcardIpOf(context.node), port: listenPort }),
		filterChains: [blackHoleChain(input, listenPort), ...chains.map(({ chain }) => chain)],
		listenerFilters: [
			originalDst,
			...(isTproxy ? [originalSrc] : []),
			...inspectors(chains, [anyPort, ...ports.map(({ targetPort }) => targetPort), ...policyPorts, listenPort]),
		],
		...detectionTimeout(context.push.meshConfig),
		trafficDirection: TrafficDirection.INBOUND,
		...exactBalance(input.balance.inbound),
		maxConnectionsToAcceptPerSocketEvent: 1,
		accessLog: [...input.of("inbound").policies.accessLogs.listener],
		...(isTproxy ? { transparent: true } : {}),
	});
}

/** Traffic to the listener's own port would loop for ever. */
function blackHoleChain(input: ListenerInput, destinationPort: number): object {
	return {
		name: "virtualInbound-blackhole",
		filterChainMatch: { destinationPort },
		filters: [...inboundPrefix(input), ...blackHoleFilters(input, "inbound", blackHoleCluster)],
	};
}

/** A Sidecar's ingress listener is named after the address it would bind. */
function chainName({ node }: ProxyContext, { ingress, targetPort }: InboundPort): string {
	return listenerName({ ip: ingress === undefined ? wildcardIpOf(node) : ingress.bind || node.ip, port: targetPort });
}

/** Stands for the chains without a port of their own. A range of it matches no connection: what is excluded for it is not excluded at all. */
const anyPort = 0;

/** The inspectors that some chain needs, switched off for the ports of which no chain needs them. */
function inspectors(chains: readonly InboundChain[], ports: readonly number[]): object[] {
	const tls = chains.filter(({ match }) => match.transportProtocol === "tls");
	const http = chains.filter(({ match }) => match.transportProtocol === "raw_buffer" && match.applicationProtocols !== undefined);
	const tlsPorts = new Set(tls.map(({ destinationPort = anyPort }) => destinationPort));
	// Where most ports are in plain text, the inspector is for the others alone.
	const tlsFilter = tlsPorts.has(anyPort) ? tlsInspectorExcept(portsWithout(tls, ports)) : tlsInspectorFor([...tlsPorts]);
	return [...(tls.length > 0 ? [tlsFilter] : []), ...(http.length > 0 ? [httpInspectorExcept(portsWithout(http, ports))] : [])];
}

function portsWithout(chains: readonly InboundChain[], ports: readonly number[]): number[] {
	const needed = new Set(chains.map(({ destinationPort = anyPort }) => destinationPort));
	return ports.filter((port) => !needed.has(port));
}

/** A port that the local launcher has the sidecar bind. */
function localListeners(context: ProxyContext, input: ListenerInput, ports: readonly InboundPort[]): readonly Listener[] {
	return ports.flatMap((port) => {
		const binding = context.node.local?.inbound[String(port.targetPort)];
		const address = binding && parseSocketAddress(binding.bind);
		if (address === undefined) return [];
		const chains = portChains(context, input, port, listenerName(address), false);
		return [boundListener(input, `inbound_${listenerName(address)}`, address, chains, inspectors(chains, []))];
	});
}

/** A port that a Sidecar's `ingress` has bound: nothing is captured there, and the application has the rest. */
function sidecarListener(context: ProxyContext, input: ListenerInput, port: InboundPort): Listener {
	const address = { ip: port.ingress?.bind || context.node.ip, port: port.targetPort };
	const chains = portChains(context, input, port, listenerName(address), true);
	const isTls = chains.some(({ match }) => match.transportProtocol === "tls");
	const isSniffed = chains.some(({ match }) => match.transportProtocol === "raw_buffer" && match.applicationProtocols !== undefined);
	const filters = [...(isTls ? [tlsInspectorFor([port.targetPort])] : []), ...(isSniffed ? [httpInspector] : [])];
	return boundListener(input, listenerName(address), address, chains, filters);
}

function boundListener(
	input: ListenerInput,
	name: string,
	address: SocketAddressValue,
	chains: readonly InboundChain[],
	listenerFilters: readonly object[],
): Listener {
	return Listener.fromPartial({
		name,
		address: addressOf(address),
		filterChains: chains.map(({ chain }) => chain),
		listenerFilters: [...listenerFilters],
		...detectionTimeout(input.meshConfig),
		trafficDirection: TrafficDirection.INBOUND,
		...exactBalance(input.balance.inbound),
		maxConnectionsToAcceptPerSocketEvent: 1,
		accessLog: [...input.of("inbound").policies.accessLogs.listener],
	});
}
