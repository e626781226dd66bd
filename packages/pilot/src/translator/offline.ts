import { type Json, registerMessages, stripTypeUrl, toJson, typeUrls, type XdsType } from "@weft/xds";
import { Cluster, Cluster_DiscoveryType } from "@weft/xds/generated/envoy/config/cluster/v3/cluster.ts";
import { ClusterLoadAssignment } from "@weft/xds/generated/envoy/config/endpoint/v3/endpoint.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { RouteConfiguration } from "@weft/xds/generated/envoy/config/route/v3/route.ts";
import { allMessages } from "@weft/xds/registry";
import type { ProxyNode } from "../model/proxy-node.ts";
import type { PushSnapshot } from "../model/push.ts";
import type { EncodedResource } from "./context.ts";
import { outboundRouteNames } from "./listeners/index.ts";
import { type Translation, translate } from "./translator.ts";

export interface OfflineResources {
	readonly cds: readonly Json[];
	readonly eds: readonly Json[];
	readonly lds: readonly Json[];
	readonly rds: readonly Json[];
}

const decoders = { cds: Cluster, eds: ClusterLoadAssignment, lds: Listener, rds: RouteConfiguration } as const;

export type ProxyResources = Readonly<Record<keyof typeof decoders, readonly EncodedResource[]>>;

/** All that a proxy would be sent if it subscribed as a real one does, sorted by name. */
export function resourcesOf(push: PushSnapshot, node: ProxyNode): ProxyResources {
	const translation = translate(push, node);
	const cds = [...translation.cds.resources.values()];
	const lds = [...translation.lds.resources.values()];
	return {
		cds,
		eds: named(assignmentNames(cds), (name) => translation.eds(name)),
		lds,
		rds: named(tableNames(translation), (name) => translation.rds(name)),
	};
}

/** The same as proto3 JSON. Used by `weft xds`. */
export function translateAll(push: PushSnapshot, node: ProxyNode): OfflineResources {
	registerMessages(allMessages);
	const { cds, eds, lds, rds } = resourcesOf(push, node);
	return {
		cds: cds.map((resource) => json("cds", resource)),
		eds: eds.map((resource) => json("eds", resource)),
		lds: lds.map((resource) => json("lds", resource)),
		rds: rds.map((resource) => json("rds", resource)),
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

function tableNames({ lds }: Translation): readonly string[] {
	return outboundRouteNames([...lds.resources.values()].map(({ bytes }) => Listener.decode(bytes)));
}

function json(type: keyof typeof decoders, { bytes }: EncodedResource): Json {
	const message: unknown = decoders[type].decode(bytes);
	return toJson(stripTypeUrl(typeUrls[type satisfies XdsType]), message);
}
