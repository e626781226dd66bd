import { translateAll } from "@weft/pilot";
import type { XdsClient } from "@weft/xds/server";
import { type HttpContext, versionText } from "./http-context.ts";

/** istiod's /debug pages, by path. `undefined`: the proxy that was asked for is not connected. */
export type DebugPage = (context: HttpContext, url: URL) => unknown;

export function proxyName(client: XdsClient): string {
	return client.node.id.split("~")[2] ?? client.node.id;
}

/** https://istio.io: `GET /debug/syncz`, which Kiali and istioctl read. */
function syncz({ discovery, clusterId }: HttpContext): unknown {
	return [...discovery.clients].map((client) => {
		const states = new Map(client.states().map((s) => [s.type, s]));
		const of = (type: "cds" | "lds" | "rds" | "eds" | "ecds", name: string) => ({
			[`${name}_sent`]: states.get(type)?.sent ?? "",
			[`${name}_acked`]: states.get(type)?.acked ?? "",
		});
		return {
			cluster_id: discovery.nodeOf(client).clusterId || clusterId,
			proxy: proxyName(client),
			proxy_type: client.node.id.split("~")[0],
			proxy_version: discovery.nodeOf(client).istioVersion,
			istio_version: versionText,
			...of("cds", "cluster"),
			...of("lds", "listener"),
			...of("rds", "route"),
			...of("eds", "endpoint"),
			...of("ecds", "extensionconfig"),
		};
	});
}

/** Everything that the control plane wants a proxy to have: `?proxyID=POD.NS`. */
function configDump({ discovery }: HttpContext, url: URL): unknown {
	const wanted = url.searchParams.get("proxyID") ?? "";
	const client = [...discovery.clients].find((c) => proxyName(c) === wanted);
	return client && translateAll(discovery.push, discovery.nodeOf(client));
}

function adsz({ discovery }: HttpContext): unknown {
	const clients = [...discovery.clients].map((client) => ({
		connectionId: `${client.node.id}-${client.id}`,
		connectedAt: new Date(client.connectedAtMs).toISOString(),
		address: client.peer.address,
		identities: client.peer.spiffeIds ?? [],
		metadata: client.node.metadata ?? {},
		watches: Object.fromEntries(client.states().map((s) => [s.type, { sent: s.sent, acked: s.acked, nack: s.nack }])),
	}));
	return { totalClients: clients.length, clients };
}

export const debugPages: Readonly<Record<string, DebugPage>> = {
	"/debug/syncz": syncz,
	"/debug/config_dump": configDump,
	"/debug/adsz": adsz,
	"/debug/registryz": ({ discovery }) => discovery.push.services,
	"/debug/configz": ({ store }) =>
		(["VirtualService", "DestinationRule", "ServiceEntry", "WorkloadEntry", "Gateway", "Sidecar", "PeerAuthentication"] as const).flatMap((kind) =>
			store.snapshot().all(kind),
		),
	"/debug/mesh": ({ meshConfig }) => meshConfig(),
	"/debug/push_status": ({ discovery, diagnostics }) => ({ version: discovery.push.version, diagnostics: diagnostics() }),
	/** Roots, slots, phase, and which proxies have them: `weft ca status`. */
	"/debug/ca": ({ rotation }) => rotation?.status(),
	"/debug/list": () => Object.keys(debugPages),
};
