/** Listeners and their filter chains. */

import type { AccessLog } from "./access-logs.ts";
import type { FilterMetadata } from "./filter-metadata.ts";
import type { PlacedListenerFilter } from "./listener-filters.ts";
import type { MatcherTree } from "./matcher-tree.ts";
import type { NetworkFilter } from "./network-filters.ts";
import type { SocketAddress, SocketOptions } from "./sockets.ts";
import type { DownstreamTls } from "./tls.ts";

export interface Listener {
	readonly name: string;
	readonly address: SocketAddress;
	readonly additionalAddresses: readonly SocketAddress[];
	readonly bindToPort: boolean;
	readonly useOriginalDst: boolean;
	readonly direction: "unspecified" | "inbound" | "outbound";
	readonly statPrefix: string;
	readonly inspectTls: boolean;
	readonly inspectHttp: boolean;
	/** The HTTP inspector stands before the TLS inspector: it counts what it sees of a TLS client. */
	readonly inspectsHttpFirst: boolean;
	/** Connections that the inspector leaves alone, so that protocols whose server speaks first do not wait for the client. */
	readonly tlsInspectorDisabled: ConnectionPredicate | undefined;
	readonly httpInspectorDisabled: ConnectionPredicate | undefined;
	readonly originalDst: boolean;
	/** Upstream connections come from the client's own address, with this mark (0: none); undefined: from the proxy's. */
	readonly originalSrc: { readonly mark: number } | undefined;
	/** undefined: connections begin without a PROXY protocol header. */
	readonly proxyProtocol: ProxyProtocolOptions | undefined;
	/** All listener filters in their order, where one of them comes by itself: the fields above are then what the listener has without any. */
	readonly discoverableFilters?: readonly PlacedListenerFilter[];
	/** 0: wait for ever. */
	readonly listenerFiltersTimeoutMs: number;
	readonly continueOnListenerFiltersTimeout: boolean;
	readonly filterChains: readonly FilterChain[];
	/** Names the chain of a connection, in place of the chains' own matches. */
	readonly filterChainMatcher?: MatcherTree<{ readonly chain: string }>;
	readonly defaultFilterChain: FilterChain | undefined;
	readonly bufferBytesMax: number;
	readonly backlog: number;
	/** Each worker has as many connections as the others; else the kernel spreads them. */
	readonly exactBalance?: boolean;
	/** The overload manager, or its limit of connections, is not for this listener. */
	readonly bypassesOverload?: boolean;
	readonly ignoresConnectionLimit?: boolean;
	/** undefined: those of the system. */
	readonly socketOptions: SocketOptions | undefined;
	/** For connections that no filter chain takes. */
	readonly accessLogs: readonly AccessLog[];
	readonly metadata?: FilterMetadata | undefined;
}

export interface ProxyProtocolOptions {
	/** Connections without a header are taken as they are. */
	readonly allowWithout: boolean;
	readonly versions: readonly ("v1" | "v2")[];
	/** Which of the header's further values (TLVs) upstream connections may pass on; undefined: none. */
	readonly keptTlvs?: TlvChoice | undefined;
	/** Of its own statistics, behind `proxy_proto.`. */
	readonly statPrefix?: string;
	/** Values that become dynamic metadata of the connection, as text. */
	readonly tlvMetadata?: readonly TlvMetadata[];
}

/** Types of TLVs. */
export type TlvChoice = "all" | readonly number[];

export interface TlvMetadata {
	readonly type: number;
	readonly namespace: string;
	readonly key: string;
}

export type ConnectionPredicate =
	| { readonly kind: "any" }
	/** `end` excluded. */
	| { readonly kind: "destinationPort"; readonly start: number; readonly end: number }
	| { readonly kind: "or" | "and"; readonly rules: readonly ConnectionPredicate[] }
	| { readonly kind: "not"; readonly rule: ConnectionPredicate };

export interface FilterChainMatch {
	readonly destinationPort: number | undefined;
	/** CIDRs, e.g. `10.0.0.0/8`. */
	readonly destinationRanges: readonly string[];
	/** Lower case, `*.` wildcards allowed. */
	readonly serverNames: readonly string[];
	/** "" matches any. */
	readonly transportProtocol: "" | "tls" | "raw_buffer";
	readonly applicationProtocols: readonly string[];
	readonly directSourceRanges: readonly string[];
	readonly sourceType: "any" | "sameIpOrLoopback" | "external";
	readonly sourceRanges: readonly string[];
	readonly sourcePorts: readonly number[];
}

export interface FilterChain {
	readonly name: string;
	readonly match: FilterChainMatch;
	readonly tls: DownstreamTls | undefined;
	/** In order; the last one is terminal. */
	readonly filters: readonly NetworkFilter[];
	readonly transportSocketConnectTimeoutMs: number;
}
