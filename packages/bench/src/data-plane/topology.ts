/** Files of one identity, PEM. haproxy wants certificate and key in one file. */
export type CertificateFiles = {
	readonly ca: string;
	readonly certificate: string;
	readonly key: string;
	readonly bundle: string;
};

export const hopDnsName = "bench.weft.test";
export const hopSpiffeId = "spiffe://cluster.local/ns/bench/sa/proxy";

/**
 * What one proxy process does: listens in clear text or in mutual TLS, and sends on in clear text or in mutual TLS.
 * All on loopback; the certificates are the same on both ends.
 */
export type ProxyRole = {
	readonly listenPort: number;
	readonly listenTls: boolean;
	readonly upstreamPort: number;
	readonly upstreamTls: boolean;
	readonly adminPort: number;
	/** Both sides speak HTTP/2, with prior knowledge or by ALPN; else HTTP/1.1. */
	readonly http2: boolean;
	/** An ADS server that gives the listener, route, cluster and endpoint; undefined: they are in the file. */
	readonly adsPort?: number;
	readonly certificates: CertificateFiles;
};
