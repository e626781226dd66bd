import { inboundPorts, scopeOf } from "@weft/pilot";
import { typeUrls, type XdsType } from "@weft/xds";
import type { StreamState, XdsClient } from "@weft/xds/server";
import { aboutProxy, connectionId, type DebugHandler, type DebugRequest, jsonReply, proxyName, textReply, visibleClients } from "./context.ts";
import { kubernetesObject } from "./objects.ts";
import { serviceJson } from "./services.ts";

// Which proxies are connected to this replica, and what each has asked for, been sent and acknowledged.

const syncTypes: readonly (readonly [type: XdsType, name: string])[] = [
	["cds", "cluster"],
	["lds", "listener"],
	["rds", "route"],
	["eds", "endpoint"],
	["ecds", "extensionconfig"],
];

/** `/debug/syncz[?namespace=NS]`: the states by nonces, as Kiali and istioctl read them. */
export const syncz: DebugHandler = (request) => {
	const { context, query } = request;
	const wanted = query.get("namespace") ?? "";
	const clients = visibleClients(context, request.namespace).filter((client) => wanted === "" || context.discovery.nodeOf(client).namespace === wanted);
	return jsonReply(
		request,
		clients.map((client) => {
			const node = context.discovery.nodeOf(client);
			const states = new Map(client.states().map((state) => [state.type, state]));
			return {
				cluster_id: node.clusterId || context.clusterId,
				proxy: proxyName(client),
				proxy_type: node.kind,
				istio_version: node.istioVersion,
				...Object.fromEntries(syncTypes.flatMap(([type, name]) => nonces(states.get(type), name))),
				resources: Object.fromEntries([...states.values()].map((state) => [typeUrls[state.type], stateJson(state)])),
			};
		}),
	);
};

/** As istiod leaves out what is empty. */
function nonces(state: StreamState | undefined, name: string): readonly (readonly [string, string])[] {
	const { nonceSent = "", nonceAcked = "" } = state ?? {};
	const fields = [[`${name}_sent`, nonceSent] as const, [`${name}_acked`, nonceAcked] as const];
	return fields.filter(([, nonce]) => nonce !== "");
}

function stateJson({ nonceSent, nonceAcked, sentAtMs, nack }: StreamState): object {
	return {
		...(nonceSent !== "" && { sent: nonceSent, sentTime: new Date(sentAtMs).toISOString() }),
		...(nonceAcked !== "" && { acked: nonceAcked }),
		...(nack && { lastError: nack.message }),
	};
}

const connection = (client: XdsClient) => ({
	connectionId: connectionId(client),
	connectedAt: new Date(client.connectedAtMs).toISOString(),
	address: client.peer.address,
});

/** `/debug/connections`. */
export const connections: DebugHandler = (request) => {
	const clients = visibleClients(request.context, request.namespace).map(connection);
	return jsonReply(request, { totalClients: clients.length, clients });
};

/** `/debug/adsz[?proxyID=POD.NS]`: what each asks for; with `push=true` everybody is handed their configuration anew. */
export const adsz: DebugHandler = (request) => {
	const { context, query } = request;
	const { discovery } = context;
	if ((query.get("push") ?? "") !== "") {
		discovery.pushAll();
		return textReply(200, `Pushed to ${discovery.clients.size} servers`);
	}
	const proxyId = query.get("proxyID") ?? "";
	if (proxyId !== "") return aboutProxy(request, (client) => jsonReply(request, adsClients(request, [client])));
	return jsonReply(request, adsClients(request, visibleClients(context, request.namespace)));
};

function adsClients({ context: { discovery } }: DebugRequest, shown: readonly XdsClient[]): object {
	const clients = shown.map((client) => {
		const node = discovery.nodeOf(client);
		return {
			...connection(client),
			labels: node.labels,
			metadata: client.node.metadata ?? {},
			locality: client.node.locality ?? {},
			watches: Object.fromEntries(client.states().map(({ type, names }) => [typeUrls[type], [...names].sort()])),
		};
	});
	return { totalClients: clients.length, clients };
}

/** `/debug/instancesz`: the service ports that each proxy's own workload serves. */
export const instancesz: DebugHandler = (request) => {
	const { context } = request;
	const { push } = context.discovery;
	const targetsOf = (client: XdsClient) => {
		const node = context.discovery.nodeOf(client);
		return inboundPorts(push, scopeOf(push, node), node).flatMap(({ targets, targetPort }) =>
			targets.map(({ service, port }) => ({
				Service: serviceJson(context, service),
				Port: { name: port.name, port: port.port, protocol: port.protocol, TargetPort: targetPort },
			})),
		);
	};
	return jsonReply(request, Object.fromEntries(visibleClients(context, request.namespace).map((client) => [proxyName(client), targetsOf(client)])));
};

/** `/debug/sidecarz?proxyID=POD.NS`: what the proxy's scope lets it see. */
export const sidecarz: DebugHandler = (request) =>
	aboutProxy(request, (client) => {
		const { context } = request;
		const { push } = context.discovery;
		const scope = scopeOf(push, context.discovery.nodeOf(client));
		const services = scope.services.map((service) => serviceJson(context, service));
		const rules = scope.services.flatMap(({ hostname }) => scope.destinationRule(hostname) ?? []);
		return jsonReply(request, {
			version: String(push.version),
			name: scope.sidecar?.metadata.name ?? "default-sidecar",
			namespace: scope.namespace,
			outboundTrafficPolicy: { mode: scope.outboundTrafficPolicy.mode },
			services,
			egressListenerServices: scope.egress.map((listener) => listener.services.map((service) => serviceJson(context, service))),
			servicesByHostname: Object.fromEntries(scope.services.map((service) => [service.hostname, serviceJson(context, service)])),
			sidecar: scope.sidecar ? kubernetesObject(scope.sidecar).spec : null,
			destinationRules: Object.fromEntries(
				rules.map(({ host, name, namespace, trafficPolicy, subsets }) => [
					host,
					[{ from: [{ Namespace: namespace, Name: name }], rule: { name, namespace, Spec: { host, trafficPolicy, subsets } } }],
				]),
			),
		});
	});
