import { filterStateObject } from "./filter-state.ts";
import { logTypeOf } from "./log-type.ts";
import type { DeepPartial, HTTPAccessLogEntry, TCPAccessLogEntry } from "@weft/xds/generated/envoy/data/accesslog/v3/accesslog.ts";
import { requestHeadBytes, responseHeadBytes } from "../headers/head-size.ts";
import type { HeadersView } from "../headers/headers-view.ts";
import { splitAddress } from "../headers/address-text.ts";
import type { CompiledTag } from "../tracing/custom-tags.ts";
import { type ResponseFlag, responseFlags } from "./response-flags.ts";
import { type StreamInfo, streamIdOf, type TlsInfo } from "./stream-info.ts";

type HttpEntry = DeepPartial<HTTPAccessLogEntry>;
type TcpEntry = DeepPartial<TCPAccessLogEntry>;
type Common = NonNullable<HttpEntry["commonProperties"]>;

export interface EntryOptions {
	readonly requestHeaders: readonly string[];
	readonly responseHeaders: readonly string[];
	readonly responseTrailers: readonly string[];
	readonly filterState: readonly string[];
	readonly customTags: readonly CompiledTag[];
}

const methods: Readonly<Record<string, number>> = { GET: 1, HEAD: 2, POST: 3, PUT: 4, DELETE: 5, CONNECT: 6, OPTIONS: 7, TRACE: 8, PATCH: 9 };
const versions = { "": 0, "HTTP/1.0": 1, "HTTP/1.1": 2, "HTTP/2": 3 } as const;
/** Values of `AccessLogType`. */
const logTypes = { NotSet: 0, TcpUpstreamConnected: 1, TcpPeriodic: 2, TcpConnectionEnd: 3, DownstreamEnd: 6 } as const;

export function buildHttpEntry(info: StreamInfo, options: EntryOptions): HttpEntry {
	const { request, response } = info;
	const original = request?.get("x-envoy-original-path");
	return {
		commonProperties: buildCommon(info, options),
		protocolVersion: versions[info.protocol],
		request: {
			requestMethod: (methods[request?.method ?? ""] ?? 0) as 0,
			scheme: request?.scheme,
			authority: request?.authority,
			path: request?.path,
			userAgent: request?.get("user-agent"),
			referer: request?.get("referer"),
			forwardedFor: request?.get("x-forwarded-for"),
			requestId: request?.get("x-request-id"),
			originalPath: original,
			requestHeadersBytes: BigInt(request === undefined ? 0 : requestHeadBytes(request)),
			requestBodyBytes: BigInt(info.bytesReceived),
			requestHeaders: pick(request, options.requestHeaders),
			downstreamHeaderBytesReceived: BigInt(info.requestHeaderBytes),
		},
		response: {
			responseCode: info.responseCode === 0 ? undefined : info.responseCode,
			responseHeadersBytes: BigInt(response === undefined ? 0 : responseHeadBytes(response)),
			responseBodyBytes: BigInt(info.bytesSent),
			responseHeaders: pick(response, options.responseHeaders),
			responseTrailers: pick(info.responseTrailers, options.responseTrailers),
			responseCodeDetails: info.responseCodeDetails,
			downstreamHeaderBytesSent: BigInt(info.responseHeaderBytes),
		},
	};
}

export function buildTcpEntry(info: StreamInfo, options: EntryOptions): TcpEntry {
	return {
		commonProperties: buildCommon(info, options),
		connectionProperties: { receivedBytes: BigInt(info.bytesReceived), sentBytes: BigInt(info.bytesSent) },
	};
}

