import type { Service } from "../../model/service.ts";

/** https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1/#MeshConfig (inboundClusterStatName, outboundClusterStatName) */
export interface StatNameInput {
	/** The mesh's pattern; without one the cluster's name stands. */
	readonly pattern: string | undefined;
	readonly clusterName: string;
	readonly service: Service | undefined;
	readonly port: { readonly port: number; readonly name?: string };
	/** Undefined: the pattern's token for it stays as it is. */
	readonly targetPort: number | string | undefined;
	readonly subset: string;
}

/** alt_stat_name; the semicolon ends it, so that readers find where a name with dots stops. */
export const clusterStatName = (input: StatNameInput): string => `${statName(input)};`;

/** What connections to a cluster are counted under. */
export function statName({ pattern, clusterName, service, port, targetPort, subset }: StatNameInput): string {
	if (!pattern) return clusterName;
	const { hostname = "", name = "", namespace = "", registry } = service ?? {};
	const isKubernetes = registry === "Kubernetes";
	const values: Readonly<Record<string, string | undefined>> = {
		"%SERVICE%": isKubernetes ? `${name}.${namespace}` : hostname,
		"%SERVICE_NAME%": isKubernetes ? name : hostname,
		"%SERVICE_FQDN%": hostname,
		"%SERVICE_PORT%": String(port.port),
		"%SERVICE_PORT_NAME%": port.name ?? "",
		"%TARGET_PORT%": targetPort === undefined ? undefined : String(targetPort),
		"%SUBSET_NAME%": subset,
	};
	return pattern.replaceAll(/%[A-Z_]+%/g, (token) => values[token] ?? token);
}
