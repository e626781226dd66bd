import { isEmpty, labelsMatch } from "./labels.ts";
import { declaredProtocol } from "./protocol.ts";
import type { ProxyNode } from "./proxy-node.ts";
import type { EndpointIndex, InboundPort, PushSnapshot, Scope, Workload } from "./push.ts";
import type { Endpoint, Service, ServicePort } from "./service.ts";

/** A port of a service that the proxy's workload serves, and the container port behind it. */
interface Target {
	readonly service: Service;
	readonly port: ServicePort;
	readonly targetPort: number;
}

/** What a workload serves: from its Sidecar's `ingress` where there is one, else from the services that select it. */
export function inboundPortsOf(push: PushSnapshot, scope: Scope, node: ProxyNode): readonly InboundPort[] {
	const targets = targetsOf(push, node);
	const ingress = scope.sidecar?.spec.ingress ?? [];
	if (ingress.length > 0) return ingress.map((listener) => ingressPort(listener, targets, scope));
	const byPort = new Map<number, [Target, ...Target[]]>();
	for (const target of targets) {
		const entry = byPort.get(target.targetPort);
		if (entry) entry.push(target);
		else byPort.set(target.targetPort, [target]);
	}
	return [...byPort]
		.sort(([a], [b]) => a - b)
		.map(([targetPort, all]) => {
			const [{ service, port }] = all;
			return { targetPort, service, port, services: [...new Set(all.map((target) => target.service))], targets: all, ingress: undefined };
		});
}

type Ingress = NonNullable<NonNullable<Scope["sidecar"]>["spec"]["ingress"]>[number];

function ingressPort(ingress: Ingress, targets: readonly Target[], scope: Scope): InboundPort {
	const number = ingress.port.number ?? 0;
	const name = ingress.port.name ?? "";
	const found = targets.find((target) => target.targetPort === number);
	const service = found?.service ?? dummyService(scope);
	const port: ServicePort = { name, port: number, targetPort: number, protocol: declaredProtocol(ingress.port.protocol) };
	return { targetPort: number, service, port, services: [service], targets: found ? [{ service, port }] : [], ingress };
}

const dummies = new WeakMap<object, Service>();

const standIns = new WeakSet<Service>();

/** Is it a Sidecar in a service's place? */
export const isStandIn = (service: Service): boolean => standIns.has(service);

/** No service has this port: the Sidecar stands for one, so that the port still has a cluster and statistics. */
function dummyService({ sidecar }: Scope): Service {
	const key = sidecar ?? dummies;
	let service = dummies.get(key);
	if (!service) {
		const { name, namespace } = sidecar?.metadata ?? { name: "", namespace: "" };
		service = {
			hostname: `${name}.${namespace}`,
			name,
			namespace,
			registry: "Kubernetes",
			ports: [],
			addresses: [],
			autoAddress: undefined,
			headless: false,
			resolution: "ClientSide",
			meshExternal: false,
			exportTo: ["."],
			labels: {},
			selector: undefined,
			externalName: undefined,
			subjectAltNames: [],
			publishNotReady: false,
			internalTrafficLocal: false,
			trafficDistribution: undefined,
			createdMs: 0,
		};
		dummies.set(key, service);
		standIns.add(service);
	}
	return service;
}

/** Oldest service first, so that of two on one port the older decides; of one service's ports the one it names first. */
function targetsOf(push: PushSnapshot, node: ProxyNode): readonly Target[] {
	const pod = push.workloads.podByName.get(`${node.namespace}/${node.name}`);
	const selected = pod ? selectedTargets(push, pod) : [];
	const seen = new Set(selected.map(targetKey));
	const byEndpoint = endpointTargets(push, node, pod).filter((target) => !seen.has(targetKey(target)));
	const order = serviceOrder(push);
	return [...selected, ...byEndpoint].sort((a, b) => (order.get(a.service) ?? 0) - (order.get(b.service) ?? 0));
}

const targetKey = ({ service, port, targetPort }: Target): string => `${service.hostname} ${service.namespace} ${port.port} ${targetPort}`;

const orders = new WeakMap<readonly Service[], ReadonlyMap<Service, number>>();

function serviceOrder({ services }: PushSnapshot): ReadonlyMap<Service, number> {
	const order = orders.get(services) ?? new Map(services.map((service, index) => [service, index]));
	orders.set(services, order);
	return order;
}

/** Services whose selector matches the pod, ready or not: a listener must be there before the first request is. */
function selectedTargets(push: PushSnapshot, pod: Workload): readonly Target[] {
	return push.services.flatMap((service) => {
		if (service.namespace !== pod.namespace || isEmpty(service.selector) || !labelsMatch(service.selector, pod.labels)) return [];
		return service.ports.flatMap((port) => {
			const targetPort = typeof port.targetPort === "number" ? port.targetPort || port.port : pod.namedPorts[port.targetPort];
			return targetPort === undefined ? [] : [{ service, port, targetPort }];
		});
	});
}

interface InstanceIndex {
	readonly byPod: ReadonlyMap<string, readonly Target[]>;
	readonly byAddress: ReadonlyMap<string, readonly Target[]>;
}

const instances = new WeakMap<EndpointIndex, InstanceIndex>();

function instanceIndex(push: PushSnapshot): InstanceIndex {
	let index = instances.get(push.endpoints);
	if (!index) {
		index = buildInstanceIndex(push);
		instances.set(push.endpoints, index);
	}
	return index;
}

function buildInstanceIndex(push: PushSnapshot): InstanceIndex {
	const byPod = new Map<string, Target[]>();
	const byAddress = new Map<string, Target[]>();
	const add = (map: Map<string, Target[]>, key: string, target: Target) => {
		const list = map.get(key);
		if (list) list.push(target);
		else map.set(key, [target]);
	};
	for (const service of push.services) {
		const endpoints = push.endpoints.of(service);
		for (const port of service.ports) {
			for (const endpoint of endpoints.get(port.name) ?? []) {
				const target = { service, port, targetPort: endpoint.port };
				if (endpoint.podName === "") add(byAddress, endpoint.address, target);
				else add(byPod, podKey(endpoint), target);
			}
		}
	}
	return { byPod, byAddress };
}

const podKey = ({ namespace, podName }: Endpoint): string => `${namespace}/${podName}`;

/** Endpoints at the proxy: those that name its pod; by address, those that name none. */
function endpointTargets(push: PushSnapshot, node: ProxyNode, pod: Workload | undefined): readonly Target[] {
	const index = instanceIndex(push);
	const named = pod ? (index.byPod.get(`${pod.namespace}/${pod.name}`) ?? []) : [];
	return [...named, ...new Set(node.ips)].flatMap((item) => (typeof item === "string" ? (index.byAddress.get(item) ?? []) : [item]));
}
