import { grpcStatusOf, grpcStatusOfHttp } from "../headers/grpc-status.ts";
import { withoutPort } from "../headers/address-text.ts";
import type { StreamInfo, TlsInfo } from "../log/stream-info.ts";
import { CelDuration, CelTimestamp } from "./cel-values.ts";

type Read = (info: StreamInfo) => unknown;

const some = (text: string | undefined): string | undefined => (text === "" ? undefined : text);
const since = (from: number, to: number): CelDuration | undefined => (from < 0 || to < 0 ? undefined : new CelDuration(to - from));
const portOf = (address: string): bigint | undefined => {
	const port = /:(\d+)$/.exec(address)?.[1];
	return port === undefined ? undefined : BigInt(port);
};
const metadataOf = (metadata: StreamInfo["routeMetadata"]) => ({ filter_metadata: metadata ?? {} });
/** What the response says, else what its status means. */
const grpcStatus = (info: StreamInfo): bigint | undefined => {
	const status = grpcStatusOf(info) ?? (info.responseCode === 0 ? undefined : grpcStatusOfHttp(info.responseCode));
	return status === undefined ? undefined : BigInt(status);
};

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
		time: ({ startTimeMs }) => new CelTimestamp(startTimeMs),
		protocol: ({ protocol }) => some(protocol),
		duration: ({ endAt, startAt }) => since(startAt, endAt),
		size: ({ bytesReceived }) => BigInt(bytesReceived),
		total_size: ({ bytesReceived, requestHeaderBytes }) => BigInt(bytesReceived + requestHeaderBytes),
	},
	response: {
		code: ({ responseCode }) => (responseCode === 0 ? undefined : BigInt(responseCode)),
		code_details: ({ responseCodeDetails }) => some(responseCodeDetails),
		flags: ({ responseFlags }) => BigInt(responseFlags),
		grpc_status: grpcStatus,
		headers: ({ response }) => response,
		trailers: ({ responseTrailers }) => responseTrailers,
		size: ({ bytesSent }) => BigInt(bytesSent),
		total_size: ({ bytesSent, responseHeaderBytes }) => BigInt(bytesSent + responseHeaderBytes),
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
		id: ({ connection }) => BigInt(connection.id),
		mtls: ({ connection }) => connection.tls !== undefined && connection.tls.peerSubject !== "",
		requested_server_name: ({ connection }) => connection.requestedServerName,
		termination_details: ({ connectionTerminationDetails }) => some(connectionTerminationDetails),
		transport_failure_reason: ({ connection }) => some(connection.transportFailureReason),
		...tlsAttributes(({ connection }) => connection.tls),
	},
	upstream: {
		address: ({ upstreamHost }) => some(upstreamHost),
		port: ({ upstreamHost }) => portOf(upstreamHost),
		local_address: ({ upstreamLocalAddress }) => some(upstreamLocalAddress),
		transport_failure_reason: ({ upstreamTransportFailureReason }) => some(upstreamTransportFailureReason),
		request_attempt_count: ({ attemptCount }) => BigInt(attemptCount),
		host: ({ upstreamHost }) => some(withoutPort(upstreamHost)),
		...tlsAttributes(({ upstreamTls }) => upstreamTls),
	},
	metadata: { filter_metadata: ({ dynamicMetadata }) => dynamicMetadata ?? {} },
	xds: {
		cluster_name: ({ upstreamCluster }) => some(upstreamCluster),
		route_name: ({ routeName }) => some(routeName),
		filter_chain_name: ({ connection }) => connection.filterChainName,
		route_metadata: ({ routeMetadata }) => metadataOf(routeMetadata),
		cluster_metadata: ({ clusterMetadata, upstreamCluster }) => (upstreamCluster === "" ? undefined : metadataOf(clusterMetadata)),
		upstream_host_metadata: ({ upstreamMetadata, upstreamHost }) => (upstreamHost === "" ? undefined : metadataOf(upstreamMetadata)),
	},
};

function tlsAttributes(tlsOf: (info: StreamInfo) => TlsInfo | undefined): Readonly<Record<string, Read>> {
	return {
		tls_version: (info) => tlsOf(info)?.version,
		subject_local_certificate: (info) => some(tlsOf(info)?.localSubject),
		subject_peer_certificate: (info) => some(tlsOf(info)?.peerSubject),
		dns_san_peer_certificate: (info) => tlsOf(info)?.peerDnsSans[0],
		dns_san_local_certificate: (info) => tlsOf(info)?.localDnsSans[0],
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

function filterStateTexts({ filterState = new Map(), connection }: StreamInfo): ReadonlyMap<string, string> {
	return new Map([...(connection.filterState ?? []), ...filterState].map(([key, { text }]) => [key, text]));
}

export interface CelAttribute {
	readonly read: Read;
	/** undefined: they are not known before. */
	readonly fields: Readonly<Record<string, Read>> | undefined;
}

export const celAttributes: ReadonlyMap<string, CelAttribute> = new Map<string, CelAttribute>([
	...Object.entries(groups).map(([name, fields]): [string, CelAttribute] => [name, { read: (info) => new Group(fields, info), fields }]),
	["filter_state", { read: filterStateTexts, fields: undefined }],
]);
