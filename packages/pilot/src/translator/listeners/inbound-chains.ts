import type { InboundPort, MtlsMode } from "../../model/push.ts";
import type { Protocol } from "../../model/service.ts";
import { serverSecretsOf } from "../../model/mounted-certificates.ts";
import { mtlsMode } from "../../model/lookup.ts";
import type { ProxyContext } from "../context.ts";
import { createMemo } from "../memo.ts";
import { inboundClusterName, inboundPassthroughCluster } from "../routes/cluster-name.ts";
import { type InboundChainMatch, inboundChainMatches, type ListenerProtocol } from "./inbound-chain-match.ts";
import { isGrpc, isHttp2 } from "../../model/protocol.ts";
import { configMetadata } from "../routes/values.ts";
import { buildInboundConnectionManager } from "./http-connection-manager.ts";
import { buildInboundRoute, type InboundRouteInput } from "./inbound-route.ts";
import { statName } from "../clusters/stat-name.ts";
import type { ListenerInput } from "./listener-input.ts";
import { type AnyNetworkFilter, connectionExtensions, inboundPrefix, tcpFilters } from "./network-filters.ts";
import { mutualTlsSocket } from "./tls-context.ts";
import { workloadKey } from "./tracing.ts";
import { spanNames } from "./tracing-service-name.ts";

/** A filter chain, with what the listener filters must know of it. */
export interface InboundChain {
	readonly match: InboundChainMatch;
	/** Undefined: any port. */
	readonly destinationPort: number | undefined;
	/** The FilterChain message. */
	readonly chain: object;
}

interface ChainSet {
	readonly destinationPort: number | undefined;
	readonly protocol: ListenerProtocol;
	readonly nameOf: (match: InboundChainMatch) => string;
	readonly statPrefix: string;
	readonly route: InboundRouteInput;
	readonly http2?: boolean;
	readonly grpcWeb?: boolean;
	/** What its connections are counted under. */
	readonly tcpStatPrefix: string;
	/** What the port is said to speak. */
	readonly spoken?: Protocol;
	/** For filters that want some ports only; 0: any. */
	readonly port: number;
	readonly metadata?: object | undefined;
}

/** Chains of one served port. `bindName` is the address in names (`0.0.0.0_8080`). */
export function portChains(context: ProxyContext, input: ListenerInput, port: InboundPort, bindName: string, matchPort: boolean): readonly InboundChain[] {
	const cluster = inboundClusterName(port.targetPort);
	return buildChains(context, input, mtlsMode(context.push, context.node, port.targetPort), {
		destinationPort: matchPort ? port.targetPort : undefined,
		protocol: listenerProtocolOf(port.port.protocol),
		nameOf: () => bindName,
		statPrefix: `inbound_${bindName};`,
		route: { name: cluster, cluster, operation: operationOf(context, port), servicePort: port.port.port, grpc: isGrpc(port.port.protocol) },
		http2: isHttp2(port.port.protocol),
		grpcWeb: port.port.protocol === "GRPC-Web",
		tcpStatPrefix: tcpStatName(context, cluster, port),
		spoken: port.port.protocol,
		port: port.targetPort,
		metadata: sidecarMetadata(context, port),
	});
}

const passing = createMemo<readonly InboundChain[]>();

/**
 * Chains for ports that no service of the workload names: passed on as they are. Without a port, for all that have none of their own.
 * They say nothing of the workload's services, so that those with the same policies and tags share them.
 */
export function passthroughChains(context: ProxyContext, input: ListenerInput, port?: number): readonly InboundChain[] {
	const { push, node } = context;
	const { policies } = input.of("inbound");
	const mode = mtlsMode(push, node, port);
	const traced = policies.tracing?.provider === undefined ? "" : spanNames(node);
	const key = JSON.stringify([mode, port ?? 0, node.istioExtensions, traced, workloadKey(node), serverSecretsOf(node)]);
	return passing.get([policies, push.meshConfig, push.mesh], key, () => buildPassthroughChains(context, input, mode, port));
}

