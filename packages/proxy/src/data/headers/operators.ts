import { randomUUID } from "node:crypto";
import { formatResponseFlags, formatResponseFlagsLong } from "../log/response-flags.ts";
import { logTypeOf } from "../log/log-type.ts";
import { type ConnectionInfo, type StreamInfo, streamIdOf, type TlsInfo } from "../log/stream-info.ts";
import { formatRange, parseIp } from "../match/cidr.ts";
import { portOf, withoutPort } from "./address-text.ts";
import { filterStateOperator, TypedText } from "./filter-state-operator.ts";
import type { FormatterEnvironment } from "./formatter.ts";
import { requestOperators } from "./request-operators.ts";
import { grpcStatusName, grpcStatusOf } from "./grpc-status.ts";
import { requestHeadBytes, responseHeadBytes } from "./head-size.ts";
import { firstReader, type HeadersView } from "./headers-view.ts";
import { inlineResponseHeaders } from "./inline-headers.ts";
import { compileTimeFormat } from "./time-format.ts";

export type OperatorValue = string | number | boolean | object | undefined;
export type ReadOperator = (info: StreamInfo) => OperatorValue;

export interface Call {
	readonly name: string;
	readonly argument: string | undefined;
	readonly environment: FormatterEnvironment;
}

/** A reader, or what is wrong with the operator. */
export type Compile = (call: Call) => ReadOperator | string;

/** `NAME`, `NAME(argument)`, `NAME(argument):length`. A string is an error. */
export function compileOperator(text: string, environment: FormatterEnvironment): ReadOperator | string {
	const match = /^([A-Z0-9_]+)(?:\((.*)\))?(?::(\d+))?$/s.exec(text);
	if (!match) return `%${text}% is not a format operator`;
	const [, name = "", argument, length] = match;
	if (length !== undefined && !takesLength.test(name)) return `%${name}% takes no length`;
	const simple = simpleOperators.get(name);
	if (simple && argument === undefined) return truncate(simple, length);
	const compile = operatorsWithArgument.get(name);
	if (!compile) return simple ? `%${name}% takes no argument` : `%${name}% is not a known format operator`;
	const read = compile({ name, argument, environment });
	return typeof read === "string" ? read : truncate(read, length);
}

const takesLength =
	/^(REQ|REQUEST_HEADER|REQ_WITHOUT_QUERY|RESP|RESPONSE_HEADER|TRAILER|RESPONSE_TRAILER|PATH|QUERY_PARAMS?|ENVIRONMENT|METADATA|DYNAMIC_METADATA|FILTER_STATE|(TYPED_)?CEL)$/;

function truncate(read: ReadOperator, length: string | undefined): ReadOperator {
	if (length === undefined) return read;
	const charactersMax = Number(length);
	return (info) => {
		const value = read(info);
		if (value instanceof TypedText) return JSON.stringify(value).slice(0, charactersMax);
		return typeof value === "string" ? value.slice(0, charactersMax) : value;
	};
}

const elapsed = (from: number, to: number): number | undefined => (from < 0 || to < 0 ? undefined : Math.max(0, Math.floor(to - from)));

const addresses: readonly (readonly [name: string, read: (info: StreamInfo) => string])[] = [
	["UPSTREAM_LOCAL_ADDRESS", (info) => info.upstreamLocalAddress],
	["UPSTREAM_REMOTE_ADDRESS", (info) => info.upstreamHost],
	["DOWNSTREAM_LOCAL_ADDRESS", (info) => info.connection.localAddress],
	["DOWNSTREAM_REMOTE_ADDRESS", (info) => info.connection.remoteAddress],
	["DOWNSTREAM_DIRECT_REMOTE_ADDRESS", (info) => info.connection.directRemoteAddress],
];

