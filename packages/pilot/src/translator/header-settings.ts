import { unpackAny } from "@weft/xds";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import type { Route } from "@weft/xds/generated/envoy/config/route/v3/route_components.ts";
import { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import { inboundPorts } from "../model/lookup.ts";
import { isHttp } from "../model/protocol.ts";
import type { EncodedResource, ProxyContext } from "./context.ts";
import { encodeResource } from "./encode.ts";
import { preserveCase } from "./listeners/http-connection-manager.ts";
import { proxyConfigOf } from "./listeners/proxy-config.ts";
import type { ProxyHeaders } from "./listeners/proxy-headers.ts";
import { createMemo } from "./memo.ts";
import { packed } from "./routes/values.ts";
import { anyHostName } from "./routes/virtual-host.ts";

// What few proxies ask for (`proxyHeaders`) is laid over the resources that all share, not carried through their making.

const known = createMemo<ProxyHeaders>();

const headersOf = ({ push, node }: ProxyContext): ProxyHeaders => known.get([node, push.meshConfig], "", () => proxyConfigOf(push.meshConfig, node).headers);

const tables = createMemo<EncodedResource>();

/** Without `x-envoy-attempt-count`, or with the host that a client asked for, where the proxy is to have it so. */
export function tableWithHeaderSettings(context: ProxyContext, table: EncodedResource): EncodedResource {
	const { attemptCount, forwardedHost } = headersOf(context);
	if (attemptCount && !forwardedHost) return table;
	return tables.get([table], tableHeaderKey(context), () => {
		const routes = RouteConfiguration.decode(table.bytes);
		const virtualHosts = routes.virtualHosts.map((host) => ({
			...host,
			includeRequestAttemptCount: host.includeRequestAttemptCount && attemptCount,
			routes: forwardedHost ? host.routes.map((route) => withForwardedHost(route, host.name)) : host.routes,
		}));
		return encodeResource("rds", table.name, RouteConfiguration, { ...routes, virtualHosts });
	});
}

/** Proxies with equal keys have the same settings of route tables. */
export function tableHeaderKey(context: ProxyContext): string {
	const { attemptCount, forwardedHost } = headersOf(context);
	return `${attemptCount} ${forwardedHost}`;
}

/** Of routes that rewrite, and of those to hosts that nobody knows. */
function withForwardedHost(entry: Route, virtualHost: string): Route {
	const { route } = entry;
	const isMeant = virtualHost === anyHostName || route?.prefixRewrite || route?.regexRewrite || route?.hostRewriteLiteral;
	return route && isMeant ? { ...entry, route: { ...route, appendXForwardedHost: true } } : entry;
}

const clusters = createMemo<EncodedResource>();

/** Undefined: the proxy wants nothing of its clusters. */
export function clusterHeaderSettings(context: ProxyContext): ((cluster: EncodedResource) => EncodedResource) | undefined {
	if (!headersOf(context).preserveHttp1HeaderCase) return undefined;
	return (cluster) => (speaksHttp1(context, cluster.name) ? clusters.get([cluster], "", () => keepCase(cluster)) : cluster);
}

/** What names a port speaks HTTP/1 where the port says HTTP, or says nothing; all other clusters take what comes. */
function speaksHttp1({ push, scope, node }: ProxyContext, cluster: string): boolean {
	const [direction, number = "", , host = ""] = cluster.split("|");
	if (direction !== "inbound" && direction !== "outbound") return true;
	const port =
		direction === "outbound"
			? scope.serviceByHost.get(host)?.ports.find(({ port }) => port === Number(number))
			: inboundPorts(push, scope, node).find(({ targetPort }) => targetPort === Number(number))?.port;
	return port !== undefined && (isHttp(port.protocol) || port.protocol === "Auto");
}

const typeName = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/** Names of HTTP/1 headers leave as the other side wrote them. */
function keepCase(resource: EncodedResource): EncodedResource {
	const cluster = Cluster.decode(resource.bytes);
	const own = unpackAny(typeName, HttpProtocolOptions, cluster.typedExtensionProtocolOptions[typeName]);
	const options =
		own ?? (/^(?:out|in)bound\|/.test(cluster.name) ? HttpProtocolOptions.fromPartial({ explicitHttpConfig: { httpProtocolOptions: {} } }) : undefined);
	const version = options?.useDownstreamProtocolConfig ?? options?.explicitHttpConfig;
	if (options === undefined || version?.httpProtocolOptions === undefined) return resource;
	const changed = { ...version, httpProtocolOptions: { ...version.httpProtocolOptions, headerKeyFormat: preserveCase } };
	const config = options.useDownstreamProtocolConfig ? { useDownstreamProtocolConfig: changed } : { explicitHttpConfig: changed };
	const typedExtensionProtocolOptions = {
		...cluster.typedExtensionProtocolOptions,
		[typeName]: packed(typeName, HttpProtocolOptions, { ...options, ...config }),
	};
	return encodeResource("cds", cluster.name, Cluster, Cluster.fromPartial({ ...cluster, typedExtensionProtocolOptions }));
}
