import { type MeshConfig, parseDurationMs } from "@weft/api";
import { TrafficDirection } from "@weft/xds/generated/envoy/config/core/v3/base.ts";
import { Listener } from "@weft/xds/generated/envoy/config/listener/v3/listener.ts";
import { blackHoleCluster, outboundClusterName, passthroughCluster } from "../routes/cluster-name.ts";
import { durationOfMs } from "../routes/values.ts";
import type { Scope } from "../../model/push.ts";
import { addressOf, listenerName, type SocketAddressValue } from "./addresses.ts";
import { httpInspector, tlsInspector } from "./listener-filters.ts";
import type { ListenerInput } from "./listener-input.ts";
import { type NetworkFilter, tcpFilters } from "./network-filters.ts";

/** One filter chain of an outbound listener before it is known what else the listener holds. */
export interface ChainDraft {
	readonly kind: "http" | "tcp";
	/** Envoy's FilterChainMatch; undefined takes everything. */
	readonly match: ChainMatch | undefined;
	readonly filters: readonly NetworkFilter[];
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
	readonly chains: ChainDraft[];
}

const handshakeTimeout = { seconds: 15n, nanos: 0 };

/** Adds a chain, unless one with the same match is there: Envoy refuses two equal matches, and the older service keeps it. */
export function addChain(draft: ListenerDraft, chain: ChainDraft): void {
	const key = JSON.stringify(chain.match);
	if (!draft.chains.some(({ match }) => JSON.stringify(match) === key)) draft.chains.push(chain);
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
	const rest = lone ? undefined : chains.find(({ match }) => match === undefined);
	return Listener.fromPartial({
		name: listenerName(draft.address),
		address: addressOf(draft.address),
		filterChains: matched.map(chainOf),
		...(lone ? {} : { defaultFilterChain: rest ? chainOf(rest) : fallthroughChain(scope, input) }),
		listenerFilters: [
			...(chains.some(({ match }) => match?.serverNames) ? [tlsInspector] : []),
			...(chains.some(({ match }) => match?.applicationProtocols) ? [httpInspector] : []),
		],
		...detectionTimeout(input.meshConfig),
		trafficDirection: TrafficDirection.OUTBOUND,
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

/** What no chain of the listener takes goes where the client meant it to go, or nowhere, as the outbound traffic policy says. */
function fallthroughChain(scope: Scope, input: ListenerInput): object {
	return { name: "PassthroughFilterChain", filterChainMatch: {}, filters: fallthroughFilters(scope, input) };
}

export function fallthroughFilters({ outboundTrafficPolicy: { mode, egressProxy } }: Scope, input: ListenerInput): readonly NetworkFilter[] {
	if (mode === "REGISTRY_ONLY") return tcpFilters(input, "outbound", blackHoleCluster);
	const cluster = egressProxy ? outboundClusterName(egressProxy.port, egressProxy.subset, egressProxy.host) : passthroughCluster;
	return tcpFilters(input, "outbound", cluster);
}
