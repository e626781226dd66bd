import { status } from "@grpc/grpc-js";
import { type Discovery, type EncodedResource, resourcesOf } from "@weft/pilot";
import { typeUrls, type XdsType } from "@weft/xds";
import { ClustersConfigDump, EndpointsConfigDump, ListenersConfigDump, RoutesConfigDump } from "@weft/xds/generated/envoy/admin/v3/config_dump_shared.ts";
import { Node } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { ClientConfig, ConfigStatus } from "@weft/xds/generated/envoy/service/status/v3/csds.ts";
import type { Any } from "@weft/xds/generated/google/protobuf/any.ts";
import { type AdsServerOptions, type DebugAnswer, RefusedError, type StreamState, type XdsClient } from "@weft/xds/server";
import { proxyName } from "./debug.ts";
import { versionText } from "./http-context.ts";

export interface DebugAnswersOptions {
	readonly discovery: Discovery;
	readonly clusterId: string;
	/** This replica's pod. */
	readonly instance: string;
	/** Callers of this namespace see the whole mesh, others the proxies of their own. */
	readonly systemNamespace: string;
}

const syncTypes: readonly XdsType[] = ["cds", "lds", "eds", "rds", "ecds"];

/**
 * What istioctl asks over ADS: `istio.io/debug/syncz` (proxy-status), `istio.io/debug/config_dump` with one name POD.NS,
 * and `istio.io/connections` (x version).
 */
export function createDebugAnswers(options: DebugAnswersOptions): NonNullable<AdsServerOptions["debug"]> {
	const { discovery, instance } = options;
	const identifier = JSON.stringify({
		Component: "istiod",
		ID: instance,
		Info: { version: versionText, revision: "", golang_version: "", status: "Clean", tag: "" },
	});
	const answer = (resources: readonly Any[]): DebugAnswer => ({ resources, version: String(discovery.push.version), identifier });
	return ({ typeUrl, names, peer }) => {
		const clients = visible(options, peer.spiffeIds);
		switch (typeUrl) {
			case "istio.io/debug/syncz":
				return answer(clients.map((client) => any("envoy.service.status.v3.ClientConfig", ClientConfig.encode(clientConfig(options, client)).finish())));
			case "istio.io/debug/config_dump": {
				const client = clients.find((c) => names.length === 1 && proxyName(c) === names[0]);
				return answer(client ? configDump(discovery, client) : []);
			}
			case "istio.io/connections":
				return answer(clients.map((client) => any("envoy.config.core.v3.Node", Node.encode(client.node).finish())));
			default:
				return undefined;
		}
	};
}

/** The proxies that a caller may know of. */
function visible({ discovery, systemNamespace }: DebugAnswersOptions, spiffeIds: readonly string[] | undefined): readonly XdsClient[] {
	const all = [...discovery.clients];
	if (spiffeIds === undefined) return all;
	const namespaces = spiffeIds.flatMap((id) => /^spiffe:\/\/[^/]+\/ns\/([^/]+)\/sa\/[^/]+$/.exec(id)?.[1] ?? []);
	if (namespaces.length === 0) throw new RefusedError(status.UNAUTHENTICATED, "debug questions need a token for audience istio-ca or a client certificate");
	if (namespaces.includes(systemNamespace)) return all;
	return all.filter((client) => namespaces.includes(String(client.node.metadata?.["NAMESPACE"])));
}

const any = (type: string, value: Uint8Array): Any => ({ typeUrl: `type.googleapis.com/${type}`, value });

function clientConfig({ discovery, clusterId }: DebugAnswersOptions, client: XdsClient): ClientConfig {
	const node = discovery.nodeOf(client);
	const states = new Map(client.states().map((state) => [state.type, state]));
	return ClientConfig.fromPartial({
		node: { id: proxyName(client), metadata: { CLUSTER_ID: String(client.node.metadata?.["CLUSTER_ID"] ?? clusterId), ISTIO_VERSION: node.istioVersion } },
		genericXdsConfigs: syncTypes.map((type) => ({ typeUrl: typeUrls[type], configStatus: statusOf(states.get(type)) })),
	});
}

/** UNKNOWN is what istioctl leaves out: the proxy has not asked for the type. */
function statusOf(state: StreamState | undefined): ConfigStatus {
	if (!state) return ConfigStatus.UNKNOWN;
	if (state.nack) return ConfigStatus.ERROR;
	if (state.sent === "") return ConfigStatus.NOT_SENT;
	return state.acked === state.sent ? ConfigStatus.SYNCED : ConfigStatus.STALE;
}

/** What the proxy should have, in the messages of Envoy's own `/config_dump`, in Envoy's order. */
function configDump(discovery: Discovery, client: XdsClient): readonly Any[] {
	const { cds, eds, lds, rds } = resourcesOf(discovery.push, discovery.nodeOf(client));
	const versionInfo = String(discovery.push.version);
	const packed = (type: XdsType, resource: EncodedResource): Any => ({ typeUrl: typeUrls[type], value: resource.bytes });
	const clusters = cds.map((resource) => ({ versionInfo, cluster: packed("cds", resource) }));
	const listeners = lds.map((resource) => ({ name: resource.name, activeState: { versionInfo, listener: packed("lds", resource) } }));
	const routes = rds.map((resource) => ({ versionInfo, routeConfig: packed("rds", resource) }));
	const endpoints = eds.map((resource) => ({ versionInfo, endpointConfig: packed("eds", resource) }));
	return [
		any(
			"envoy.admin.v3.ClustersConfigDump",
			ClustersConfigDump.encode(ClustersConfigDump.fromPartial({ versionInfo, dynamicActiveClusters: clusters })).finish(),
		),
		any("envoy.admin.v3.EndpointsConfigDump", EndpointsConfigDump.encode(EndpointsConfigDump.fromPartial({ dynamicEndpointConfigs: endpoints })).finish()),
		any(
			"envoy.admin.v3.ListenersConfigDump",
			ListenersConfigDump.encode(ListenersConfigDump.fromPartial({ versionInfo, dynamicListeners: listeners })).finish(),
		),
		any("envoy.admin.v3.RoutesConfigDump", RoutesConfigDump.encode(RoutesConfigDump.fromPartial({ dynamicRouteConfigs: routes })).finish()),
	];
}
