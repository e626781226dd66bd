import { unpackAny } from "@weft/xds";
import { Cluster } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { HttpProtocolOptions } from "@weft/xds/generated/envoy/extensions/upstreams/http/v3/http_protocol_options.ts";
import type { EncodedResource, ProxyContext } from "./context.ts";
import { encodeResource } from "./encode.ts";
import { preserveCase } from "./listeners/http-connection-manager.ts";
import { proxyConfigOf } from "./listeners/proxy-config.ts";
import type { ProxyHeaders } from "./listeners/proxy-headers.ts";
import { createMemo } from "./memo.ts";
import { packed } from "./routes/values.ts";

// What few proxies ask for (`proxyHeaders`) is laid over the resources that all share, not carried through their making.

const known = createMemo<ProxyHeaders>();

const headersOf = ({ push, node }: ProxyContext): ProxyHeaders => known.get([node, push.meshConfig], "", () => proxyConfigOf(push.meshConfig, node).headers);

const tables = createMemo<EncodedResource>();

/** Without `x-envoy-attempt-count`, where the proxy is not to send it. */
export function tableWithHeaderSettings(context: ProxyContext, table: EncodedResource): EncodedResource {
	if (headersOf(context).attemptCount) return table;
	return tables.get([table], "", () => {
		const routes = RouteConfiguration.decode(table.bytes);
		const virtualHosts = routes.virtualHosts.map((host) => ({ ...host, includeRequestAttemptCount: false }));
		return encodeResource("rds", table.name, RouteConfiguration, { ...routes, virtualHosts });
	});
}

/** Proxies with equal keys have the same settings of route tables. */
export const tableHeaderKey = (context: ProxyContext): string => String(headersOf(context).attemptCount);

const clusters = createMemo<EncodedResource>();

/** Undefined: the proxy wants nothing of its clusters. */
export function clusterHeaderSettings(context: ProxyContext): ((cluster: EncodedResource) => EncodedResource) | undefined {
	if (!headersOf(context).preserveHttp1HeaderCase) return undefined;
	return (cluster) => clusters.get([cluster], "", () => keepCase(cluster));
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
