import type { ConfigObject, WorkloadEntrySpec } from "@weft/api";
import { entryAnnotations, entryHealth, entryLabels } from "./entry-registration.ts";
import { isWildcard } from "./hosts.ts";
import type { EndpointSink } from "./kubernetes-endpoints.ts";
import { podEndpoint } from "./kubernetes-endpoints.ts";
import { networkLabel } from "./networks.ts";
import type { Workload, WorkloadIndex } from "./push.ts";
import type { Endpoint, Service, ServicePort } from "./service.ts";
import { entryLocality, localityOfLabels, noLocality, workloadNameLabel } from "./workloads.ts";

const tlsModeLabel = "security.istio.io/tlsMode";

/** Endpoints of one host of a ServiceEntry: inline ones, selected WorkloadEntries and pods, or the host itself under DNS. */
export interface EntryEndpoints {
	readonly entry: ConfigObject<"ServiceEntry">;
	/** The entry's own service for the host. */
	readonly service: Service;
	readonly workloadEntries: readonly ConfigObject<"WorkloadEntry">[];
	readonly pods: readonly Workload[];
}

export function addEntryEndpoints({ entry, service, workloadEntries, pods }: EntryEndpoints, workloads: WorkloadIndex, sink: EndpointSink): void {
	const inline = entry.spec.endpoints ?? [];
	const { name, namespace } = entry.metadata;
	// An entry with several addresses is to istiod as many services, each with all of the endpoints: their weights add up.
	const ports = (entry.spec.addresses?.length ? entry.spec.addresses : [""]).flatMap(() => service.ports);
	for (const port of ports) {
		for (const [index, endpoint] of inline.entries()) sink.add(entryEndpoint(endpoint, `${name}-${index}`, namespace, port));
		for (const selected of workloadEntries) sink.add(workloadEntryEndpoint(selected, port));
		for (const pod of pods) addPod(pod, port, workloads, sink);
		if (inline.length === 0 && entry.spec.workloadSelector === undefined && isDns(service) && !isWildcard(service.hostname)) {
			sink.add(entryEndpoint({ address: service.hostname }, name, namespace, port));
		}
	}
}

const isDns = ({ resolution }: Service): boolean => resolution === "DNS" || resolution === "DNSRoundRobin";

/** A WorkloadEntry behind one port, with what is known of its health. */
export function workloadEntryEndpoint(object: ConfigObject<"WorkloadEntry">, port: ServicePort): Endpoint {
	const { name, namespace, labels, annotations } = object.metadata;
	const workload = annotations[entryAnnotations.group] ?? labels[workloadNameLabel] ?? name;
	return { ...entryEndpoint({ ...object.spec, labels: entryLabels(object) }, workload, namespace, port), health: entryHealth(object) };
}

/** An inline endpoint, or the spec of a WorkloadEntry, behind one port. `ports` of the entry, then targetPort, then the port itself. */
export function entryEndpoint(spec: WorkloadEntrySpec, name: string, namespace: string, port: ServicePort): Endpoint {
	const labels = spec.labels ?? {};
	const target = typeof port.targetPort === "number" && port.targetPort !== 0 ? port.targetPort : port.port;
	const account = spec.serviceAccount ?? "";
	const unix = (spec.address ?? "").startsWith("unix://");
	return {
		address: spec.address ?? "",
		port: unix ? 0 : (spec.ports?.[port.name] ?? target),
		portName: port.name,
		labels,
		namespace,
		workloadName: name,
		podName: "",
		nodeName: "",
		serviceAccount: account,
		locality: spec.locality === undefined || spec.locality === "" ? (localityOfLabels(labels) ?? noLocality) : entryLocality(spec.locality),
		network: spec.network ?? labels[networkLabel] ?? "",
		weight: spec.weight ?? 0,
		health: "HEALTHY",
		// An entry with an identity of its own is taken for one with a sidecar, unless its label says otherwise.
		tlsMode: (labels[tlsModeLabel] ?? (account === "" ? "" : "istio")) === "istio" ? "istio" : "disabled",
		registry: "External",
	};
}

function addPod(pod: Workload, port: ServicePort, workloads: WorkloadIndex, sink: EndpointSink): void {
	const address = pod.ips[0];
	if (address === undefined) return;
	const target = typeof port.targetPort === "number" ? port.targetPort || port.port : pod.namedPorts[port.targetPort];
	if (target === undefined) return;
	sink.add({ ...podEndpoint(pod, workloads), namespace: pod.namespace, address, port: target, portName: port.name, health: "HEALTHY" });
}
