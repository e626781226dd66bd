import type { ConnectionPoolSettings } from "@weft/api";
import { Cluster, Cluster_DiscoveryType, Cluster_LbPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { LocalBinding, ProxyNode } from "../../model/proxy-node.ts";
import type { DestinationRule, InboundPort, Mesh } from "../../model/push.ts";
import { inboundClusterName } from "../routes/cluster-name.ts";
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
	readonly proxyIp: string;
	readonly sourceFamily: SourceFamily;
	readonly local: LocalBinding | undefined;
}

/** `inbound|<port>||`: from the sidecar to its application. */
export function buildInboundCluster(input: InboundClusterInput): Cluster {
	const { port, rule, mesh } = input;
	const name = inboundClusterName(port.targetPort);
	const pool = port.ingress?.connectionPool ?? input.sidecarPool ?? effectivePolicy(rule, undefined, port.port.port).connectionPool;
	const connectionOptions = upstreamConnectionOptions(mesh.config.tcpKeepalive, pool?.tcp?.tcpKeepalive);
	const options = protocolOptions({ protocol: port.port.protocol, pool: withoutUpgrade(pool), sniffs: true, meshUpgradesH2: false, autoSni: undefined });
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
		circuitBreakers: circuitBreakers(pool, undefined),
		commonLbConfig: {},
		...target(input, name),
		...(connectionOptions && { upstreamConnectionOptions: connectionOptions }),
		...(options && { typedExtensionProtocolOptions: options }),
		// A port that only a Sidecar names is of no service.
		...(port.targets.length > 0 && {
			metadata: serviceMetadata({ service: port.service, rule, subset: undefined, external: false, alpnOverride: false }),
		}),
	});
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
	const { proxyIp } = input;
	const endpoint = endpointOf(input);
	const address = endpoint === "" ? undefined : addressOf(endpoint, proxyIp);
	if (!address) {
		return {
			type: Cluster_DiscoveryType.ORIGINAL_DST,
			lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED,
			cleanupInterval: cleanupNever,
			upstreamBindConfig: inboundBind(input.sourceFamily),
		};
	}
	const isOwnAddress = /^(0\.0\.0\.0|\[?::\]?):\d+$/.test(endpoint);
	return {
		type: Cluster_DiscoveryType.STATIC,
		// What the sidecar itself sends to the pod's own address would be captured and come back.
		...(isOwnAddress && { upstreamBindConfig: inboundBind(input.sourceFamily) }),
		loadAssignment: { clusterName: name, endpoints: [{ lbEndpoints: [{ endpoint: { address } }] }] },
	};
}

/** `127.0.0.1:8080`, `0.0.0.0:8080` (the pod's own address), `[::1]:8080`, `unix:///path`. */
function addressOf(endpoint: string, proxyIp: string): object | undefined {
	if (endpoint.startsWith("unix://")) return { pipe: { path: endpoint.slice("unix://".length) } };
	const colon = endpoint.lastIndexOf(":");
	const host = endpoint.slice(0, colon).replace(/^\[|\]$/g, "");
	const portValue = Number(endpoint.slice(colon + 1));
	if (colon < 0 || !Number.isInteger(portValue)) return undefined;
	return { socketAddress: { address: host === "0.0.0.0" || host === "::" ? proxyIp : host, portValue } };
}

/** Which inbound clusters a proxy has: none for a gateway, nor where nothing is captured and nothing bound. */
export function hasInbound(node: ProxyNode, ingress: boolean): boolean {
	if (node.kind !== "sidecar") return false;
	return node.interceptionMode !== "NONE" || node.local !== undefined || ingress;
}
