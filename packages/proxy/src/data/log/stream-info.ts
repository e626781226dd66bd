import type { ConnectionFacts } from "../match/filter-chain.ts";
import { randomUUID } from "node:crypto";
import type { HeadersView, RequestView } from "../headers/headers-view.ts";
import type { LogType } from "./log-type.ts";

/**
 * What is known of one request (or one TCP connection) when it is logged, counted, or asked for by a header formatter.
 * The router fills plain numbers and references as it goes; strings are made only by the formatter that wants them.
 * Times marked `At` are monotonic milliseconds (`performance.now()`), -1 while they have not happened.
 */
export interface StreamInfo {
	/** Monotonic. */
	startAt: number;
	/** Epoch milliseconds of the start. */
	startTimeMs: number;
	/** Last byte of the request received from downstream. */
	requestEndAt: number;
	/** First and last byte of the request sent upstream. */
	upstreamFirstSentAt: number;
	upstreamLastSentAt: number;
	/** First and last byte of the response received from upstream. */
	upstreamFirstReceivedAt: number;
	upstreamLastReceivedAt: number;
	/** First and last byte of the response sent downstream. */
	downstreamFirstSentAt: number;
	endAt: number;

	protocol: Protocol;
	upstreamProtocol: Protocol;
	/** 0 until known. */
	responseCode: number;
	/** `via_upstream`, `route_not_found`, …; "" until known. */
	responseCodeDetails: string;
	connectionTerminationDetails: string;
	/** Bits of `response-flags.ts`. */
	responseFlags: number;
	/** Bodies only, without framing; for TCP everything. */
	bytesReceived: number;
	bytesSent: number;
	requestHeaderBytes: number;
	responseHeaderBytes: number;
	upstreamWireBytesSent: number;
	upstreamWireBytesReceived: number;
	downstreamWireBytesSent: number;
	downstreamWireBytesReceived: number;
	attemptCount: number;
	/** undefined: the end of a request, or of a connection. */
	logType: LogType | undefined;

	request: RequestView | undefined;
	response: HeadersView | undefined;
	responseTrailers: HeadersView | undefined;
	/** Given when somebody asks: `streamIdOf`. */
	streamId: string;
	requestId: string;
	traceId: string;
	/** Of the request's own span, in OpenTelemetry; "" elsewhere. */
	spanId: string;

	routeName: string;
	virtualClusterName: string;
	/** Name of the cluster taken; "" before the choice. */
	upstreamCluster: string;
	/** `ip:port`; "" when no host was taken. */
	upstreamHost: string;
	/** Host name of the endpoint, when it has one. */
	upstreamHostName: string;
	upstreamLocalAddress: string;
	upstreamTransportFailureReason: string;
	upstreamTls: TlsInfo | undefined;
	localReplyBody: string;
	/** A request that the health check filter took for one. */
	isHealthCheck: boolean;

	connection: ConnectionInfo;
	/** `%DYNAMIC_METADATA(namespace:key…)%`; undefined when no filter wrote any. */
	dynamicMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
	/** What filters say to each other and to logs; undefined when none wrote any. That of the connection is beside it. */
	filterState: FilterState | undefined;
	routeMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
	virtualHostMetadata: StreamInfo["routeMetadata"];
	clusterMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
	upstreamMetadata: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
}

/** An object that a filter made, under its key. */
export interface FilterStateObject {
	readonly text: string;
	/** `hashable`: for hash policies, too; `plain`, `address`: text that has no type of its own; `json`: the text of a message. */
	readonly kind: "text" | "hashable" | "number" | "plain" | "address" | "json";
}

export type FilterState = ReadonlyMap<string, FilterStateObject>;

export type Protocol = "" | "HTTP/1.0" | "HTTP/1.1" | "HTTP/2";

/** One downstream connection; shared by its requests. Addresses are `ip:port` (IPv6 in brackets), or a pipe's path. */
export interface ConnectionInfo {
	readonly id: number;
	readonly localAddress: string;
	/** The client as trusted headers or the PROXY protocol name it; else the direct one. */
	remoteAddress: string;
	readonly directRemoteAddress: string;
	/** Further values of the PROXY protocol header that may be passed on. */
	proxyTlvs: readonly ProxyTlv[];
	/** What listener filters wrote; network filters see it, HTTP requests do not. */
	dynamicMetadata: StreamInfo["dynamicMetadata"];
	/** What network filters made; requests see it, too. */
	filterState: FilterState | undefined;
	/** Whose address upstream connections are to show instead of the proxy's. */
	upstreamSource: UpstreamSource | undefined;
	requestedServerName: string;
	/** What chooses its filter chain, where a matcher does that. */
	detected: Pick<ConnectionFacts, "transportProtocol" | "applicationProtocols" | "isLocalSource"> | undefined;
	tls: TlsInfo | undefined;
	transportFailureReason: string;
	filterChainName: string;
	readonly listenerMetadata: StreamInfo["routeMetadata"];
	/** The connection's own, where its listener logs connections; undefined: it does not. */
	stream: StreamInfo | undefined;
}

/** One of the values that may follow the addresses in a PROXY protocol header of version 2. */
export interface ProxyTlv {
	readonly type: number;
	readonly value: Buffer;
}

const noTlvs: readonly ProxyTlv[] = [];

export interface UpstreamSource {
	readonly address: string;
	readonly mark: number;
}