/** `…_WITHOUT_PORT(bits)`: the range of so many bits that the address is in. */
const maskedAddress =
	(readAddress: (info: StreamInfo) => string): Compile =>
	({ name, argument = "" }) => {
		if (argument !== "" && !/^\d{1,3}$/.test(argument)) return `%${name}(${argument})% takes the length of a prefix`;
		return (info) => {
			const address = withoutPort(readAddress(info));
			const ip = argument === "" ? undefined : parseIp(address);
			return ip === undefined ? address : formatRange(ip, Number(argument));
		};
	};

/** Of the attempts it is the last that counts, as in Envoy, and only if it got a connection. */
const attempted =
	(read: (info: StreamInfo) => string): ReadOperator =>
	(info) =>
		info.upstreamLocalAddress === "" ? undefined : read(info);
const hostName = (info: StreamInfo): string => info.upstreamHostName || info.upstreamHost;

const readTls =
	(tlsOf: (info: StreamInfo) => TlsInfo | undefined) =>
	(read: (tls: TlsInfo) => OperatorValue): ReadOperator =>
	(info) => {
		const tls = tlsOf(info);
		return tls && read(tls);
	};

function tlsOperators(side: "DOWNSTREAM" | "UPSTREAM", tlsOf: (info: StreamInfo) => TlsInfo | undefined): readonly (readonly [string, ReadOperator])[] {
	const field = readTls(tlsOf);
	return [
		[`${side}_TLS_VERSION`, field((tls) => tls.version)],
		[`${side}_TLS_CIPHER`, field((tls) => tls.cipher)],
		[`${side}_TLS_SESSION_ID`, field((tls) => tls.sessionId)],
		[`${side}_PEER_URI_SAN`, field((tls) => tls.peerUriSans.join(","))],
		[`${side}_PEER_DNS_SAN`, field((tls) => tls.peerDnsSans.join(","))],
		[`${side}_PEER_IP_SAN`, field((tls) => tls.peerIpSans.join(","))],
		[`${side}_PEER_EMAIL_SAN`, field((tls) => tls.peerEmailSans.join(","))],
		[`${side}_PEER_SUBJECT`, field((tls) => tls.peerSubject)],
		[`${side}_PEER_ISSUER`, field((tls) => tls.peerIssuer)],
		[`${side}_PEER_SERIAL`, field((tls) => tls.peerSerial)],
		[`${side}_PEER_FINGERPRINT_256`, field((tls) => tls.peerFingerprint256)],
		[`${side}_PEER_FINGERPRINT_1`, field((tls) => tls.peerFingerprint1)],
		[`${side}_PEER_CERT`, field((tls) => encodeURIComponent(tls.peerCertificatePem))],
		[`${side}_LOCAL_URI_SAN`, field((tls) => tls.localUriSans.join(","))],
		[`${side}_LOCAL_DNS_SAN`, field((tls) => tls.localDnsSans.join(","))],
		[`${side}_LOCAL_IP_SAN`, field((tls) => tls.localIpSans.join(","))],
		[`${side}_LOCAL_EMAIL_SAN`, field((tls) => tls.localEmailSans.join(","))],
		[`${side}_LOCAL_SUBJECT`, field((tls) => tls.localSubject)],
	];
}

const connection =
	(read: (connection: ConnectionInfo) => OperatorValue): ReadOperator =>
	(info) =>
		read(info.connection);

