import { type Json, registerMessages, stripTypeUrl, toJson, typeUrls, type XdsType } from "@weft/xds";
import { Cluster, Cluster_DiscoveryType } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { TypedExtensionConfig } from "@weft/xds/generated/envoy/config/core/v3/extension.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { allMessages } from "@weft/xds/registry";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import type { EncodedResource } from "./context.ts";
import { extensionConfigNames, outboundRouteNames } from "./listeners/index.ts";
import { translate } from "./translator.ts";

export interface OfflineResources {
	readonly cds: readonly Json[];
	readonly eds: readonly Json[];
	readonly lds: readonly Json[];
	readonly rds: readonly Json[];
	readonly ecds: readonly Json[];
}

const decoders = { cds: Cluster, eds: ClusterLoadAssignment, lds: Listener, rds: RouteConfiguration, ecds: TypedExtensionConfig } as const;

export type ProxyResources = Readonly<Record<keyof typeof decoders, readonly EncodedResource[]>>;

/** All that a proxy would be sent if it subscribed as a real one does, sorted by name. */
export function resourcesOf(push: PushSnapshot, node: ProxyNode): ProxyResources {
	const translation = translate(push, node);
	const cds = [...translation.cds.resources.values()];
	const lds = [...translation.lds.resources.values()];
	const listeners = lds.map(({ bytes }) => Listener.decode(bytes));
	return {
		cds,
		eds: named(assignmentNames(cds), (name) => translation.eds(name)),
		lds,
		rds: named(outboundRouteNames(listeners), (name) => translation.rds(name)),
		ecds: named(extensionConfigNames(listeners), (name) => translation.ecds(name)),
	};
}

/** The same as proto3 JSON. Used by `weft xds`. */
export function translateAll(push: PushSnapshot, node: ProxyNode): OfflineResources {
	registerMessages(allMessages);
	const { cds, eds, lds, rds, ecds } = resourcesOf(push, node);
	return {
		cds: cds.map((resource) => json("cds", resource)),
		eds: eds.map((resource) => json("eds", resource)),
		lds: lds.map((resource) => json("lds", resource)),
		rds: rds.map((resource) => json("rds", resource)),
		ecds: ecds.map((resource) => json("ecds", resource)),
	};
}

function named(names: readonly string[], get: (name: string) => EncodedResource | undefined): readonly EncodedResource[] {
	return [...new Set(names)].sort().flatMap((name) => get(name) ?? []);
}

/** Service names of the EDS clusters: what a proxy asks for. */
function assignmentNames(clusters: readonly EncodedResource[]): readonly string[] {
	return clusters.flatMap(({ bytes }) => {
		const cluster = Cluster.decode(bytes);
		return cluster.type === Cluster_DiscoveryType.EDS ? [cluster.edsClusterConfig?.serviceName || cluster.name] : [];
	});
}

function json(type: keyof typeof decoders, { bytes }: EncodedResource): Json {
	const message: unknown = decoders[type].decode(bytes);
	return toJson(stripTypeUrl(typeUrls[type satisfies XdsType]), message);
}
