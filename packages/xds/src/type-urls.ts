/** The resource types of xDS that the mesh speaks, by their short names. */
export const typeUrls = {
	cds: "type.googleapis.com/envoy.config.cluster.v3.Cluster",
	eds: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
	lds: "type.googleapis.com/envoy.config.listener.v3.Listener",
	rds: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
	/** Virtual hosts of a route table one by one, named `table/host`; asked for by the table's name. */
	vhds: "type.googleapis.com/envoy.config.route.v3.VirtualHost",
	/** Which route table is for which requests of a connection manager. */
	srds: "type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration",
	sds: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
	ecds: "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
	/** Layers of Envoy's runtime. */
	rtds: "type.googleapis.com/envoy.service.runtime.v3.Runtime",
	/** Istio's own: names and addresses for a sidecar that answers its application's DNS queries. */
	nds: "type.googleapis.com/istio.networking.nds.v1.NameTable",
	/** Istio's own: the roots that workloads trust, for the agent beside a proxy. */
	pcds: "type.googleapis.com/istio.mesh.v1alpha1.ProxyConfig",
	/** Asked for before a proxy starts: one resource without a name, to be merged over the bootstrap that it would start with. */
	bootstrap: "type.googleapis.com/envoy.config.bootstrap.v3.Bootstrap",
} as const;

/**
 * Istio's own, from a proxy to the control plane: the workload's health. A request with `error_detail` says that it is unhealthy
 * and why, one without that it is healthy; there is no answer.
 */
export const healthTypeUrl = "type.googleapis.com/istio.v1.HealthInformation";

export type XdsType = keyof typeof typeUrls;

const byUrl = new Map<string, XdsType>(Object.entries(typeUrls).map(([type, url]) => [url, type as XdsType]));

export function xdsTypeOf(typeUrl: string): XdsType | undefined {
	return byUrl.get(typeUrl);
}
