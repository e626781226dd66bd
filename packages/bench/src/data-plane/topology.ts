/** Files of one identity, PEM. haproxy wants certificate and key in one file. */
export type CertificateFiles = {
	readonly ca: string;
	readonly certificate: string;
	readonly key: string;
	readonly bundle: string;
};

export const hopDnsName = "bench.weft.test";
export const hopSpiffeId = "spiffe://cluster.local/ns/bench/sa/proxy";

/** Nothing, the server's certificate alone, or certificates of both ends. */
export type ListenTls = "none" | "server" | "mutual";

/** What both sides of a proxy speak: HTTP/1.1, HTTP/2 (with prior knowledge or by ALPN), or bytes. */
export type Protocol = "http1" | "http2" | "tcp";

/** The features of a mesh, as istiod would configure them for a sidecar. Only files of Envoy's form have them. */
export type MeshRole = {
	/** 51 virtual hosts with ten routes each, faults, CORS, retries and header operations: what istiod sends for outbound traffic. */
	readonly outbound: boolean;
	/** Authorization policies and the client's certificate in a header: what istiod sends for inbound traffic. */
	readonly inbound: boolean;
	readonly accessLog: string;
	/** A Zipkin collector on loopback, and the path that it takes spans at. */
	readonly collectorPort: number;
	readonly collectorPath: string;
};

/**
 * What one proxy process does: listens in clear text or in TLS, and sends on in clear text or in mutual TLS.
 * All on loopback; the certificates are the same on both ends.
 */
export type ProxyRole = {
	readonly listenPort: number;
	readonly listenTls: ListenTls;
	readonly upstreamPort: number;
	readonly upstreamTls: boolean;
	readonly adminPort: number;
	readonly protocol: Protocol;
	/** So many routes by path prefix (`routePath`), each to a cluster of its own; undefined: one for everything. */
	readonly routes?: number;
	readonly mesh?: MeshRole;
	/** An ADS server that gives the listener, route, cluster and endpoint; undefined: they are in the file. */
	readonly adsPort?: number;
	readonly certificates: CertificateFiles;
};

/** The prefix of the route at an index. */
export function routePath(index: number): string {
	return `/route-${index}/`;
}
