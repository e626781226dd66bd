import type { Subset } from "@weft/api";
import { Cluster, Cluster_DiscoveryType, Cluster_DnsLookupFamily } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import type { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { CaresDnsResolverConfig } from "@weft/xds/generated/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { DestinationRule, Mesh } from "../../model/push.ts";
import type { Service, ServicePort } from "../../model/service.ts";
import { ads } from "../listeners/config-source.ts";
import { outboundClusterName } from "../routes/cluster-name.ts";
import { durationOf, durationOfMs, packed } from "../routes/values.ts";
import { circuitBreakers, outlierDetection, upstreamConnectionOptions } from "./connection-pool.ts";
import type { DiscoveryType } from "./discovery-type.ts";
import { metadataExchange, serviceMetadata } from "./fixed.ts";
import { loadBalancer, localitySetting, weighsLocalities } from "./load-balancer.ts";
import { protocolOptions, speaksHttp2 } from "./protocol-options.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";
import { transportSockets } from "./transport-socket.ts";

export interface OutboundClusterInput {
	readonly service: Service;
	readonly port: ServicePort;
	readonly rule: DestinationRule | undefined;
	readonly subset: Subset | undefined;
	readonly policy: EffectivePolicy;
	readonly discoveryType: DiscoveryType;
	readonly mesh: Mesh;
	readonly kind: ProxyNode["kind"];
	readonly istioExtensions: boolean;
	readonly dnsLookupFamily: keyof typeof Cluster_DnsLookupFamily;
	/** Automatic mutual TLS is possible with this service's endpoints. */
	readonly autoMtls: boolean;
	/** SPIFFE ids of the service's endpoints, sorted. */
	readonly subjectAltNames: readonly string[];
	/** In line, for DNS clusters. */
	readonly assignment: ClusterLoadAssignment | undefined;
}

export function buildOutboundCluster(input: OutboundClusterInput): Cluster {
	const { service, port, rule, subset, policy, discoveryType, mesh, istioExtensions } = input;
	const name = outboundClusterName(port.port, subset?.name ?? "", service.hostname);
	const pool = policy.connectionPool;
	const type = Cluster_DiscoveryType[discoveryType];
	const meshUpgradesH2 = mesh.config.h2UpgradePolicy === "UPGRADE";
	const { tls } = policy;
	const autoSni = tls && (tls.mode === "SIMPLE" || tls.mode === "MUTUAL") && !tls.sni ? { validateSan: (tls.subjectAltNames ?? []).length === 0 && !tls.insecureSkipVerify } : undefined;
	const connectionOptions = upstreamConnectionOptions(mesh.config.tcpKeepalive, pool?.tcp?.tcpKeepalive);
	const options = protocolOptions({ protocol: port.protocol, pool, sniffs: input.kind === "sidecar", meshUpgradesH2, autoSni });
	return Cluster.fromPartial({
		name,
		altStatName: `${name};`,
		type,
		connectTimeout: durationOf(pool?.tcp?.connectTimeout) ?? durationOfMs(mesh.connectTimeoutMs),
		circuitBreakers: circuitBreakers(pool, policy.retryBudget),
		commonLbConfig: commonLbConfig(input),
		...discovery(input, name),
		...loadBalancer(policy.loadBalancer, type),
		...(policy.outlierDetection && { outlierDetection: outlierDetection(policy.outlierDetection) }),
		...(connectionOptions && { upstreamConnectionOptions: connectionOptions }),
		...(options && { typedExtensionProtocolOptions: options }),
		...(istioExtensions && { filters: [metadataExchange] }),
		metadata: serviceMetadata({ service, rule, subset: subset?.name, alpnOverride: tls?.mode === "SIMPLE" || tls?.mode === "MUTUAL", external: service.meshExternal }),
		...transportSockets({
			policyTls: tls,
			proxyProtocol: policy.proxyProtocol,
			autoMtls: input.autoMtls,
			originalDst: discoveryType === "ORIGINAL_DST",
			http2: speaksHttp2({ protocol: port.protocol, pool, meshUpgradesH2 }),
			istioExtensions,
			defaultSni: `outbound_.${port.port}_.${subset?.name || "_"}_.${service.hostname}`.replace("_.__.", "_._."),
			subjectAltNames: input.subjectAltNames,
		}),
	});
}

/** Ejection must never leave a client without hosts unless the user asked for a threshold: panic mode is off (0 %). */
function commonLbConfig({ policy, service, mesh }: OutboundClusterInput): object {
	const locality = localitySetting(policy.loadBalancer?.localityLbSetting, service, mesh.config.localityLbSetting);
	const outlier = policy.outlierDetection;
	return {
		...((outlier || locality?.force) && { healthyPanicThreshold: { value: outlier?.minHealthPercent ?? 0 } }),
		...(weighsLocalities(locality, outlier !== undefined) && { localityWeightedLbConfig: {} }),
	};
}

const dnsJitterMs = 100;
/** A c-ares channel keeps one source port for all its queries; some resolvers throttle that. */
const udpQueriesMax = 100;
const dnsResolver = {
	name: "envoy.network.dns_resolver.cares",
	typedConfig: packed("envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", CaresDnsResolverConfig, { udpMaxQueries: udpQueriesMax }),
};

function discovery({ discoveryType, assignment, mesh, dnsLookupFamily }: OutboundClusterInput, name: string): object {
	switch (discoveryType) {
		case "EDS":
			return { edsClusterConfig: { edsConfig: ads, serviceName: name } };
		case "ORIGINAL_DST":
			return {};
		default:
			return {
				loadAssignment: assignment,
				dnsRefreshRate: durationOfMs(mesh.dnsRefreshRateMs),
				dnsJitter: durationOfMs(dnsJitterMs),
				respectDnsTtl: true,
				dnsLookupFamily: Cluster_DnsLookupFamily[dnsLookupFamily],
				typedDnsResolverConfig: dnsResolver,
			};
	}
}