const simpleOperators: ReadonlyMap<string, ReadOperator> = new Map<string, ReadOperator>([
	["PROTOCOL", (info) => info.protocol],
	["UPSTREAM_PROTOCOL", (info) => info.upstreamProtocol],
	["RESPONSE_CODE", (info) => info.responseCode],
	["RESPONSE_CODE_DETAILS", (info) => info.responseCodeDetails],
	["CONNECTION_TERMINATION_DETAILS", (info) => info.connectionTerminationDetails],
	["RESPONSE_FLAGS", (info) => formatResponseFlags(info.responseFlags, info.request === undefined)],
	["RESPONSE_FLAGS_LONG", (info) => formatResponseFlagsLong(info.responseFlags)],
	["BYTES_RECEIVED", (info) => info.bytesReceived],
	["BYTES_SENT", (info) => info.bytesSent],
	["REQUEST_HEADERS_BYTES", ({ request }) => (request === undefined ? 0 : requestHeadBytes(request))],
	["DOWNSTREAM_HEADER_BYTES_RECEIVED", (info) => info.requestHeaderBytes],
	["RESPONSE_HEADERS_BYTES", ({ response }) => (response === undefined ? 0 : responseHeadBytes(response))],
	["DOWNSTREAM_HEADER_BYTES_SENT", (info) => info.responseHeaderBytes],
	["UPSTREAM_WIRE_BYTES_SENT", (info) => info.upstreamWireBytesSent],
	["UPSTREAM_WIRE_BYTES_RECEIVED", (info) => info.upstreamWireBytesReceived],
	["DOWNSTREAM_WIRE_BYTES_SENT", (info) => info.downstreamWireBytesSent],
	["DOWNSTREAM_WIRE_BYTES_RECEIVED", (info) => info.downstreamWireBytesReceived],
	["DURATION", (info) => elapsed(info.startAt, info.endAt)],
	["REQUEST_DURATION", (info) => elapsed(info.startAt, info.requestEndAt)],
	["REQUEST_TX_DURATION", (info) => elapsed(info.startAt, info.upstreamLastSentAt)],
	["RESPONSE_DURATION", (info) => elapsed(info.startAt, info.upstreamFirstReceivedAt)],
	["RESPONSE_TX_DURATION", (info) => elapsed(info.upstreamFirstReceivedAt, info.endAt)],
	["ROUTE_NAME", (info) => info.routeName],
	["VIRTUAL_CLUSTER_NAME", (info) => info.virtualClusterName],
	["UPSTREAM_CLUSTER", (info) => info.upstreamCluster],
	["UPSTREAM_CLUSTER_RAW", (info) => info.upstreamCluster],
	["UPSTREAM_HOST", (info) => info.upstreamHost],
	["UPSTREAM_HOST_NAME", hostName],
	["UPSTREAM_HOST_NAME_WITHOUT_PORT", (info) => withoutPort(hostName(info))],
	["UPSTREAM_HOSTS_ATTEMPTED", attempted((info) => info.upstreamHost)],
	["UPSTREAM_HOSTS_ATTEMPTED_WITHOUT_PORT", attempted((info) => withoutPort(info.upstreamHost))],
	["UPSTREAM_HOST_NAMES_ATTEMPTED", attempted(hostName)],
	["UPSTREAM_HOST_NAMES_ATTEMPTED_WITHOUT_PORT", attempted((info) => withoutPort(hostName(info)))],
	...addresses.map(([name, read]) => [name, read] as const),
	...addresses.map(([name, read]) => [name.replace(/ADDRESS$/, "PORT"), (info: StreamInfo) => portOf(read(info))] as const),
	...tlsOperators("DOWNSTREAM", (info) => info.connection.tls),
	...tlsOperators("UPSTREAM", (info) => info.upstreamTls),
	["UPSTREAM_TRANSPORT_FAILURE_REASON", (info) => info.upstreamTransportFailureReason.replaceAll(" ", "_")],
	["DOWNSTREAM_TRANSPORT_FAILURE_REASON", connection((c) => c.transportFailureReason)],
	["UPSTREAM_REQUEST_ATTEMPT_COUNT", (info) => info.attemptCount],
	["REQUESTED_SERVER_NAME", connection((c) => c.requestedServerName)],
	["CONNECTION_ID", connection((c) => c.id)],
	["FILTER_CHAIN_NAME", connection((c) => c.filterChainName)],
	["STREAM_ID", streamIdOf],
	["TRACE_ID", (info) => info.traceId],
	["SPAN_ID", (info) => info.spanId],
	["UNIQUE_ID", () => randomUUID()],
	["LOCAL_REPLY_BODY", (info) => info.localReplyBody],
	["GRPC_STATUS_NUMBER", (info) => grpcStatusOf(info)],
]);

