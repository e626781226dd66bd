import type { Locality } from "./service.ts";

/** A connected (or imagined) proxy, read from its xDS node. */
export interface ProxyNode {
	readonly id: string;
	/** `node.cluster`: what the proxy calls itself in traces. */
	readonly cluster: string;
	readonly kind: "sidecar" | "router";
	readonly ip: string;
	readonly ips: readonly string[];
	readonly name: string;
	readonly namespace: string;
	readonly dnsDomain: string;
	/** Of the pod when it is known, else of the WorkloadEntry that the proxy registered, else from the metadata. */
	readonly labels: Readonly<Record<string, string>>;
	readonly serviceAccount: string;
	readonly workloadName: string;
	readonly clusterId: string;
	readonly network: string;
	readonly locality: Locality;
	readonly nodeName: string;
	readonly interceptionMode: "REDIRECT" | "TPROXY" | "NONE";
	/** "1.30.3"; "" when the client does not say. */
	readonly istioVersion: string;
	/**
	 * Whether the client knows Istio's own extensions (istio.stats, istio.alpn, istio.metadata_exchange, peer metadata):
	 * its `node.extensions` lists them, or it lists none and sends ISTIO_VERSION.
	 */
	readonly istioExtensions: boolean;
	/** Whether the client can resolve a host when a request names it (envoy.clusters.dynamic_forward_proxy and its filters). */
	readonly dynamicForwardProxy: boolean;
	/**
	 * Whether the client takes virtual hosts one by one (VHDS, delta only): metadata `VHDS`, or the client feature
	 * `weft.xds.vhds`. Everybody else gets whole route tables.
	 */
	readonly vhds: boolean;
	readonly dnsCapture: boolean;
	/** Port of an HTTP proxy listener on loopback (Istio's HTTP_PROXY_PORT), or 0. */
	readonly httpProxyPort: number;
	/** Local mode: where inbound ports are bound and where the application really listens. */
	readonly local: LocalBinding | undefined;
	readonly metadata: Readonly<Record<string, unknown>>;
}

/**
 * `node.metadata.WEFT_LOCAL`, sent by sidecars that the local launcher starts (INTERCEPTION_MODE NONE: nothing captures
 * traffic, so listeners bind real addresses). Addresses are `ip:port`.
 */
export interface LocalBinding {
	/** Container port → where the sidecar listens for it, and where the application serves it. */
	readonly inbound: Readonly<Record<string, { readonly bind: string; readonly endpoint: string }>>;
	/** `host:port` of a service → the address on which this sidecar offers it to its application. */
	readonly outbound: Readonly<Record<string, string>>;
}
