/** `outbound|80|v1|reviews.default.svc.cluster.local`: how clusters, SNI and statistics name a subset of a service port. */
export function outboundClusterName(port: number, subset: string, host: string): string {
	return `outbound|${port}|${subset}|${host}`;
}

export function inboundClusterName(targetPort: number): string {
	return `inbound|${targetPort}||`;
}

export const passthroughCluster = "PassthroughCluster";
export const blackHoleCluster = "BlackHoleCluster";
export const inboundPassthroughCluster = "InboundPassthroughCluster";

/** Host and port inside the name of a service's cluster; undefined for the fixed clusters. */
export function parseClusterName(name: string): { readonly host: string; readonly port: string } | undefined {
	const [direction, port, , host, ...rest] = name.split("|");
	if (direction === undefined || port === undefined || host === undefined || rest.length > 0) return undefined;
	return { host, port };
}