function buildCommon(info: StreamInfo, options: EntryOptions): Common {
	const { connection, startAt } = info;
	const until = (at: number) => (at < 0 ? undefined : durationOf(at - startAt));
	return {
		downstreamRemoteAddress: addressOf(connection.remoteAddress),
		downstreamDirectRemoteAddress: addressOf(connection.directRemoteAddress),
		downstreamLocalAddress: addressOf(connection.localAddress),
		tlsProperties: connection.tls && tlsOf(connection.tls, connection.requestedServerName),
		startTime: timestampOf(info.startTimeMs),
		timeToLastRxByte: until(info.requestEndAt),
		timeToFirstUpstreamTxByte: until(info.upstreamFirstSentAt),
		timeToLastUpstreamTxByte: until(info.upstreamLastSentAt),
		timeToFirstUpstreamRxByte: until(info.upstreamFirstReceivedAt),
		timeToLastUpstreamRxByte: until(info.upstreamLastReceivedAt),
		timeToFirstDownstreamTxByte: until(info.downstreamFirstSentAt),
		timeToLastDownstreamTxByte: info.request === undefined ? undefined : until(info.endAt),
		duration: until(info.endAt),
		upstreamRemoteAddress: addressOf(info.upstreamHost),
		upstreamLocalAddress: addressOf(info.upstreamLocalAddress),
		upstreamCluster: info.upstreamCluster,
		upstreamTransportFailureReason: info.upstreamTransportFailureReason,
		upstreamRequestAttemptCount: info.attemptCount,
		routeName: info.routeName,
		responseFlags: flagsOf(info.responseFlags),
		metadata: info.dynamicMetadata && { filterMetadata: info.dynamicMetadata },
		filterStateObjects: filterStateObjects(info, options.filterState),
		customTags: tagsOf(info, options.customTags),
		connectionTerminationDetails: info.connectionTerminationDetails,
		downstreamTransportFailureReason: connection.transportFailureReason,
		streamId: streamIdOf(info),
		downstreamWireBytesSent: BigInt(info.downstreamWireBytesSent),
		downstreamWireBytesReceived: BigInt(info.downstreamWireBytesReceived),
		upstreamWireBytesSent: BigInt(info.upstreamWireBytesSent),
		upstreamWireBytesReceived: BigInt(info.upstreamWireBytesReceived),
		accessLogType: logTypes[logTypeOf(info)],
	};
}

function pick(headers: HeadersView | undefined, names: readonly string[]): Record<string, string> {
	const picked: Record<string, string> = {};
	if (headers === undefined) return picked;
	for (const name of names) {
		const value = headers.get(name);
		if (value !== undefined) picked[name] = value;
	}
	return picked;
}

function addressOf(text: string) {
	if (text === "") return undefined;
	if (text.startsWith("/") || text.startsWith("@")) return { pipe: { path: text } };
	const { host, port } = splitAddress(text);
	return { socketAddress: { address: host, portValue: port } };
}

/** Nanoseconds of a time of the epoch are more than a number holds: seconds are taken off first. */
function durationOf(ms: number) {
	const seconds = Math.floor(Math.max(0, ms) / 1000);
	return { seconds: BigInt(seconds), nanos: Math.min(999_999_999, Math.round((Math.max(0, ms) - seconds * 1000) * 1e6)) };
}

const timestampOf = durationOf;

const flagFields: readonly (readonly [ResponseFlag, object])[] = [
	["LH", { failedLocalHealthcheck: true }],
	["UH", { noHealthyUpstream: true }],
	["UT", { upstreamRequestTimeout: true }],
	["LR", { localReset: true }],
	["UR", { upstreamRemoteReset: true }],
	["UF", { upstreamConnectionFailure: true }],
	["UC", { upstreamConnectionTermination: true }],
	["UO", { upstreamOverflow: true }],
	["NR", { noRouteFound: true }],
	["DI", { delayInjected: true }],
	["FI", { faultInjected: true }],
	["RL", { rateLimited: true }],
	["UAEX", { unauthorizedDetails: { reason: 1 } }],
	["RLSE", { rateLimitServiceError: true }],
	["DC", { downstreamConnectionTermination: true }],
	["URX", { upstreamRetryLimitExceeded: true }],
	["SI", { streamIdleTimeout: true }],
	["IH", { invalidEnvoyRequestHeaders: true }],
	["DPE", { downstreamProtocolError: true }],
	["UMSDR", { upstreamMaxStreamDurationReached: true }],
	["RFCF", { responseFromCacheFilter: true }],
	["NFCF", { noFilterConfigFound: true }],
	["DT", { durationTimeout: true }],
	["UPE", { upstreamProtocolError: true }],
	["NC", { noClusterFound: true }],
	["OM", { overloadManager: true }],
	["DF", { dnsResolutionFailure: true }],
	["DR", { downstreamRemoteReset: true }],
];

