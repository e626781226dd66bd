import { isIP } from "node:net";
import type { ClientTLSSettings, Subset } from "@weft/api";
import { HealthStatus } from "@weft/xds/generated/envoy/config/core/v3/health_check.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { type Labels, labelsMatch } from "../../model/labels.ts";
import { networkLabel } from "../../model/networks.ts";
import { mtlsModeOf } from "../../model/peer-authentication.ts";
import type { Mesh, PeerAuthenticationIndex } from "../../model/push.ts";
import { type Endpoint, sendsDraining, type Service } from "../../model/service.ts";
import { localitySetting } from "../clusters/load-balancer.ts";
import type { EffectivePolicy } from "../clusters/traffic-policy.ts";
import { arrangeByLocality, type ClientPlace, groupByLocality, type LocalityGroup, localityLabels, nodeNameLabel, weightOf } from "./locality.ts";
import { gatewaysTo, splitHorizon } from "./split-horizon.ts";

export interface AssignmentInput {
	readonly name: string;
	readonly service: Service;
	readonly endpoints: readonly Endpoint[];
	readonly subset: Subset | undefined;
	readonly policy: EffectivePolicy;
	/** The rule's own word on TLS to these endpoints. */
	readonly tlsMode: ClientTLSSettings["mode"] | undefined;
	readonly policies: PeerAuthenticationIndex;
	readonly mesh: Mesh;
	readonly place: ClientPlace;
	/** The cluster resolves names; else (EDS) Envoy refuses an assignment that holds one. */
	readonly names: boolean;
	/** Connections come in the client's TLS and are passed on as they are: other endpoints could not read them. */
	readonly mutualTlsOnly?: boolean;
}

/** Endpoints of one service port (and subset), as a ClusterLoadAssignment. */
export function buildAssignment(input: AssignmentInput): ClusterLoadAssignment {
	const { name, service, subset, place } = input;
	const usable = input.endpoints.filter(
		(endpoint) =>
			isSent(endpoint, service) &&
			isReachable(endpoint, input) &&
			labelsMatch(subset?.labels, endpoint.labels) &&
			(!service.internalTrafficLocal || endpoint.registry !== "Kubernetes" || endpoint.nodeName === place.nodeName),
	);
	const reachable = groupByLocality(usable).map((group) => asSeenFrom(group, input));
	const groups = arrange(input, input.mutualTlsOnly ? reachable.map((group) => onlyMutualTls(group, input)) : reachable);
	return ClusterLoadAssignment.fromPartial({ clusterName: name, endpoints: groups.map((group) => localityEndpoints(group, input)) });
}

/** Who prefers near endpoints must know of those that are not ready, to tell when it is time for others. */
function isSent(endpoint: Endpoint, service: Service): boolean {
	if (isLabelledDraining(endpoint) && !sendsDraining(service)) return false;
	const { health } = endpoint;
	return health === "HEALTHY" || health === "DRAINING" || (health === "UNHEALTHY" && service.trafficDistribution !== undefined);
}

const drainingLabel = "istio.io/draining";
const isLabelledDraining = ({ labels }: Endpoint): boolean => Boolean(labels[drainingLabel]);

/** A place stays on the list when nothing in it is left, as istiod sends it. */
function onlyMutualTls(group: LocalityGroup, input: AssignmentInput): LocalityGroup {
	const endpoints = group.endpoints.filter((endpoint) => takesMutualTls(endpoint, input));
	return { ...group, endpoints, weight: endpoints.reduce((sum, endpoint) => sum + weightOf(endpoint), 0) };
}

/** An entry with a network but no address stands behind that network's gateway. */
function isReachable(endpoint: Endpoint, { names, mesh, place }: AssignmentInput): boolean {
	const { address } = endpoint;
	if (isIP(address) !== 0 || address.startsWith("unix://") || (names && address !== "")) return true;
	return address === "" && mesh.networks !== undefined && (gatewaysTo(endpoint, clientNetwork(place), mesh.networks) ?? []).length > 0;
}

const clientNetwork = ({ labels }: ClientPlace): string => labels[networkLabel] ?? "";

function asSeenFrom(group: LocalityGroup, input: AssignmentInput): LocalityGroup {
	const { networks } = input.mesh;
	return networks === undefined ? group : splitHorizon(group, clientNetwork(input.place), networks, (endpoint) => takesMutualTls(endpoint, input));
}