const moreThanTwo = (name: string): string => `%${name}% names more than one other header`;

function firstOf(name: string): (headers: HeadersView) => string | undefined {
	const lower = name.toLowerCase();
	return inlineResponseHeaders.has(lower) ? (headers) => headers.get(lower) : (headers) => headers.first(lower);
}

const headerOperator =
	(side: (info: StreamInfo) => HeadersView | undefined): Compile =>
	({ name, argument }) => {
		const [first = "", second, third] = (argument ?? "").split("?");
		if (first === "") return `%${name}% needs a header name`;
		if (third !== undefined) return moreThanTwo(name);
		const read = firstOf(first);
		const other = second === undefined ? undefined : firstOf(second);
		return (info) => {
			const headers = side(info);
			return headers && (read(headers) ?? other?.(headers));
		};
	};

/** Request headers know `:path`, `:method` and so on. */
const requestHeaderOperator: Compile = ({ name, argument }) => {
	const [first = "", second, third] = (argument ?? "").split("?");
	if (first === "") return `%${name}% needs a header name`;
	if (third !== undefined) return moreThanTwo(name);
	const read = firstReader(first);
	const other = second === undefined ? undefined : firstReader(second);
	return ({ request }) => request && (read(request) ?? other?.(request));
};

const timeOperator =
	(read: (info: StreamInfo, environment: FormatterEnvironment) => number): Compile =>
	({ argument, environment }) => {
		const format = compileTimeFormat(argument ?? "");
		return (info) => format(read(info, environment));
	};

const metadataOperator =
	(side: (info: StreamInfo) => Readonly<Record<string, unknown>> | undefined): Compile =>
	({ name, argument }) => {
		const path = (argument ?? "").split(":");
		if (path[0] === "") return `%${name}% needs a namespace`;
		return (info) => path.reduce<unknown>((at, key) => (isRecord(at) && Object.hasOwn(at, key) ? at[key] : undefined), side(info)) as OperatorValue;
	};

const metadataKinds: Readonly<Record<string, Compile>> = {
	DYNAMIC: metadataOperator((info) => info.dynamicMetadata),
	CLUSTER: metadataOperator((info) => info.clusterMetadata),
	UPSTREAM_HOST: metadataOperator((info) => info.upstreamMetadata),
	ROUTE: metadataOperator((info) => info.routeMetadata),
	VIRTUAL_HOST: metadataOperator((info) => info.virtualHostMetadata),
	LISTENER: metadataOperator((info) => info.connection.listenerMetadata),
};

/** `METADATA(kind:namespace:key…)`. */
function metadataOfKind(call: Call): ReadOperator | string {
	const [kind = "", ...path] = (call.argument ?? "").split(":");
	const compile = Object.hasOwn(metadataKinds, kind) ? metadataKinds[kind] : undefined;
	return (
		compile?.({ ...call, argument: path.join(":") }) ??
		`%METADATA(${call.argument ?? ""})%: ${kind || "no kind"} is not one of ${Object.keys(metadataKinds).join(", ")}`
	);
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
	return typeof value === "object" && value !== null;
}

const commonPoints: Readonly<Record<string, (info: StreamInfo) => number>> = {
	DS_RX_BEG: (info) => info.startAt,
	DS_RX_END: (info) => info.requestEndAt,
	US_TX_BEG: (info) => info.upstreamFirstSentAt,
	US_TX_END: (info) => info.upstreamLastSentAt,
	US_RX_BEG: (info) => info.upstreamFirstReceivedAt,
	US_RX_END: (info) => info.upstreamLastReceivedAt,
	DS_TX_BEG: (info) => info.downstreamFirstSentAt,
	DS_TX_END: (info) => info.endAt,
};