function flagsOf(flags: number): Common["responseFlags"] {
	return flags === 0 ? undefined : Object.assign({}, ...flagFields.filter(([flag]) => (flags & responseFlags[flag]) !== 0).map(([, field]) => field));
}

/** Text of filters is a `google.protobuf.StringValue`, as Envoy's string objects are; a number has the type of its own. */
function filterStateObjects(info: StreamInfo, names: readonly string[]): Common["filterStateObjects"] {
	if ((info.filterState ?? info.connection.filterState) === undefined || names.length === 0) return undefined;
	const objects: Record<string, { typeUrl: string; value: Uint8Array }> = {};
	for (const name of names) {
		const { kind, text } = filterStateObject(info, name) ?? {};
		if (text !== undefined && kind === "number")
			objects[name] = { typeUrl: "type.googleapis.com/google.protobuf.UInt32Value", value: encodeNumber(Number(text)) };
		else if (text !== undefined && kind !== "plain") objects[name] = { typeUrl: "type.googleapis.com/google.protobuf.StringValue", value: encodeString(text) };
	}
	return objects;
}

/** Field 1, length-delimited. */
function encodeString(text: string): Uint8Array {
	const bytes = Buffer.from(text);
	return Buffer.concat([Buffer.from([0x0a, ...varint(bytes.length)]), bytes]);
}

/** Field 1, of 32 bits at most. */
function encodeNumber(value: number): Uint8Array {
	return Buffer.from([0x08, ...varint(value)]);
}

function varint(value: number): readonly number[] {
	const bytes: number[] = [];
	for (let rest = value; ; rest >>>= 7) {
		bytes.push(rest >>> 0 < 0x80 ? rest : (rest & 0x7f) | 0x80);
		if (rest >>> 0 < 0x80) return bytes;
	}
}

function tagsOf(info: StreamInfo, tags: readonly CompiledTag[]): Common["customTags"] {
	if (tags.length === 0) return undefined;
	return Object.fromEntries(tags.map(({ name, read }) => [name, read(info)] as const).filter(([, value]) => value !== ""));
}

const tlsVersions: Readonly<Record<string, number>> = { TLSv1: 1, "TLSv1.1": 2, "TLSv1.2": 3, "TLSv1.3": 4 };

/** The numbers that IANA gave the suites which a proxy may agree upon. */
const cipherSuites: Readonly<Record<string, number>> = {
	TLS_AES_128_GCM_SHA256: 0x1301,
	TLS_AES_256_GCM_SHA384: 0x1302,
	TLS_CHACHA20_POLY1305_SHA256: 0x1303,
	TLS_RSA_WITH_AES_128_CBC_SHA: 0x002f,
	TLS_RSA_WITH_AES_256_CBC_SHA: 0x0035,
	TLS_RSA_WITH_AES_128_GCM_SHA256: 0x009c,
	TLS_RSA_WITH_AES_256_GCM_SHA384: 0x009d,
	TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA: 0xc009,
	TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA: 0xc00a,
	TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA: 0xc013,
	TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA: 0xc014,
	TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: 0xc02b,
	TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: 0xc02c,
	TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: 0xc02f,
	TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: 0xc030,
	TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: 0xcca8,
	TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: 0xcca9,
};

function tlsOf(tls: TlsInfo, serverName: string): Common["tlsProperties"] {
	return {
		tlsVersion: (tlsVersions[tls.version] ?? 0) as 0,
		tlsCipherSuite: cipherSuites[tls.cipher],
		tlsSniHostname: serverName,
		tlsSessionId: tls.sessionId,
		localCertificateProperties: { subjectAltName: tls.localUriSans.map((uri) => ({ uri })), subject: tls.localSubject },
		peerCertificateProperties: { subjectAltName: tls.peerUriSans.map((uri) => ({ uri })), subject: tls.peerSubject, issuer: tls.peerIssuer },
	};
}
