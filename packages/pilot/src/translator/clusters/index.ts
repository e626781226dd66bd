import type { Subset } from "@weft/api";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { labelsMatch } from "../../model/labels.ts";
import { clientFilesOf } from "../../model/mounted-certificates.ts";
import { endpointsOf, inboundPorts } from "../../model/lookup.ts";
import type { ProxyNode } from "../../model/proxy-node.ts";
import type { DestinationRule, Mesh, PushSnapshot, Scope } from "../../model/push.ts";
import { entryEndpoint } from "../../model/entry-endpoints.ts";
import type { Endpoint, Service, ServicePort } from "../../model/service.ts";
import type { EncodedResource, ProxyContext } from "../context.ts";
import { dnsLookupFamily, resolvesUnknownHosts } from "../dynamic-dns.ts";
import { encodeResource, stats } from "../encode.ts";
import { buildAssignment, placeKey, placeReads } from "../endpoints/assignment.ts";
import { placeOf } from "../endpoints/assignments.ts";
import { createMemo, none } from "../memo.ts";
import type { Pieces } from "../pieces.ts";
import { outboundClusterName, sniClusterName } from "../routes/cluster-name.ts";
import { familiesOf } from "../routes/domains.ts";
import { abilitiesOf, discoveryTypeOf } from "./discovery-type.ts";
import {
	buildAllowAnyDynamicDnsCluster,
	buildBlackHoleCluster,
	buildInboundPassthroughCluster,
	buildPassthroughCluster,
	passthroughFamilyOf,
	sourceFamilyOf,
} from "./fixed.ts";
import { autoMtlsOf, endpointTraits, subjectAltNamesOf } from "./identities.ts";
import { buildInboundCluster, hasInbound } from "./inbound.ts";
import { buildOutboundCluster } from "./outbound.ts";
import { effectivePolicy, endpointTlsMode } from "./traffic-policy.ts";

const outbound = createMemo<EncodedResource>();
const inbound = createMemo<EncodedResource>();
const fixed = createMemo<readonly EncodedResource[]>();

function encode(cluster: Cluster): EncodedResource {
	stats.builds.cds++;
	return encodeResource("cds", cluster.name, Cluster, cluster);
}

/** What the outbound half of CDS depends on besides the scope: proxies with equal keys share it. */
export function outboundClustersKey(node: ProxyNode): string {
	return `${JSON.stringify([abilitiesOf(node), clientFilesOf(node)])} ${node.istioExtensions} ${dnsLookupFamily(node)} ${passthroughFamilyOf(node)}`;
}

/** Everything in a snapshot that the outbound clusters of a class are derived from. */
export function outboundClusterInputs(push: PushSnapshot, { services }: Scope): readonly unknown[] {
	return [services, endpointTraits(push), push.destinationRules, push.peerAuthentications, push.mesh];
}

/**
 * Clusters of every port and subset that the scope sees, and the fixed ones. A gateway to other networks (`sni`) has each of the mesh's own
 * a second time, for connections in their clients' TLS. One piece of work a service.
 */
export function* buildOutboundClusters({ push, scope, node }: ProxyContext, sni: boolean): Pieces<readonly EncodedResource[]> {
	const clusters: EncodedResource[] = [...fixedClusters(push.mesh, node)];
	for (const service of scope.services) {
		if (service.resolution === "Alias") continue;
		yield;
		const rule = scope.destinationRule(service.hostname);
		for (const port of service.ports) {
			if (port.protocol === "UDP") continue;
			for (const subset of [undefined, ...(rule?.subsets ?? [])]) {
				for (const bySni of sni && !service.meshExternal ? [false, true] : [false]) {
					const cluster = outboundCluster(push, node, { service, port, rule, subset, sni: bySni });
					if (cluster) clusters.push(cluster);
				}
			}
		}
	}
	return clusters;
}

/** Gateways forward nothing unknown, hence no passthrough. */
function fixedClusters(mesh: Mesh, node: ProxyNode): readonly EncodedResource[] {
	const family = dnsLookupFamily(node);
	const dynamic = resolvesUnknownHosts(node) || (node.dynamicForwardProxy && mesh.outboundTrafficPolicy === "ALLOW_ANY_DYNAMIC_DNS");
	return fixed.get([mesh], `${node.kind} ${node.istioExtensions} ${familiesOf(node)} ${dynamic ? family : ""}`, () => {
		if (node.kind === "router") return [encode(buildBlackHoleCluster(mesh))];
		const inbound = buildInboundPassthroughCluster(mesh, familiesOf(node));
		const all = [buildBlackHoleCluster(mesh), buildPassthroughCluster(mesh, node.istioExtensions), inbound];
		return [...all, ...(dynamic ? [buildAllowAnyDynamicDnsCluster(mesh, family)] : [])].map(encode);
	});
}