/** `COMMON_DURATION(start:end:precision)`. */
const commonDuration: Compile = ({ argument }) => {
	const [from = "", to = "", precision = "ms"] = (argument ?? "").split(":");
	const [start, end] = [commonPoints[from], commonPoints[to]];
	const scale = { ms: 1, us: 1e3, ns: 1e6 }[precision];
	if (!start || !end || scale === undefined) return `%COMMON_DURATION(${argument ?? ""})% must be (start:end), (start:end:us) or (start:end:ns)`;
	return (info) => {
		const [a, b] = [start(info), end(info)];
		return a < 0 || b < 0 ? undefined : Math.max(0, Math.floor((b - a) * scale));
	};
};

const grpcStatus: Compile = ({ argument }) => {
	const format = argument ?? "CAMEL_STRING";
	if (format === "NUMBER") return grpcStatusOf;
	if (format !== "CAMEL_STRING" && format !== "SNAKE_STRING") return `%GRPC_STATUS(${format})% must be CAMEL_STRING, SNAKE_STRING or NUMBER`;
	return (info) => {
		const status = grpcStatusOf(info);
		return status === undefined ? undefined : grpcStatusName(status, format === "SNAKE_STRING");
	};
};

const request = requestHeaderOperator;
const response = headerOperator((info) => info.response);
const trailer = headerOperator((info) => info.responseTrailers);

/** `DOWNSTREAM_PEER_CERT_V_START(format)`: by default as OpenSSL's text form, in UTC. */
const validity =
	(tlsOf: (info: StreamInfo) => TlsInfo | undefined, read: (tls: TlsInfo) => number): Compile =>
	({ argument }) => {
		const format = compileTimeFormat(argument ?? "");
		return readTls(tlsOf)((tls) => (Number.isNaN(read(tls)) ? undefined : format(read(tls))));
	};
const downstreamTls = (info: StreamInfo) => info.connection.tls;
const upstreamTls = (info: StreamInfo) => info.upstreamTls;

const operatorsWithArgument: ReadonlyMap<string, Compile> = new Map<string, Compile>([
	...requestOperators,
	...addresses.map(([name, read]) => [`${name}_WITHOUT_PORT`, maskedAddress(read)] as const),
	["REQ", request],
	["REQUEST_HEADER", request],
	["RESP", response],
	["RESPONSE_HEADER", response],
	["TRAILER", trailer],
	["RESPONSE_TRAILER", trailer],
	["START_TIME", timeOperator((info) => info.startTimeMs)],
	["EMIT_TIME", timeOperator((_info, environment) => environment.nowMs())],
	["DYNAMIC_METADATA", metadataOperator((info) => info.dynamicMetadata)],
	["CLUSTER_METADATA", metadataOperator((info) => info.clusterMetadata)],
	["UPSTREAM_METADATA", metadataOperator((info) => info.upstreamMetadata)],
	["ROUTE_METADATA", metadataOperator((info) => info.routeMetadata)],
	["METADATA", metadataOfKind],
	["DOWNSTREAM_PEER_CERT_V_START", validity(downstreamTls, (tls) => tls.peerValidFromMs)],
	["DOWNSTREAM_PEER_CERT_V_END", validity(downstreamTls, (tls) => tls.peerValidToMs)],
	["UPSTREAM_PEER_CERT_V_START", validity(upstreamTls, (tls) => tls.peerValidFromMs)],
	["UPSTREAM_PEER_CERT_V_END", validity(upstreamTls, (tls) => tls.peerValidToMs)],
	["FILTER_STATE", filterStateOperator],
	["GRPC_STATUS", grpcStatus],
	["COMMON_DURATION", commonDuration],
	[
		"HOSTNAME",
		({ environment }) =>
			() =>
				environment.hostname,
	],
	["ACCESS_LOG_TYPE", ({ argument }) => (argument === undefined ? logTypeOf : "%ACCESS_LOG_TYPE% takes no argument")],
	["ENVIRONMENT", ({ argument, environment }) => (argument ? () => environment.env[argument] ?? "-" : "%ENVIRONMENT% needs a name")],
]);
