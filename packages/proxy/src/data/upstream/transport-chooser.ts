import { isIP } from "node:net";
import type { Cluster, UpstreamTransport } from "../../config/clusters.ts";
import type { Host } from "../../config/hosts.ts";
import { upstreamServerNameKey } from "../../config/stream-data.ts";
import type { UpstreamTls } from "../../config/tls.ts";
import type { HostEntry } from "../lb/host-entry.ts";
import type { ConnectionInfo } from "../log/stream-info.ts";
import { SecureContexts } from "../tls/secure-contexts.ts";
import { UpstreamTlsTransport } from "../tls/upstream-tls.ts";
import { type ChosenTransport, fromSource, named } from "./chosen-transport.ts";
import type { PoolProtocol, UpstreamProtocol } from "./exchange.ts";
import { bothProtocols, http2Only, withoutHttp2 } from "./offered-alpn.ts";
import { createPlain } from "./plain-transport.ts";
import type { WorkerContext } from "../worker/context.ts";

export interface TransportChooser {
	/**
	 * `authority`: of the request, for automatic server names; "" for TCP. `alpn`: replaces what the cluster offers.
	 * `downstream`: for whom, where the connection shows its client's address or names it. `serverName`: instead of what
	 * the cluster says, and the downstream's filter state.
	 */
	choose(host: HostEntry, authority: string, alpn: readonly string[] | undefined, downstream?: ConnectionInfo, serverName?: string): ChosenTransport;
	/** What to offer for HTTP, given the lists of an alpn filter; undefined: what the cluster says. */
	httpAlpn(host: HostEntry, override: UpstreamAlpn | undefined, protocol: PoolProtocol): readonly string[] | undefined;
	refresh(): void;
}

/** By what is spoken with the peer. */
export type UpstreamAlpn = Readonly<Record<UpstreamProtocol, readonly string[]>>;

const chosenMax = 1024;

export function createTransportChooser(config: Cluster, context: WorkerContext): TransportChooser {
	const plain = createPlain(config, context);
	const byHost = new WeakMap<Host, UpstreamTransport>();
	const transportOf = (host: Host): UpstreamTransport => {
		if (config.transportMatches.length === 0) return config.transport;
		const known = byHost.get(host);
		if (known !== undefined) return known;
		const found = config.transportMatches.find(({ match }) => isPartOf(match, host.transportMatch))?.transport ?? config.transport;
		byHost.set(host, found);
		return found;
	};
	let contexts = new SecureContexts();
	let chosen = new Map<UpstreamTls, Map<string, UpstreamTlsTransport>>();
	// Most requests in a row take the same way.
	let last:
		| {
				readonly tls: UpstreamTls;
				readonly authority: string;
				readonly alpn: readonly string[] | undefined;
				readonly asked: string | undefined;
				readonly way: UpstreamTlsTransport;
		  }
		| undefined;
	const chooseAny = (host: HostEntry, authority: string, alpn: readonly string[] | undefined, asked: string | undefined): ChosenTransport => {
		const transport = transportOf(host.host);
		if (transport.kind === "raw") return plain;
		const { tls } = transport;
		if (last !== undefined && last.tls === tls && last.alpn === alpn && last.asked === asked && (!tls.autoSni || last.authority === authority)) return last.way;
		const name = tls.autoSni && authority !== "" ? hostNameOf(authority) : tls.sni;
		const key = [name, ...(alpn === undefined ? [] : [alpn.join(",")]), ...(asked === undefined ? [] : ["as", asked])].join(" ");
		const ways = chosen.get(tls) ?? new Map<string, UpstreamTlsTransport>();
		chosen.set(tls, ways);
		let way = ways.get(key);
		if (way === undefined) {
			if (ways.size >= chosenMax) ways.clear();
			way = new UpstreamTlsTransport(config, context, contexts, tls, { asked: asked ?? name, verified: name }, alpn ?? tls.alpn);
			ways.set(key, way);
		}
		last = { tls, authority, alpn, asked, way };
		return way;
	};
	return {
		choose(host, authority, alpn, downstream, serverName) {
			const way = chooseAny(host, authority, alpn, serverName ?? downstream?.filterState?.get(upstreamServerNameKey)?.text);
			const transport = transportOf(host.host);
			if (transport.proxyProtocol !== undefined) return named(way, transport.proxyProtocol, transport, downstream);
			return downstream?.upstreamSource === undefined ? way : fromSource(way, downstream.upstreamSource);
		},
		httpAlpn(host, override, protocol) {
			const transport = transportOf(host.host);
			if (transport.kind === "raw") return undefined;
			const { alpn } = transport.tls;
			if (protocol === "auto") return alpn.length === 0 ? bothProtocols : undefined;
			// Istio's filter speaks of mesh peers: a cluster that offers nothing of the mesh's is somebody else's server.
			if (override !== undefined && alpn.some((name) => name.startsWith("istio"))) return override[protocol];
			if (protocol === "HTTP/2") return alpn.length === 0 ? http2Only : undefined;
			return withoutHttp2(transport.tls);
		},
		refresh() {
			for (const ways of chosen.values()) for (const way of ways.values()) way.isStale = true;
			chosen = new Map();
			last = undefined;
			contexts = new SecureContexts();
		},
	};
}

function isPartOf(part: Readonly<Record<string, unknown>>, whole: Readonly<Record<string, unknown>>): boolean {
	return Object.entries(part).every(([key, value]) => Object.hasOwn(whole, key) && JSON.stringify(whole[key]) === JSON.stringify(value));
}

/** SNI is a host name: no port, no IP address (RFC 6066 §3). */
function hostNameOf(authority: string): string {
	const name = authority.replace(/:\d+$/, "");
	return isIP(name.replace(/^\[|\]$/g, "")) === 0 ? name : "";
}
