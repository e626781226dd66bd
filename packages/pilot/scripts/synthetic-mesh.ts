import type { AnyConfig, ConfigObject } from "@weft/api";
import type { XdsNode } from "../src/model/node.ts";

/** A mesh of any size: N ServiceEntries in 10 namespaces, 10 endpoints each, a VirtualService and a DestinationRule on each fifth. */
export interface SyntheticMesh {
	readonly objects: readonly AnyConfig[];
	/** The proxy beside endpoint 0 of service `index`. */
	node(index: number): XdsNode;
	/** The VirtualService of service `index` (a multiple of 5) with another timeout. */
	editedVirtualService(index: number, timeoutSeconds: number): AnyConfig;
	/** The ServiceEntry of service `index` with another address in place of its last endpoint. */
	editedServiceEntry(index: number, address: string): AnyConfig;
}

const namespaces = 10;
const endpointsPerService = 10;
const zones = ["r1/z1", "r1/z2", "r2/z3"];

const namespaceOf = (index: number): string => `ns-${index % namespaces}`;
const hostOf = (index: number): string => `svc-${index}.${namespaceOf(index)}.svc.cluster.local`;
const addressOf = (index: number, endpoint: number): string => `10.${100 + (index >> 8)}.${index & 255}.${endpoint + 1}`;

const metadata = (name: string, index: number) => ({ name, namespace: namespaceOf(index), labels: {}, annotations: {} });

function serviceEntry(index: number, lastAddress?: string): ConfigObject<"ServiceEntry"> {
	const endpoints = Array.from({ length: endpointsPerService }, (_, i) => ({
		address: i === endpointsPerService - 1 && lastAddress !== undefined ? lastAddress : addressOf(index, i),
		labels: { version: i % 2 === 0 ? "v1" : "v2", app: `svc-${index}` },
		serviceAccount: `svc-${index}`,
		locality: zones[i % zones.length] as string,
	}));
	return {
		apiVersion: "networking.istio.io/v1",
		kind: "ServiceEntry",
		metadata: metadata(`svc-${index}`, index),
		spec: {
			hosts: [hostOf(index)],
			addresses: [`10.${200 + (index >> 8)}.${index & 255}.1`],
			ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: 8080 }],
			location: "MESH_INTERNAL",
			resolution: "STATIC",
			endpoints,
		},
	};
}

function virtualService(index: number, timeoutSeconds: number): ConfigObject<"VirtualService"> {
	const to = (subset: string, weight?: number) => ({ destination: { host: hostOf(index), subset }, ...(weight !== undefined && { weight }) });
	const common = {
		timeout: `${timeoutSeconds}s`,
		retries: { attempts: 3, perTryTimeout: "2s", retryOn: "5xx" },
		headers: { response: { set: { "x-served-by": "mesh" } } },
	};
	return {
		apiVersion: "networking.istio.io/v1",
		kind: "VirtualService",
		metadata: metadata(`svc-${index}`, index),
		spec: {
			hosts: [hostOf(index)],
			http: [
				{ match: [{ headers: { "x-canary": { exact: "yes" } } }], route: [to("v2")], ...common },
				{ route: [to("v1", 90), to("v2", 10)], ...common },
			],
		},
	};
}

function destinationRule(index: number): ConfigObject<"DestinationRule"> {
	return {
		apiVersion: "networking.istio.io/v1",
		kind: "DestinationRule",
		metadata: metadata(`svc-${index}`, index),
		spec: {
			host: hostOf(index),
			trafficPolicy: {
				connectionPool: { tcp: { maxConnections: 100 }, http: { http1MaxPendingRequests: 100, maxRequestsPerConnection: 10 } },
				outlierDetection: { consecutive5xxErrors: 5, interval: "10s", baseEjectionTime: "30s" },
			},
			subsets: [
				{ name: "v1", labels: { version: "v1" } },
				{ name: "v2", labels: { version: "v2" } },
			],
		},
	};
}

export function syntheticMesh(services: number): SyntheticMesh {
	const all = Array.from({ length: services }, (_, index) => index);
	return {
		objects: all.flatMap((index): AnyConfig[] => [serviceEntry(index), ...(index % 5 === 0 ? [virtualService(index, 5), destinationRule(index)] : [])]),
		node(index) {
			const namespace = namespaceOf(index);
			const ip = addressOf(index, 0);
			return {
				id: `sidecar~${ip}~svc-${index}-0.${namespace}~${namespace}.svc.cluster.local`,
				cluster: `svc-${index}.${namespace}`,
				metadata: {
					NAMESPACE: namespace,
					INSTANCE_IPS: ip,
					ISTIO_VERSION: "1.30.3",
					SERVICE_ACCOUNT: `svc-${index}`,
					LABELS: { app: `svc-${index}`, version: "v1" },
				},
				locality: { region: "r1", zone: "z1" },
			};
		},
		editedVirtualService: virtualService,
		editedServiceEntry: serviceEntry,
	};
}