function buildPassthroughChains(context: ProxyContext, input: ListenerInput, mode: MtlsMode, port: number | undefined): readonly InboundChain[] {
	return buildChains(context, input, mode, {
		destinationPort: port,
		protocol: "auto",
		nameOf: ({ protocol }) => (protocol === "http" ? "virtualInbound-catchall-http" : "virtualInbound"),
		statPrefix: `${inboundPassthroughCluster};`,
		route: { name: inboundPassthroughCluster, cluster: inboundPassthroughCluster, operation: ":0", servicePort: 0, grpc: false },
		tcpStatPrefix: tcpStatName(context, inboundPassthroughCluster, undefined),
		port: port ?? 0,
	});
}

function tcpStatName({ push }: ProxyContext, clusterName: string, served: InboundPort | undefined): string {
	const { service, port = { port: 0, name: "virtualInbound" } } = served ?? {};
	return statName({ pattern: push.meshConfig.inboundClusterStatName, clusterName, service, port, targetPort: undefined, subset: "" });
}

/** A chain that a Sidecar's `ingress` describes says so. One of the root namespace counts as one of the proxy's own. */
function sidecarMetadata({ scope, node }: ProxyContext, { ingress }: InboundPort): object | undefined {
	const sidecar = ingress === undefined ? undefined : scope.sidecar?.metadata;
	return sidecar && configMetadata(`/apis/networking.istio.io/v1/namespaces/${node.namespace}/sidecar/${sidecar.name}`);
}

function operationOf({ scope, node }: ProxyContext, { service, port, ingress }: InboundPort): string {
	const sidecar = ingress === undefined ? undefined : scope.sidecar?.metadata;
	return `${sidecar ? `${sidecar.name}.${node.namespace}` : service.hostname}:${port.port}`;
}

export function listenerProtocolOf(protocol: Protocol): ListenerProtocol {
	switch (protocol) {
		case "HTTP":
		case "HTTP2":
		case "GRPC":
		case "GRPC-Web":
			return "http";
		case "Auto":
			return "auto";
		default:
			return "tcp";
	}
}

function buildChains(context: ProxyContext, input: ListenerInput, mode: MtlsMode, set: ChainSet): readonly InboundChain[] {
	// Chains of one protocol have the same filters, whatever they match.
	const filters = new Map<InboundChainMatch["protocol"], readonly AnyNetworkFilter[]>();
	return inboundChainMatches(mode, set.protocol).map((match) => {
		const { protocol } = match;
		filters.set(protocol, filters.get(protocol) ?? filtersOf(input, protocol, set));
		return {
			match,
			destinationPort: set.destinationPort,
			chain: {
				name: set.nameOf(match),
				filterChainMatch: {
					...(set.destinationPort === undefined ? {} : { destinationPort: set.destinationPort }),
					transportProtocol: match.transportProtocol,
					...(match.applicationProtocols ? { applicationProtocols: [...match.applicationProtocols] } : {}),
				},
				filters: filters.get(protocol),
				...(set.metadata ? { metadata: set.metadata } : {}),
				...(match.mutualTls
					? { transportSocket: mutualTlsSocket(input.meshConfig, context.push.mesh.trustDomain, protocol, serverSecretsOf(context.node)) }
					: {}),
			},
		};
	});
}

function filtersOf(
	input: ListenerInput,
	protocol: InboundChainMatch["protocol"],
	{ statPrefix, tcpStatPrefix, route, http2 = false, grpcWeb = false, port, spoken }: ChainSet,
): readonly AnyNetworkFilter[] {
	const traffic =
		protocol === "http"
			? [
					...connectionExtensions(input, "inbound", port),
					buildInboundConnectionManager(input, { statPrefix, routeConfig: buildInboundRoute(route), http2, grpcWeb, port }),
				]
			: tcpFilters(input, "inbound", route.cluster, { port, statPrefix: tcpStatPrefix, protocol: spoken });
	return [...inboundPrefix(input), ...traffic];
}
