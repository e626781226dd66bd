import { exactBalance } from "./connection-balance.ts";
import { type MeshConfig, parseDurationMs } from "@weft/api";
import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { blackHoleCluster, outboundClusterName, passthroughCluster } from "../routes/cluster-name.ts";
import { durationOfMs } from "../routes/values.ts";
import type { Scope } from "../../model/push.ts";
import type { Protocol } from "../../model/service.ts";
import { addressOf, alsoIpv6, listenerName, type SocketAddressValue } from "./addresses.ts";
import { httpInspector, tlsInspector } from "./listener-filters.ts";
import type { ListenerInput } from "./listener-input.ts";
import { type AnyNetworkFilter, passFilters } from "./network-filters.ts";

/** One filter chain of an outbound listener before it is known what else the listener holds. */
export interface ChainDraft {
	readonly kind: "http" | "tcp";
	/** Envoy's FilterChainMatch; undefined takes everything. */
	readonly match: ChainMatch | undefined;
	readonly filters: readonly AnyNetworkFilter[];
	/** `filter_metadata.istio.config` of the VirtualService it came from. */
	readonly metadata?: object | undefined;
}

export interface ChainMatch {
	readonly prefixRanges?: readonly { readonly addressPrefix: string; readonly prefixLen: number }[];
	readonly serverNames?: readonly string[];
	readonly applicationProtocols?: readonly string[];
	readonly transportProtocol?: string;
}

/** An outbound listener that services still add to. */
export interface ListenerDraft {
	readonly address: SocketAddressValue;
	readonly bindToPort: boolean;
	/** Of the service port that was the first to listen there. */
	readonly protocol: Protocol;
	readonly chains: ChainDraft[];
}

/** Time for a TLS handshake with the application or a client. */
export const handshakeTimeout = { seconds: 15n, nanos: 0 };

/**
 * Adds what of a chain no older one has claimed: Envoy refuses a listener in which two chains match the same server name
 * or range, and with it everything else that the listener serves.
 */
export function addChain(draft: ListenerDraft, chain: ChainDraft): void {
	const taken = new Set(draft.chains.flatMap(({ match }) => claimsOf(match)));
	const { match } = chain;
	if (!claimsOf(match).some((claim) => taken.has(claim))) {
		draft.chains.push(chain);
		return;
	}
	const isFree = (part: ChainMatch) => !claimsOf(part).some((claim) => taken.has(claim));
	if (match?.serverNames) {
		const serverNames = match.serverNames.filter((name) => isFree({ ...match, serverNames: [name] }));
		if (serverNames.length > 0) draft.chains.push({ ...chain, match: { ...match, serverNames } });
	} else if (match?.prefixRanges) {
		const prefixRanges = match.prefixRanges.filter((range) => isFree({ ...match, prefixRanges: [range] }));
		if (prefixRanges.length > 0) draft.chains.push({ ...chain, match: { ...match, prefixRanges } });
	}
}

/** Every combination of range, server name and protocols that a match stands for. */
function claimsOf(match: ChainMatch | undefined): readonly string[] {
	const rest = `${match?.transportProtocol ?? ""} ${(match?.applicationProtocols ?? []).join()}`;
	const ranges = match?.prefixRanges?.map(({ addressPrefix, prefixLen }) => `${addressPrefix}/${prefixLen}`) ?? [""];
	return ranges.flatMap((range) => (match?.serverNames ?? [""]).map((name) => `${range} ${name.toLowerCase()} ${rest}`));
}

/** How long sniffing may take; 0: for ever. Then the default chain takes the connection. */
export function detectionTimeout(mesh: MeshConfig): { listenerFiltersTimeout: { seconds: bigint; nanos: number }; continueOnListenerFiltersTimeout: true } {
	const ms = mesh.protocolDetectionTimeout === undefined ? 0 : (parseDurationMs(mesh.protocolDetectionTimeout) ?? 0);
	return { listenerFiltersTimeout: durationOfMs(ms), continueOnListenerFiltersTimeout: true };
}

export function finishListener(draft: ListenerDraft, scope: Scope, input: ListenerInput): Listener {
	const { chains } = draft;
	const [only] = chains;
	const lone = chains.length === 1 && only?.match === undefined;
	const matched = lone ? chains : chains.filter(({ match }) => match !== undefined);
	const sniffs = chains.some(({ match }) => match?.applicationProtocols);
	const rest = lone ? undefined : chains.find(({ match }) => match === undefined);
	return Listener.fromPartial({
		name: listenerName(draft.address),
		address: addressOf(draft.address),
		...(draft.bindToPort ? {} : alsoIpv6(input.bothFamilies, draft.address)),
		filterChains: matched.map(chainOf),
		...(lone ? {} : { defaultFilterChain: rest ? chainOf(rest) : fallthroughChain(draft, scope, input) }),
		listenerFilters: [...(chains.some(({ match }) => match?.serverNames) ? [tlsInspector] : []), ...(sniffs ? [httpInspector] : [])],
		// Without a sniffer there is nothing to wait for.
		...detectionTimeout(sniffs ? input.meshConfig : {}),
		trafficDirection: TrafficDirection.OUTBOUND,
		...exactBalance(input.balance.outbound),
		...(draft.bindToPort ? { maxConnectionsToAcceptPerSocketEvent: 1 } : { bindToPort: false }),
	});
}

function chainOf({ match, filters, metadata }: ChainDraft): object {
	return {
		...(match ? { filterChainMatch: match } : {}),
		filters,
		transportSocketConnectTimeout: handshakeTimeout,
		...(metadata ? { metadata } : {}),
	};
}

/**
 * What no chain of the listener takes goes where the client meant it to go, or nowhere, as the outbound traffic policy says.
 * A bound listener is itself where the client meant to go.
 */
function fallthroughChain({ bindToPort }: ListenerDraft, scope: Scope, input: ListenerInput): object {
	const filters = bindToPort ? passFilters(input, "outbound", blackHoleCluster) : fallthroughFilters(scope, input);
	return { name: "PassthroughFilterChain", filterChainMatch: {}, filters };
}

export function fallthroughFilters({ outboundTrafficPolicy: { mode, egressProxy } }: Scope, input: ListenerInput): readonly AnyNetworkFilter[] {
	if (mode === "REGISTRY_ONLY") return passFilters(input, "outbound", blackHoleCluster);
	const cluster = egressProxy ? outboundClusterName(egressProxy.port, egressProxy.subset, egressProxy.host) : passthroughCluster;
	return passFilters(input, "outbound", cluster);
}
