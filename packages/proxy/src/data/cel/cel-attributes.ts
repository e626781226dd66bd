import { grpcStatusOf } from "../headers/grpc-status.ts";
import { withoutPort } from "../headers/operators.ts";
import type { StreamInfo, TlsInfo } from "../log/stream-info.ts";

type Read = (info: StreamInfo) => unknown;

const some = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
const since = (from: number, to: number): number | undefined => (from < 0 || to < 0 ? undefined : to - from);
const portOf = (address: string): number | undefined => (address.includes(":") ? Number(address.slice(address.lastIndexOf(":") + 1)) : undefined);

/** https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/advanced/attributes; values are read when an expression asks for them. */
const groups: Readonly<Record<string, Readonly<Record<string, Read>>>> = {
	request: {
		path: ({ request }) => request?.path,
		url_path: ({ request }) => request?.path.replace(/\?.*$/s, ""),
		query: ({ request }) => request && /\?(.*)$/s.exec(request.path)?.[1],
		host: ({ request }) => request?.authority,
		scheme: ({ request }) => request?.scheme,
		method: ({ request }) => request?.method,
		headers: ({ request }) => request,
		referer: ({ request }) => request?.get("referer"),
		useragent: ({ request }) => request?.get("user-agent"),
		id: ({ request }) => request?.get("x-request-id"),
		time: ({ startTimeMs }) => startTimeMs,
		protocol: ({ protocol }) => some(protocol),
		duration: ({ endAt, startAt }) => since(startAt, endAt),
		size: ({ bytesReceived }) => bytesReceived,
		total_size: ({ bytesReceived, requestHeaderBytes }) => bytesReceived + requestHeaderBytes,
	},
	response: {
		code: ({ responseCode }) => (responseCode === 0 ? undefined : responseCode),
		code_details: ({ responseCodeDetails }) => some(responseCodeDetails),
		flags: ({ responseFlags }) => responseFlags,
		grpc_status: (info) => grpcStatusOf(info),
		headers: ({ response }) => response,
		trailers: ({ responseTrailers }) => responseTrailers,
		size: ({ bytesSent }) => bytesSent,
		total_size: ({ bytesSent, responseHeaderBytes }) => bytesSent + responseHeaderBytes,
		backend_latency: ({ upstreamFirstReceivedAt, upstreamFirstSentAt }) => since(upstreamFirstSentAt, upstreamFirstReceivedAt),
	},
	source: {
		address: ({ connection }) => connection.remoteAddress,
		port: ({ connection }) => portOf(connection.remoteAddress),
	},
	destination: {
		address: ({ connection }) => connection.localAddress,
		port: ({ connection }) => portOf(connection.localAddress),
	},
	connection: {
		id: ({ connection }) => connection.id,
		mtls: ({ connection }) => connection.tls !== undefined && connection.tls.peerSubject !== "",
		requested_server_name: ({ connection }) => some(connection.requestedServerName),
		termination_details: ({ connectionTerminationDetails }) => some(connectionTerminationDetails),
		...tlsAttributes(({ connection }) => connection.tls),
	},
	upstream: {
		address: ({ upstreamHost }) => some(upstreamHost),
		port: ({ upstreamHost }) => portOf(upstreamHost),
		local_address: ({ upstreamLocalAddress }) => some(upstreamLocalAddress),
		transport_failure_reason: ({ upstreamTransportFailureReason }) => some(upstreamTransportFailureReason),
		request_attempt_count: ({ attemptCount }) => attemptCount,
		host: ({ upstreamHost }) => some(withoutPort(upstreamHost)),
		...tlsAttributes(({ upstreamTls }) => upstreamTls),
	},
	metadata: { filter_metadata: ({ dynamicMetadata }) => dynamicMetadata ?? {} },
	xds: {
		cluster_name: ({ upstreamCluster }) => some(upstreamCluster),
		route_name: ({ routeName }) => some(routeName),
		filter_chain_name: ({ connection }) => some(connection.filterChainName),
		route_metadata: ({ routeMetadata }) => ({ filter_metadata: routeMetadata ?? {} }),
	},
};

function tlsAttributes(tlsOf: (info: StreamInfo) => TlsInfo | undefined): Readonly<Record<string, Read>> {
	return {
		tls_version: (info) => tlsOf(info)?.version,
		subject_local_certificate: (info) => some(tlsOf(info)?.localSubject),
		subject_peer_certificate: (info) => some(tlsOf(info)?.peerSubject),
		dns_san_peer_certificate: (info) => tlsOf(info)?.peerDnsSans[0],
		uri_san_local_certificate: (info) => tlsOf(info)?.localUriSans[0],
		uri_san_peer_certificate: (info) => tlsOf(info)?.peerUriSans[0],
		sha256_peer_certificate_digest: (info) => some(tlsOf(info)?.peerFingerprint256),
	};
}

/** A group of one request: a field is read when it is asked for. */
class Group {
	readonly #fields: Readonly<Record<string, Read>>;
	readonly #info: StreamInfo;

	constructor(fields: Readonly<Record<string, Read>>, info: StreamInfo) {
		this.#fields = fields;
		this.#info = info;
	}

	get(name: string): unknown {
		return Object.hasOwn(this.#fields, name) ? this.#fields[name]?.(this.#info) : undefined;
	}
}

export const celAttributes: ReadonlyMap<string, Read> = new Map<string, Read>([
	...Object.entries(groups).map(([name, fields]): [string, Read] => [name, (info) => new Group(fields, info)]),
	["filter_state", ({ filterState }) => filterState],
]);
