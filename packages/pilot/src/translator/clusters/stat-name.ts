import type { Service, ServicePort } from "../../model/service.ts";

/** https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig (inboundClusterStatName, outboundClusterStatName) */
export interface StatNameInput {
	/** The mesh's pattern; without one the cluster's name stands. */
	readonly pattern: string | undefined;
	readonly clusterName: string;
	readonly service: Service;
	readonly port: ServicePort;
	readonly targetPort: number | string;
	readonly subset: string;
}

/** alt_stat_name; the semicolon ends it, so that readers find where a name with dots stops. */
export function clusterStatName({ pattern, clusterName, service, port, targetPort, subset }: StatNameInput): string {
	if (!pattern) return `${clusterName};`;
	const short = service.registry === "Kubernetes" ? `${service.name}.${service.namespace}` : service.hostname;
	const values: Readonly<Record<string, string>> = {
		"%SERVICE%": short,
		"%SERVICE_NAME%": service.name,
		"%SERVICE_FQDN%": service.hostname,
		"%SERVICE_PORT%": String(port.port),
		"%SERVICE_PORT_NAME%": port.name,
		"%TARGET_PORT%": String(targetPort),
		"%SUBSET_NAME%": subset,
	};
	return `${pattern.replaceAll(/%[A-Z_]+%/g, (token) => values[token] ?? token)};`;
}
