import type { ConnectionPoolSettings } from "@weft/api";
import { Cluster, Cluster_DiscoveryType, Cluster_LbPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { LocalBinding, ProxyNode } from "../../model/proxy-node.ts";
import type { DestinationRule, InboundPort, Mesh } from "../../model/push.ts";
import { isStandIn } from "../../model/inbound-ports.ts";
import { inboundClusterName } from "../routes/cluster-name.ts";
import type { Service } from "../../model/service.ts";
import { durationOf, durationOfMs } from "../routes/values.ts";
import { circuitBreakers, upstreamConnectionOptions } from "./connection-pool.ts";
import { inboundBind, serviceMetadata, type SourceFamily } from "./fixed.ts";
import { protocolOptions } from "./protocol-options.ts";
import { clusterStatName } from "./stat-name.ts";
import { effectivePolicy } from "./traffic-policy.ts";

export interface InboundClusterInput {
	readonly port: InboundPort;
	/** The rule on the workload's own service: its connection pool holds on the server's side as well. */
	readonly rule: DestinationRule | undefined;
	/** `inboundConnectionPool` of the Sidecar. */
	readonly sidecarPool: ConnectionPoolSettings | undefined;
	readonly mesh: Mesh;
	readonly proxyIps: readonly string[];
	readonly sourceFamily: SourceFamily;
	readonly local: LocalBinding | undefined;
}

/** `inbound|<port>||`: from the sidecar to its application. */
export function buildInboundCluster(input: InboundClusterInput): Cluster {
	const { port, rule, mesh } = input;
	const name = inboundClusterName(port.targetPort);
	const policy = effectivePolicy(rule, undefined, port.port.port);
	const pool = port.ingress?.connectionPool ?? input.sidecarPool ?? policy.connectionPool;
	const connectionOptions = upstreamConnectionOptions(mesh.config.tcpKeepalive, pool?.tcp?.tcpKeepalive);
	const options = protocolOptions({ protocol: port.port.protocol, pool: withoutUpgrade(pool), sniffs: true, meshUpgradesH2: false, autoSni: undefined });
	const metadata = serviceMetadata({ services: servedBy(port), rule: rule?.trafficPolicy && rule, subset: undefined, external: false, alpnOverride: false });
	return Cluster.fromPartial({
		name,
		altStatName: clusterStatName({
			pattern: mesh.config.inboundClusterStatName,
			clusterName: name,
			service: port.service,
			port: port.port,
			targetPort: port.targetPort,
			subset: "",
		}),
		connectTimeout: durationOf(pool?.tcp?.connectTimeout) ?? durationOfMs(mesh.connectTimeoutMs),
		circuitBreakers: circuitBreakers(pool, policy.retryBudget),
		commonLbConfig: {},
		...target(input, name),
		...source(input),
		...(connectionOptions && { upstreamConnectionOptions: connectionOptions }),
		...(options && { typedExtensionProtocolOptions: options }),
		...(metadata && { metadata }),
	});
}

/** The services that have the same port on this one of the workload: those that its statistics name. */
function servedBy({ service, port, targets }: InboundPort): readonly Service[] {
	if (isStandIn(service) || service.meshExternal) return [];
	return [...new Set(targets.filter((target) => target.port.port === port.port).map((target) => target.service))];
}

/** An upgrade to HTTP/2 is between sidecars; the application is spoken to as it declared. */
function withoutUpgrade(pool: ConnectionPoolSettings | undefined): ConnectionPoolSettings | undefined {
	return pool?.http ? { ...pool, http: { ...pool.http, h2UpgradePolicy: "DO_NOT_UPGRADE" } } : pool;
}

/** Connections to the original destination are never "unused": the longest time that the proxy takes, so none is cleaned up. */
const cleanupNever = { seconds: 9_223_372_035n, nanos: 0 };

/** Where the application listens: what the local launcher or the Sidecar says, else as the mesh's inboundTrafficPolicy has it. */
function endpointOf({ port, local, mesh }: InboundClusterInput): string {
	const binding = local?.inbound[String(port.targetPort)];
	if (binding) return binding.endpoint;
	if (port.ingress?.defaultEndpoint) return port.ingress.defaultEndpoint;
	return mesh.config.inboundTrafficPolicy.mode === "LOCALHOST" ? `127.0.0.1:${port.targetPort}` : "";
}

function target(input: InboundClusterInput, name: string): object {
	const address = addressOf(endpointOf(input), input);
	if (!address) {
		return { type: Cluster_DiscoveryType.ORIGINAL_DST, lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED, cleanupInterval: cleanupNever };
	}
	return {
		type: Cluster_DiscoveryType.STATIC,
		loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
	};
}

/** What goes to the pod's own address would be captured again, unless it comes from the alias that capture ignores. */
function source(input: InboundClusterInput): object {
	const endpoint = endpointOf(input);
	const isLoopback = /^(127\.0\.0\.1|\[::1\]):/.test(endpoint);
	return isLoopback || input.local !== undefined ? {} : { upstreamBindConfig: inboundBind(input.sourceFamily) };
}

/**
 * `127.0.0.1:8080` or `[::1]:8080` (of the family that the pod has), `0.0.0.0:8080` or `[::]:8080` (the pod's own address),
 * `unix:///path`; undefined for the address that the connection was made to.
 */
function addressOf(endpoint: string, { proxyIps, local }: Pick<InboundClusterInput, "proxyIps" | "local">): object | undefined {
	if (endpoint.startsWith("unix://")) return { pipe: { path: endpoint.slice("unix://".length) } };
	const colon = endpoint.lastIndexOf(":");
	const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, "");
	const portValue = Number(endpoint.slice(colon + 1));
	if (endpoint === "" || colon < 0 || !Number.isInteger(portValue)) return undefined;
	return { socketAddress: { address: local ? host : ownAddress(host, proxyIps), portValue } };
}

function ownAddress(host: string, proxyIps: readonly string[]): string {
	const v4 = proxyIps.find((ip) => !ip.includes(":"));
	const v6 = proxyIps.find((ip) => ip.includes(":"));
	switch (host) {
		case "0.0.0.0":
			return v4 ?? "127.0.0.1";
		case "::":
			return v6 ?? "::1";
		case "127.0.0.1":
			return v4 === undefined && v6 !== undefined ? "::1" : host;
		case "::1":
			return v6 === undefined ? "127.0.0.1" : host;
		default:
			return host;
	}
}

/** Which inbound clusters a proxy has: none for a gateway, nor where nothing is captured and nothing bound. */
export function hasInbound(node: ProxyNode, ingress: boolean): boolean {
	if (node.kind !== "sidecar") return false;
	return node.interceptionMode !== "NONE" || node.local !== undefined || ingress;
}