/** What a TLS connection proved; read once per connection. */
export interface TlsInfo {
	readonly version: string;
	readonly cipher: string;
	readonly sessionId: string;
	readonly peerUriSans: readonly string[];
	readonly peerDnsSans: readonly string[];
	readonly peerIpSans: readonly string[];
	readonly peerEmailSans: readonly string[];
	readonly peerSubject: string;
	readonly peerIssuer: string;
	/** Lower-case hex. */
	readonly peerSerial: string;
	/** Lower-case hex SHA-256 of the peer's certificate. */
	readonly peerFingerprint256: string;
	/** Lower-case hex SHA-1, made when asked for. */
	readonly peerFingerprint1: string;
	/** PEM of the peer's certificate, made when asked for; "" without one. */
	readonly peerCertificatePem: string;
	/** Epoch milliseconds, NaN without a certificate. */
	readonly peerValidFromMs: number;
	readonly peerValidToMs: number;
	readonly localUriSans: readonly string[];
	readonly localDnsSans: readonly string[];
	readonly localIpSans: readonly string[];
	readonly localEmailSans: readonly string[];
	readonly localSubject: string;
}

export function createConnectionInfo(parts: Partial<ConnectionInfo> = {}): ConnectionInfo {
	return {
		id: parts.id ?? 0,
		localAddress: parts.localAddress ?? "",
		remoteAddress: parts.remoteAddress ?? parts.directRemoteAddress ?? "",
		directRemoteAddress: parts.directRemoteAddress ?? parts.remoteAddress ?? "",
		proxyTlvs: parts.proxyTlvs ?? noTlvs,
		dynamicMetadata: parts.dynamicMetadata,
		filterState: parts.filterState,
		upstreamSource: parts.upstreamSource,
		requestedServerName: parts.requestedServerName ?? "",
		detected: parts.detected,
		tls: parts.tls,
		transportFailureReason: parts.transportFailureReason ?? "",
		filterChainName: parts.filterChainName ?? "",
		listenerMetadata: parts.listenerMetadata,
		stream: undefined,
	};
}

/** A request's is that of its id; a connection without one gets one, the same for all who ask. */
export function streamIdOf(info: StreamInfo): string {
	if (info.streamId === "") info.streamId = info.request?.get("x-request-id") ?? randomUUID();
	return info.streamId;
}

/** Adds to what filters said under `namespace`; later values of a key replace earlier ones. */
export function mergeMetadata(info: StreamInfo, namespace: string, values: Readonly<Record<string, unknown>>): void {
	info.dynamicMetadata = { ...info.dynamicMetadata, [namespace]: { ...info.dynamicMetadata?.[namespace], ...values } };
}

export function setFilterState(owner: { filterState: FilterState | undefined }, key: string, object: FilterStateObject): void {
	owner.filterState = new Map([...(owner.filterState ?? []), [key, object]]);
}

/** Always the same shape, so that formatters stay monomorphic. Make one per stream slot and `resetStreamInfo` it for the next request. */
export function createStreamInfo(connection: ConnectionInfo): StreamInfo {
	return {
		startAt: 0,
		startTimeMs: 0,
		requestEndAt: -1,
		upstreamFirstSentAt: -1,
		upstreamLastSentAt: -1,
		upstreamFirstReceivedAt: -1,
		upstreamLastReceivedAt: -1,
		downstreamFirstSentAt: -1,
		endAt: -1,
		protocol: "",
		upstreamProtocol: "",
		responseCode: 0,
		responseCodeDetails: "",
		connectionTerminationDetails: "",
		responseFlags: 0,
		bytesReceived: 0,
		bytesSent: 0,
		requestHeaderBytes: 0,
		responseHeaderBytes: 0,
		upstreamWireBytesSent: 0,
		upstreamWireBytesReceived: 0,
		downstreamWireBytesSent: 0,
		downstreamWireBytesReceived: 0,
		attemptCount: 0,
		logType: undefined,
		request: undefined,
		response: undefined,
		responseTrailers: undefined,
		streamId: "",
		requestId: "",
		traceId: "",
		spanId: "",
		routeName: "",
		virtualClusterName: "",
		upstreamCluster: "",
		upstreamHost: "",
		upstreamHostName: "",
		upstreamLocalAddress: "",
		upstreamTransportFailureReason: "",
		upstreamTls: undefined,
		localReplyBody: "",
		isHealthCheck: false,
		connection,
		dynamicMetadata: undefined,
		filterState: undefined,
		routeMetadata: undefined,
		virtualHostMetadata: undefined,
		clusterMetadata: undefined,
		upstreamMetadata: undefined,
	};
}

/** Back to the state of a fresh one, on the same connection, without allocating. */
export function resetStreamInfo(info: StreamInfo): void {
	info.requestEndAt = info.upstreamFirstSentAt = info.upstreamLastSentAt = -1;
	info.upstreamFirstReceivedAt = info.upstreamLastReceivedAt = info.downstreamFirstSentAt = info.endAt = -1;
	info.startAt = info.startTimeMs = 0;
	info.protocol = info.upstreamProtocol = "";
	info.responseCode = info.responseFlags = info.attemptCount = 0;
	info.responseCodeDetails = info.connectionTerminationDetails = "";
	info.bytesReceived = info.bytesSent = info.requestHeaderBytes = info.responseHeaderBytes = 0;
	info.upstreamWireBytesSent = info.upstreamWireBytesReceived = 0;
	info.downstreamWireBytesSent = info.downstreamWireBytesReceived = 0;
	info.request = undefined;
	info.response = info.responseTrailers = undefined;
	info.streamId = info.requestId = info.traceId = info.spanId = "";
	info.routeName = info.virtualClusterName = info.upstreamCluster = "";
	info.upstreamHost = info.upstreamHostName = info.upstreamLocalAddress = info.upstreamTransportFailureReason = "";
	info.upstreamTls = undefined;
	info.localReplyBody = "";
	info.isHealthCheck = false;
	info.dynamicMetadata = info.routeMetadata = info.virtualHostMetadata = info.clusterMetadata = info.upstreamMetadata = undefined;
	info.filterState = undefined;
}
