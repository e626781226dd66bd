import type { AnyConfig } from "@weft/api";

/** The mesh whose costs on istiod were measured: see README.md of this folder. All objects are as users write them. */
export interface Workload {
	readonly services: number;
	readonly endpointsPerService: number;
}

const namespaces = 10;
const zones = ["z1", "z2", "z3"] as const;

export const hostOf = (i: number) => `svc-${i}.ns-${i % namespaces}.svc.cluster.local`;
export const namespaceOf = (i: number) => `ns-${i % namespaces}`;

/** Address of endpoint `e` of service `i`; `generation` moves it, to change one endpoint. */
export function endpointAddress(i: number, e: number, generation = 0): string {
	const n = i * 16 + e;
	return `10.${64 + generation}.${(n >> 8) & 255}.${n & 255}`;
}

function object(kind: string, api: string, namespace: string, name: string, spec: object): AnyConfig {
	const metadata = { name, namespace, labels: {}, annotations: {}, creationTimestamp: "2026-01-01T00:00:00Z" };
	return { apiVersion: `${api}/v1`, kind, metadata, spec } as unknown as AnyConfig;
}

export function serviceEntry(i: number, { endpointsPerService }: Workload, generation = 0): AnyConfig {
	const endpoints = Array.from({ length: endpointsPerService }, (_, e) => ({
		address: endpointAddress(i, e, e === 0 ? generation : 0),
		labels: { app: `svc-${i}`, version: e % 2 === 0 ? "v1" : "v2", "security.istio.io/tlsMode": "istio" },
		locality: `region/${zones[e % zones.length]}`,
		serviceAccount: `svc-${i}`,
	}));
	return object("ServiceEntry", "networking.istio.io", namespaceOf(i), `svc-${i}`, {
		hosts: [hostOf(i)],
		addresses: [`10.${32 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`],
		ports: [{ number: 80, name: "http", protocol: "HTTP", targetPort: 8080 }],
		location: "MESH_INTERNAL",
		resolution: "STATIC",
		endpoints,
	});
}

/** `weight` is the share of v2, to change one VirtualService. */
export function virtualService(i: number, weight = 10): AnyConfig {
	const host = hostOf(i);
	const common = { timeout: "5s", retries: { attempts: 3, perTryTimeout: "2s" }, headers: { response: { set: { "x-served-by": "mesh" } } } };
	return object("VirtualService", "networking.istio.io", namespaceOf(i), `svc-${i}`, {
		hosts: [host],
		http: [
			{ match: [{ headers: { "x-canary": { exact: "always" } } }], route: [{ destination: { host, subset: "v2" } }], ...common },
			{
				route: [
					{ destination: { host, subset: "v1" }, weight: 100 - weight },
					{ destination: { host, subset: "v2" }, weight },
				],
				...common,
			},
		],
	});
}

export function destinationRule(i: number): AnyConfig {
	return object("DestinationRule", "networking.istio.io", namespaceOf(i), `svc-${i}`, {
		host: hostOf(i),
		trafficPolicy: {
			connectionPool: { tcp: { maxConnections: 100 }, http: { http1MaxPendingRequests: 100, maxRequestsPerConnection: 10 } },
			outlierDetection: { consecutive5xxErrors: 5, interval: "10s", baseEjectionTime: "30s" },
		},
		subsets: [
			{ name: "v1", labels: { version: "v1" } },
			{ name: "v2", labels: { version: "v2" } },
		],
	});
}

/** One a service, and one a subset. */
export const edsClusterCountOf = (services: number): number => services + 2 * Math.ceil(services / 5);

/** Every object of the mesh; each fifth service has routing rules. */
export function objectsOf(workload: Workload): AnyConfig[] {
	return Array.from({ length: workload.services }, (_, i) =>
		i % 5 === 0 ? [serviceEntry(i, workload), virtualService(i), destinationRule(i)] : [serviceEntry(i, workload)],
	).flat();
}
