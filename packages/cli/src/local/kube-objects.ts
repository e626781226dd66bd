import type { ConfigObject } from "@weft/api";
import { boundPort, type Placement } from "./placement.ts";
import type { DesiredPod } from "./workloads.ts";

/** A pod that was placed, and how far it is. */
export interface RunningPod {
	readonly pod: DesiredPod;
	readonly placement: Placement;
	readonly ready: boolean;
}

/** The Pod object that a kubelet would report. */
export function podObject({ pod, placement, ready }: RunningPod): object {
	return {
		apiVersion: "v1",
		kind: "Pod",
		metadata: {
			name: pod.name,
			namespace: pod.namespace,
			...(pod.generateName === undefined ? {} : { generateName: pod.generateName }),
			labels: { ...pod.labels, "weft.dev/local": "true" },
			annotations: pod.annotations,
		},
		spec: {
			nodeName: "localhost",
			serviceAccountName: pod.serviceAccount,
			containers: pod.containers.map((c) => ({
				name: c.name,
				image: c.image,
				ports: c.ports.map((p) => ({ ...(p.name === "" ? {} : { name: p.name }), containerPort: p.containerPort })),
			})),
		},
		status: {
			phase: "Running",
			podIP: placement.podIp,
			podIPs: [{ ip: placement.podIp }],
			conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
		},
	};
}

function selects(selector: Readonly<Record<string, string>> | undefined, labels: Readonly<Record<string, string>>): boolean {
	const wanted = Object.entries(selector ?? {});
	return wanted.length > 0 && wanted.every(([key, value]) => labels[key] === value);
}

/** The number of the container port that a Service port goes to. */
function containerPortOf(target: number | string | undefined, port: number, pod: DesiredPod): number | undefined {
	if (typeof target !== "string" || /^\d+$/.test(target)) return Number(target ?? port);
	return pod.containers.flatMap((c) => c.ports).find((p) => p.name === target)?.containerPort;
}

/** One EndpointSlice a Service and pod: ports may differ from pod to pod where all share one address. */
export function endpointSlices(services: readonly ConfigObject<"Service">[], pods: readonly RunningPod[]): object[] {
	return services.flatMap((service) =>
		pods
			.filter(({ pod }) => pod.namespace === service.metadata.namespace && selects(service.spec.selector, pod.labels))
			.map((running) => endpointSlice(service, running)),
	);
}

function endpointSlice(service: ConfigObject<"Service">, { pod, placement, ready }: RunningPod): object {
	const ports = (service.spec.ports ?? []).flatMap((p) => {
		const containerPort = containerPortOf(p.targetPort, p.port, pod);
		const port = containerPort === undefined ? undefined : pod.sidecar ? boundPort(placement, containerPort) : appPort(placement, containerPort);
		return port === undefined ? [] : [{ name: p.name ?? "", port, protocol: "TCP" }];
	});
	const address = pod.sidecar ? placement.podIp : "127.0.0.1";
	return {
		apiVersion: "discovery.k8s.io/v1",
		kind: "EndpointSlice",
		metadata: {
			name: `${service.metadata.name}-${pod.name}`,
			namespace: pod.namespace,
			labels: { "kubernetes.io/service-name": service.metadata.name, "weft.dev/local": "true" },
		},
		addressType: "IPv4",
		ports,
		endpoints: [
			{
				addresses: [address],
				conditions: { ready, serving: ready, terminating: false },
				nodeName: "localhost",
				targetRef: { kind: "Pod", name: pod.name, namespace: pod.namespace },
			},
		],
	};
}

/** A pod without sidecar is reached where its application listens. */
function appPort(placement: Placement, containerPort: number): number | undefined {
	const endpoint = placement.inbound[containerPort]?.endpoint;
	return endpoint === undefined ? undefined : Number(endpoint.slice(endpoint.lastIndexOf(":") + 1));
}