/** One port of one service, as a rule and one of its subsets shape it. */
interface Destination {
	readonly service: Service;
	readonly port: ServicePort;
	readonly rule: DestinationRule | undefined;
	readonly subset: Subset | undefined;
	/** Named by SNI, and passing TLS on as it is. */
	readonly sni: boolean;
}

function outboundCluster(push: PushSnapshot, node: ProxyNode, destination: Destination): EncodedResource | undefined {
	const { service, port, rule, subset, sni } = destination;
	const policy = effectivePolicy(rule, subset, port.port);
	const discoveryType = discoveryTypeOf(service, port, policy, abilitiesOf(node));
	if (!discoveryType) return undefined;
	const { mesh, peerAuthentications: policies } = push;
	const isDns = discoveryType === "STRICT_DNS" || discoveryType === "LOGICAL_DNS";
	const endpoints = isDns ? dnsEndpoints(push, service, port) : undefined;
	// A DNS cluster that has nothing to resolve would never become ready.
	if (endpoints?.length === 0) return undefined;
	const subjectAltNames = subjectAltNamesOf(push, service);
	const autoMtls = autoMtlsOf(push, service, port, policy);
	const place = placeOf(node);
	const placed = isDns ? placeKey(place, placeReads({ policy, service, mesh })) : "";
	if (isDns && subset !== undefined && !endpoints?.some(({ labels }) => labelsMatch(subset.labels, labels))) return undefined;
	const key = [outboundClustersKey(node), port.port, subset?.name ?? "", autoMtls, subjectAltNames.join(), placed, sni].join("|");
	return outbound.get([service, rule ?? none, mesh, endpoints ?? none, isDns ? policies : none], key, () => {
		const name = (sni ? sniClusterName : outboundClusterName)(port.port, subset?.name ?? "", service.hostname);
		const tlsMode = endpointTlsMode(rule, subset, port.port);
		const input = { name, service, endpoints: endpoints ?? [], subset, policy, tlsMode, policies, mesh, place };
		const assignment = endpoints && buildAssignment({ ...input, names: true, mutualTlsOnly: sni });
		const { kind, istioExtensions } = node;
		const common = { policy, discoveryType, mesh, kind, istioExtensions, dnsLookupFamily: dnsLookupFamily(node), clientFiles: clientFilesOf(node) };
		return encode(buildOutboundCluster({ ...destination, ...common, name, autoMtls, subjectAltNames, assignment }));
	});
}

const byName = createMemo<readonly Endpoint[]>();
const firsts = createMemo<readonly Endpoint[]>();

const firstOf = (endpoints: readonly Endpoint[]): readonly Endpoint[] =>
	endpoints.length > 1 ? firsts.get([endpoints], "", () => endpoints.slice(0, 1)) : endpoints;

/** What a DNS cluster resolves; an entry that leaves resolution to the application (NONE) is resolved by its own name. */
function dnsEndpoints(push: PushSnapshot, service: Service, port: ServicePort): readonly Endpoint[] {
	// Envoy refuses a LOGICAL_DNS cluster of several names.
	if (service.resolution === "DNSRoundRobin") return firstOf(endpointsOf(push, service, port.name));
	if (service.resolution !== "Passthrough") return endpointsOf(push, service, port.name);
	return byName.get([service], String(port.port), () => [entryEndpoint({ address: service.hostname }, service.name, service.namespace, port)]);
}

/** `inbound|<port>||` of every port that the workload serves. */
export function buildInboundClusters({ push, scope, node }: ProxyContext): readonly EncodedResource[] {
	if (!hasInbound(node, (scope.sidecar?.spec.ingress ?? []).length > 0)) return [];
	const sourceFamily = sourceFamilyOf(node);
	return inboundPorts(push, scope, node).map((port) => {
		const rule = scope.inboundDestinationRule(port.service.hostname);
		const sidecarPool = scope.sidecar?.spec.inboundConnectionPool;
		const binding = JSON.stringify(node.local?.inbound[String(port.targetPort)] ?? null);
		const services = port.targets.map((target) => `${target.service.hostname}:${target.port.port}`).join();
		const key = [
			port.targetPort,
			services,
			port.port.name,
			port.port.protocol,
			port.port.port,
			port.ingress ? node.ips.join() : "",
			sourceFamily,
			binding,
		].join("|");
		return inbound.get([port.service, port.ingress ?? none, rule ?? none, scope.sidecar ?? none, push.mesh], key, () =>
			encode(buildInboundCluster({ port, rule, sidecarPool, mesh: push.mesh, proxyIps: node.ips, sourceFamily, local: node.local })),
		);
	});
}
