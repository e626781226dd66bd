import type { ConfigObject, Endpoint as SliceEndpoint } from "@weft/api";
import { networkLabel } from "./networks.ts";
import type { Workload, WorkloadIndex } from "./push.ts";
import { type Endpoint, sendsDraining, type Service } from "./service.ts";
import { localityOfLabels, noLocality } from "./workloads.ts";

/** The label by which a slice names its Service. https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/ */
export const serviceNameLabel = "kubernetes.io/service-name";
const tlsModeLabel = "security.istio.io/tlsMode";

/** One address of a slice or of an Endpoints object, before its ports. */
interface Target {
	readonly address: string;
	readonly ready: boolean;
	readonly serving: boolean;
	readonly terminating: boolean;
	readonly podName: string | undefined;
}

type Slice = ConfigObject<"EndpointSlice">;

function slicePodName(endpoint: SliceEndpoint): string | undefined {
	return endpoint.targetRef?.kind === "Pod" ? endpoint.targetRef.name : undefined;
}

/** Every pod behind the slices, undefined where there is none (yet): what their endpoints are derived from besides the slices. */
export function podsBehind(slices: readonly Slice[], workloads: WorkloadIndex): readonly (Workload | undefined)[] {
	return slices.flatMap(({ metadata, spec }) =>
		(spec.endpoints ?? []).flatMap((endpoint) => {
			const name = slicePodName(endpoint);
			if (name !== undefined) return [workloads.podByName.get(`${metadata.namespace}/${name}`)];
			return endpoint.addresses.map((address) => workloads.podByIp.get(address));
		}),
	);
}

export interface EndpointSink {
	add(endpoint: Endpoint): void;
}

export function addSliceEndpoints(service: Service, slices: readonly Slice[], workloads: WorkloadIndex, sink: EndpointSink): void {
	const seen = new Set<string>();
	for (const slice of slices) {
		if (slice.spec.addressType === "FQDN") continue;
		for (const endpoint of slice.spec.endpoints ?? []) {
			const conditions = endpoint.conditions ?? {};
			for (const address of endpoint.addresses) {
				const target: Target = {
					address,
					ready: conditions.ready !== false,
					serving: conditions.serving !== false,
					terminating: conditions.terminating !== false,
					podName: slicePodName(endpoint),
				};
				addTarget(service, target, slice.spec.ports ?? [], workloads, seen, sink);
			}
		}
	}
}

export function addEndpointsObject(service: Service, object: ConfigObject<"Endpoints">, workloads: WorkloadIndex, sink: EndpointSink): void {
	const seen = new Set<string>();
	for (const subset of object.spec.subsets ?? []) {
		const sides = [
			{ ready: true, addresses: subset.addresses ?? [] },
			{ ready: false, addresses: subset.notReadyAddresses ?? [] },
		];
		for (const { ready, addresses } of sides) {
			for (const { ip, targetRef } of addresses) {
				const podName = targetRef?.kind === "Pod" ? targetRef.name : undefined;
				addTarget(service, { address: ip, ready, serving: ready, terminating: false, podName }, subset.ports ?? [], workloads, seen, sink);
			}
		}
	}
}

interface TargetPort {
	readonly name?: string | undefined;
	readonly port?: number | undefined;
}

function addTarget(service: Service, target: Target, ports: readonly TargetPort[], workloads: WorkloadIndex, seen: Set<string>, sink: EndpointSink): void {
	const pod = target.podName === undefined ? workloads.podByIp.get(target.address) : workloads.podByName.get(`${service.namespace}/${target.podName}`);
	// A slice may be ahead of its pod: without the pod's labels nothing is known of its identity, so it waits (as in istiod).
	if (target.podName !== undefined && !pod) return;
	for (const port of ports) {
		if (port.port === undefined) continue;
		const portName = port.name ?? "";
		// The same address may stand in two slices while one replaces the other.
		const key = `${target.address} ${port.port} ${portName}`;
		if (seen.has(key)) continue;
		seen.add(key);
		sink.add(kubernetesEndpoint(service, target, pod, portName, port.port, workloads));
	}
}

function kubernetesEndpoint(service: Service, target: Target, pod: Workload | undefined, portName: string, port: number, workloads: WorkloadIndex): Endpoint {
	return {
		// Where it is the pod says itself; of an address that is no pod's nothing more is known, even where its node is.
		...podEndpoint(pod, workloads),
		namespace: pod?.namespace ?? "",
		address: target.address,
		port,
		portName,
		health: healthOf(service, target),
	};
}

function healthOf(service: Service, { ready, serving, terminating }: Target): Endpoint["health"] {
	if (ready) return "HEALTHY";
	if (!terminating) return "UNHEALTHY";
	return serving && sendsDraining(service) ? "DRAINING" : "TERMINATING";
}

/** What a pod says of any endpoint at it; also for a pod that a ServiceEntry selects. */
export function podEndpoint(pod: Workload | undefined, workloads: WorkloadIndex): Omit<Endpoint, "namespace" | "address" | "port" | "portName" | "health"> {
	const labels = pod?.labels ?? {};
	const nodeName = pod?.nodeName ?? "";
	return {
		labels,
		workloadName: pod?.workloadName ?? "",
		podName: pod?.name ?? "",
		nodeName,
		serviceAccount: pod?.serviceAccount ?? "",
		locality: localityOfLabels(labels) ?? workloads.localityOfNode(nodeName) ?? noLocality,
		network: labels[networkLabel] ?? "",
		weight: 0,
		tlsMode: labels[tlsModeLabel] === "istio" ? "istio" : "disabled",
		registry: "Kubernetes",
	};
}
