import type { Diagnostic } from "@weft/api";
import type { RootRotation } from "@weft/citadel";
import type { Store } from "@weft/galley";
import type { Discovery } from "@weft/pilot";
import type { XdsClient } from "@weft/xds/server";

/** A cluster that endpoints are read from, as `istioctl remote-clusters` shows it. */
export interface ClusterInfo {
	readonly id: string;
	/** `namespace/name` of the Secret with its credentials; "" for the own one. */
	readonly secretName: string;
	readonly syncStatus: "synced" | "syncing";
}

/** What istiod's /debug pages are answered from. */
export interface DebugContext {
	readonly clusterId: string;
	/** This replica's pod. */
	readonly instance: string;
	/** Callers of these namespaces (the control plane's own is one) see the whole mesh, others the proxies of their own. */
	readonly trustedNamespaces: ReadonlySet<string>;
	readonly store: Store;
	readonly discovery: Discovery;
	/** Where this control plane has an authority of its own. */
	readonly rotation?: RootRotation;
	readonly diagnostics: () => readonly Diagnostic[];
	/** Undefined: the mesh is read from files. */
	readonly clusters?: () => readonly ClusterInfo[];
}

export interface DebugRequest {
	readonly context: DebugContext;
	readonly query: URLSearchParams;
	/** Whose proxies may be seen; undefined: all. */
	readonly namespace: string | undefined;
}

export interface DebugReply {
	readonly status: number;
	readonly type: "application/json" | "text/plain; charset=utf-8" | "text/html; charset=utf-8";
	readonly body: string;
}

export type DebugHandler = (request: DebugRequest) => DebugReply;

/** Indented where the question has `pretty`, as at istiod. */
export function jsonReply({ query }: Pick<DebugRequest, "query">, value: unknown): DebugReply {
	return { status: 200, type: "application/json", body: JSON.stringify(value, null, query.has("pretty") ? 2 : 0) };
}

export function textReply(status: number, text: string): DebugReply {
	return { status, type: "text/plain; charset=utf-8", body: `${text}\n` };
}

/** POD.NAMESPACE */
export function proxyName(client: XdsClient): string {
	return client.node.id.split("~")[2] ?? client.node.id;
}

/** istiod's name of a connection. */
export const connectionId = (client: XdsClient): string => `${proxyName(client)}-${client.id}`;

/** The proxies that a caller may know of, by name. */
export function visibleClients({ discovery }: DebugContext, namespace: string | undefined): readonly XdsClient[] {
	const seen = [...discovery.clients].filter((client) => namespace === undefined || client.node.metadata?.["NAMESPACE"] === namespace);
	return seen.sort((a, b) => (proxyName(a) < proxyName(b) ? -1 : 1));
}

/** The proxy of that name; else, as at istiod, one whose connection's name has this in it. */
export function findClient(clients: readonly XdsClient[], proxyId: string): XdsClient | undefined {
	return clients.find((client) => proxyName(client) === proxyId) ?? clients.find((client) => connectionId(client).includes(proxyId));
}

/** Answers about the proxy that `proxyID` names; istioctl knows these refusals by their words. */
export function aboutProxy(request: DebugRequest, answer: (client: XdsClient) => DebugReply): DebugReply {
	const proxyId = request.query.get("proxyID") ?? "";
	if (proxyId === "") return textReply(400, "You must provide a proxyID in the query string");
	const client = findClient(visibleClients(request.context, request.namespace), proxyId);
	return client ? answer(client) : textReply(404, "Proxy not connected to this Pilot instance. It may be connected to another instance.");
}
