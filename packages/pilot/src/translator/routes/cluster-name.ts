/** `outbound|80|v1|reviews.default.svc.cluster.local`: how clusters, SNI and statistics name a subset of a service port. */
export function outboundClusterName(port: number, subset: string, host: string): string {
	return `outbound|${port}|${subset}|${host}`;
}

/** `outbound_.80_.v1_.reviews.default.svc.cluster.local`: the SNI of a connection to it, and what a gateway to another network names its clusters by. */
export function sniClusterName(port: number, subset: string, host: string): string {
	return `outbound_.${port}_.${subset}_.${host}`;
}

export interface OutboundName {
	readonly port: number;
	readonly subset: string;
	readonly host: string;
	/** Named as an SNI: connections arrive in TLS that is passed on as it is. */
	readonly sni: boolean;
}

/** The parts of either form; undefined for other clusters. */
export function parseOutboundName(name: string): OutboundName | undefined {
	const match = /^outbound\|(\d+)\|([^|]*)\|([^|]+)$/.exec(name) ?? /^outbound_\.(\d+)_\.(.*?)_\.(.+)$/.exec(name);
	if (!match) return undefined;
	return { port: Number(match[1]), subset: match[2] ?? "", host: match[3] ?? "", sni: name.startsWith("outbound_.") };
}

export function inboundClusterName(targetPort: number): string {
	return `inbound|${targetPort}||`;
}

export const passthroughCluster = "PassthroughCluster";
/** Stands for a backend that may not be used; no cluster has this name. */
export const unknownCluster = "UnknownService";
export const allowAnyDynamicDnsCluster = "AllowAnyDynamicDNSCluster";
export const blackHoleCluster = "BlackHoleCluster";
export const inboundPassthroughCluster = "InboundPassthroughCluster";

/** Host and port inside the name of a service's cluster; undefined for the fixed clusters. */
export function parseClusterName(name: string): { readonly host: string; readonly port: string } | undefined {
	const [direction, port, , host, ...rest] = name.split("|");
	if (direction === undefined || port === undefined || host === undefined || rest.length > 0) return undefined;
	return { host, port };
}
