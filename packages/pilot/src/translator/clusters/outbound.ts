import type { ClientTLSSettings, Subset } from "@weft/api";
import type { ClientFiles } from "../../model/mounted-certificates.ts";
import { Cluster, Cluster_DiscoveryType, Cluster_DnsLookupFamily, Cluster_LbPolicy } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { HealthStatus } from "@weft/xds/generated/envoy/config/core/v3/health_check.ts";
import type { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { CaresDnsResolverConfig } from "@weft/xds/generated/envoy/extensions/network/dns_resolver/cares/v3/cares_dns_resolver.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { DestinationRule, Mesh } from "../../model/push.ts";
import { keepsSessions, type Service, type ServicePort } from "../../model/service.ts";
import { dynamicForwardProxyCluster } from "../dynamic-dns.ts";
import { ads } from "../listeners/config-source.ts";
import { durationOf, durationOfMs, packed } from "../routes/values.ts";
import { circuitBreakers, failurePercentage, outlierDetection, upstreamConnectionOptions } from "./connection-pool.ts";
import type { DiscoveryType } from "./discovery-type.ts";
import { metadataExchange, serviceMetadata } from "./fixed.ts";
import { loadBalancer, localitySetting, weighsLocalities } from "./load-balancer.ts";
import { type ProtocolOptionsInput, protocolOptions, speaksHttp2 } from "./protocol-options.ts";
import { clusterStatName } from "./stat-name.ts";
import type { EffectivePolicy } from "./traffic-policy.ts";
import { transportSockets } from "./transport-socket.ts";

export interface OutboundClusterInput {
	readonly name: string;
	/** Connections come in their clients' TLS and are passed on as they are. */
	readonly sni: boolean;
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
	/** What the client shows instead of the mesh's certificate. */
	readonly clientFiles: ClientFiles | undefined;
	/** SPIFFE ids of the service's endpoints, sorted. */
	readonly subjectAltNames: readonly string[];
	/** In line, for DNS clusters. */
	readonly assignment: ClusterLoadAssignment | undefined;
}

export function buildOutboundCluster(input: OutboundClusterInput): Cluster {
	const { name, service, port, rule, subset, policy, discoveryType, mesh } = input;
	const pool = policy.connectionPool;
	const dynamic = discoveryType === "DYNAMIC_DNS";
	const type = dynamic ? undefined : Cluster_DiscoveryType[discoveryType];
	const connectionOptions = upstreamConnectionOptions(mesh.config.tcpKeepalive, pool?.tcp?.tcpKeepalive);
	const options = protocolOptions({ ...httpInput(input), autoSni: input.sni ? undefined : autoSniOf(input) });
	const metadata = serviceMetadata({
		// Its hosts are many, and none of them the service.
		services: dynamic ? [] : [service],
		rule,
		subset: subset?.name,
		alpnOverride: originates(policy.tls),
		external: service.meshExternal && subset === undefined,
		loadBalancer: type === undefined || type === Cluster_DiscoveryType.ORIGINAL_DST ? undefined : rule?.ownLoadBalancer,
	});
	return Cluster.fromPartial({
		name,
		altStatName: clusterStatName({
			pattern: mesh.config.outboundClusterStatName,
			clusterName: name,
			service,
			port,
			targetPort: port.targetPort || port.port,
			subset: subset?.name ?? "",
		}),
		...(type === undefined ? {} : { type }),
		connectTimeout: durationOf(pool?.tcp?.connectTimeout) ?? durationOfMs(mesh.connectTimeoutMs),
		circuitBreakers: circuitBreakers(pool, policy.retryBudget),
		...(dynamic ? {} : { commonLbConfig: commonLbConfig(input) }),
		...discovery(input, name),
		...(type === undefined ? { lbPolicy: Cluster_LbPolicy.CLUSTER_PROVIDED } : loadBalancer(rule?.ownLoadBalancer ? undefined : policy.loadBalancer, type)),
		...outliers(input),
		...(connectionOptions && { upstreamConnectionOptions: connectionOptions }),
		...(options && { typedExtensionProtocolOptions: options }),
		...(input.istioExtensions && { filters: [metadataExchange] }),
		...(metadata && { metadata }),
		...(input.sni ? {} : sockets(input)),
	});
}

function outliers({ rule, policy }: OutboundClusterInput): object {
	const rate = rule?.failurePercentage;
	if (rate !== undefined) return { outlierDetection: failurePercentage(rate, policy.outlierDetection) };
	return policy.outlierDetection === undefined ? {} : { outlierDetection: outlierDetection(policy.outlierDetection) };
}

function httpInput({ kind, port, policy, mesh }: OutboundClusterInput) {
	const meshUpgradesH2 = mesh.config.h2UpgradePolicy === "UPGRADE";
	return { protocol: port.protocol, pool: policy.connectionPool, meshUpgradesH2, sniffs: kind === "sidecar" };
}

/** TLS that the mesh does not own. */
const originates = (tls: ClientTLSSettings | undefined): boolean => tls?.mode === "SIMPLE" || tls?.mode === "MUTUAL";

/**
 * Where the mesh's certificate would be shown, a proxy with files of its own shows those, as in Istio to every endpoint, and a rule's
 * certificates give way as well. Servers outside of the mesh have authorities of their own, which the rule knows.
 */
function withClientFiles(input: OutboundClusterInput): ClientTLSSettings | undefined {
	const { clientFiles: files, service } = input;
	const { tls } = input.policy;
	const isMutual = tls === undefined ? input.autoMtls : tls.mode === "MUTUAL" || tls.mode === "ISTIO_MUTUAL";
	if (files === undefined || !isMutual || service.meshExternal) return tls;
	const { subjectAltNames, sni, insecureSkipVerify } = tls ?? { subjectAltNames: input.subjectAltNames, sni: defaultSni(input) };
	const own = { clientCertificate: files.certChain, privateKey: files.key, caCertificates: files.roots };
	return { mode: "MUTUAL", ...own, ...(subjectAltNames && { subjectAltNames }), ...(sni && { sni }), ...(insecureSkipVerify && { insecureSkipVerify }) };
}

const defaultSni = ({ port, subset, service }: OutboundClusterInput): string =>
	`outbound_.${port.port}_.${subset ? `${subset.name}_` : "_"}.${service.hostname}`;

/**
 * A Secret is for sidecars only where a workloadSelector says which of them are to have it: all others would wait for what they must
 * not read. Without one, TLS is left to the application. https://istio.io/latest/docs/reference/config/networking/destination-rule/#ClientTLSSettings
 */
function ownTls(input: OutboundClusterInput): ClientTLSSettings | undefined {
	const { kind, rule } = input;
	const tls = withClientFiles(input);
	const secret = tls?.credentialName && !tls.credentialName.includes("://");
	return secret && originates(tls) && kind === "sidecar" && rule?.workloadSelector === undefined ? { mode: "DISABLE" } : tls;
}

/** Of a ServiceEntry that says who its servers are, a rule need not repeat it. */
function withSubjectAltNames(tls: ClientTLSSettings | undefined, declared: readonly string[]): ClientTLSSettings | undefined {
	return tls && originates(tls) && declared.length > 0 && !tls.subjectAltNames?.length ? { ...tls, subjectAltNames: [...declared] } : tls;
}

function autoSniOf(input: OutboundClusterInput): ProtocolOptionsInput["autoSni"] {
	const tls = ownTls(input);
	if (input.discoveryType === "DYNAMIC_DNS") {
		const mode = tls ? tls.mode : input.autoMtls ? "ISTIO_MUTUAL" : undefined;
		return mode === undefined || mode === "DISABLE" ? undefined : { sni: !tls?.sni, validateSan: !tls?.insecureSkipVerify };
	}
	if (!tls || !originates(tls) || tls.sni) return undefined;
	return { sni: true, validateSan: (tls.subjectAltNames ?? []).length === 0 && !tls.insecureSkipVerify };
}

/** Envoy resolves whatever a request names only where the server has to prove that name, unless told that it need not. */
function provesLess(tls: ClientTLSSettings | undefined): boolean {
	return tls?.insecureSkipVerify === true || (Boolean(tls?.sni) && tls?.mode !== undefined && tls.mode !== "DISABLE");
}

function sockets(input: OutboundClusterInput): object {
	const { policy, service } = input;
	const declared = service.registry === "External" ? input.subjectAltNames : [];
	return transportSockets({
		policyTls: withSubjectAltNames(ownTls(input), declared),
		proxyProtocol: policy.proxyProtocol,
		autoMtls: input.autoMtls,
		originalDst: input.discoveryType === "ORIGINAL_DST",
		http2: speaksHttp2(httpInput(input)),
		tlsDefaults: input.mesh.config.tlsDefaults,
		istioExtensions: input.istioExtensions,
		// One of many hosts: each request says which.
		defaultSni: input.discoveryType === "DYNAMIC_DNS" ? "" : defaultSni(input),
		subjectAltNames: input.subjectAltNames,
	});
}

/** Hosts that a request may be sent back to. */
const sessionStatuses = [HealthStatus.HEALTHY, HealthStatus.DRAINING, HealthStatus.UNKNOWN, HealthStatus.DEGRADED];

/** Ejection must never leave a client without hosts unless the user asked for a threshold: panic mode is off (0 %). */
function commonLbConfig({ policy, rule, subset, service, mesh }: OutboundClusterInput): object {
	const locality = localitySetting(policy.loadBalancer?.localityLbSetting, service, mesh.config.localityLbSetting);
	const outlier = policy.outlierDetection;
	// Who prefers near endpoints is told of those that are not ready, and must not fall back on them.
	const panicAt = service.trafficDistribution ? 0 : (outlier?.minHealthPercent ?? 0);
	return {
		...((outlier || rule?.failurePercentage || service.trafficDistribution) && { healthyPanicThreshold: { value: panicAt } }),
		...(weighsLocalities(locality, outlier !== undefined) && { localityWeightedLbConfig: {} }),
		...(subset === undefined && keepsSessions(service) && { overrideHostStatus: { statuses: sessionStatuses } }),
	};
}

const dnsJitterMs = 100;
/** A c-ares channel keeps one source port for all its queries; some resolvers throttle that. */
const udpQueriesMax = 100;
const dnsResolver = {
	name: "envoy.network.dns_resolver.cares",
	typedConfig: packed("envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig", CaresDnsResolverConfig, { udpMaxQueries: udpQueriesMax }),
};

function discovery(input: OutboundClusterInput, name: string): object {
	const { discoveryType, assignment, dnsLookupFamily, policy, service, port, subset } = input;
	switch (discoveryType) {
		case "DYNAMIC_DNS":
			return dynamicForwardProxyCluster(service.hostname, dnsLookupFamily, provesLess(policy.tls));
		case "EDS":
			return { edsClusterConfig: { edsConfig: ads, serviceName: name } };
		case "ORIGINAL_DST":
			return {
				...(service.registry === "External" && port.targetPort && { originalDstLbConfig: { upstreamPortOverride: Number(port.targetPort) } }),
				// A rule's PASSTHROUGH puts an end to resolving; what says how stays, as istiod has it.
				...(service.resolution.startsWith("DNS") && subset === undefined && dnsSettings(input)),
			};
		default:
			return { loadAssignment: assignment, ...dnsSettings(input) };
	}
}

function dnsSettings({ mesh, dnsLookupFamily }: OutboundClusterInput): object {
	return {
		dnsRefreshRate: durationOfMs(mesh.dnsRefreshRateMs),
		dnsJitter: durationOfMs(dnsJitterMs),
		respectDnsTtl: true,
		dnsLookupFamily: Cluster_DnsLookupFamily[dnsLookupFamily],
		typedDnsResolverConfig: dnsResolver,
	};
}