function arrange({ policy, service, mesh, place }: AssignmentInput, groups: readonly LocalityGroup[]): readonly LocalityGroup[] {
	const locality = localitySetting(policy.loadBalancer?.localityLbSetting, service, mesh.config.localityLbSetting);
	if (!locality) return groups;
	return arrangeByLocality(groups, locality.setting, place, locality.force || policy.outlierDetection !== undefined);
}

/** The labels of the client's place that the assignment is arranged by; clients that agree in them share one. */
export function placeReads({ policy, service, mesh }: Pick<AssignmentInput, "policy" | "service" | "mesh">): readonly string[] {
	const reads = [...(service.internalTrafficLocal ? [nodeNameLabel] : []), ...(mesh.networks ? [networkLabel] : [])];
	const locality = localitySetting(policy.loadBalancer?.localityLbSetting, service, mesh.config.localityLbSetting);
	if (!locality) return reads;
	const { distribute, failoverPriority } = locality.setting;
	if (distribute && distribute.length > 0) return [...reads, ...localityLabels];
	if (!locality.force && policy.outlierDetection === undefined) return reads;
	if (failoverPriority && failoverPriority.length > 0) return [...reads, ...failoverPriority.filter((entry) => !entry.includes("="))];
	return [...reads, ...localityLabels];
}

/** The client's values of these labels. */
export function placeKey(place: ClientPlace, reads: readonly string[]): string {
	return reads.length === 0 ? "" : JSON.stringify(reads.map((label) => place.labels[label] ?? ""));
}

function localityEndpoints({ locality, endpoints, weight, priority }: LocalityGroup, input: AssignmentInput): object {
	return { locality, priority, ...(weight > 0 && { loadBalancingWeight: weight }), lbEndpoints: endpoints.map((endpoint) => lbEndpoint(endpoint, input)) };
}

function lbEndpoint(endpoint: Endpoint, input: AssignmentInput): object {
	const unix = endpoint.address.startsWith("unix://");
	const address = unix
		? { pipe: { path: endpoint.address.slice("unix://".length) } }
		: { socketAddress: { address: endpoint.address, portValue: endpoint.port } };
	return {
		endpoint: { address },
		...(endpoint.registry === "Kubernetes" && { healthStatus: endpoint.health === "UNHEALTHY" ? HealthStatus.UNHEALTHY : HealthStatus.HEALTHY }),
		// Requests that are under way go on; no new ones are sent there.
		...((endpoint.health === "DRAINING" || isLabelledDraining(endpoint)) && { healthStatus: HealthStatus.DRAINING }),
		loadBalancingWeight: weightOf(endpoint),
		metadata: { filterMetadata: endpointMetadata(endpoint, input) },
	};
}

function endpointMetadata(endpoint: Endpoint, input: AssignmentInput): object {
	return {
		...(takesMutualTls(endpoint, input) && { "envoy.transport_socket_match": { tlsMode: "istio" } }),
		istio: { workload: workloadText(endpoint, input.mesh.clusterId) },
	};
}

/** An explicit TLS mode of the rule decides; without one, the endpoint's sidecar and its PeerAuthentication do. */
function takesMutualTls(endpoint: Endpoint, { tlsMode, policies }: AssignmentInput): boolean {
	if (endpoint.tlsMode !== "istio") return false;
	if (tlsMode) return tlsMode === "ISTIO_MUTUAL";
	return mtlsModeOf(policies, endpoint.namespace, endpoint.labels, endpoint.port) !== "DISABLE";
}

const nameLabels = ["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"];
const revisionLabels = ["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"];

/** `workload;namespace;canonical name;canonical revision;cluster`, read by the metrics filters. */
function workloadText({ workloadName, namespace, labels, clusterId: own }: Endpoint, clusterId: string): string {
	const revision = firstOf(labels, revisionLabels) ?? "";
	// "latest" is what readers assume, so it is left out.
	return [workloadName, namespace, firstOf(labels, nameLabels) ?? workloadName, revision === "latest" ? "" : revision, own ?? clusterId].join(";");
}

function firstOf(labels: Labels, keys: readonly string[]): string | undefined {
	for (const key of keys) if (labels[key]) return labels[key];
	return undefined;
}
