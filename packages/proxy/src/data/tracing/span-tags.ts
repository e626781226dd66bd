import { grpcStatusOf } from "../headers/grpc-status.ts";
import { withoutPort } from "../headers/address-text.ts";
import type { HttpStream } from "../http/stream.ts";
import { formatResponseFlags } from "../log/response-flags.ts";
import type { Span } from "./span.ts";

/** Envoy's tags of a request's own span, in its order. */
export function tagRequest(span: Span, stream: HttpStream, pathLengthMax: number): void {
	const { context, info, isGrpcRequest, request } = stream;
	const { tags } = span;
	const { node } = context;
	tags.push(["node_id", node.id], ["zone", node.locality.zone]);
	tags.push(["guid:x-request-id", request.get("x-request-id") ?? ""]);
	tags.push(["http.url", urlOf(stream, pathLengthMax)], ["http.method", request.method]);
	tags.push(["downstream_cluster", request.get("x-envoy-downstream-service-cluster") ?? "-"]);
	tags.push(["user_agent", request.get("user-agent") ?? "-"], ["http.protocol", info.protocol]);
	tags.push(["peer.address", withoutPort(info.connection.directRemoteAddress)]);
	const clientId = request.get("x-client-trace-id");
	if (clientId !== undefined) tags.push(["guid:x-client-trace-id", clientId]);
	if (isGrpcRequest) tagGrpcRequest(span, stream);
	tags.push(["request_size", String(info.bytesReceived)], ["response_size", String(info.bytesSent)]);
	tags.push(["component", "proxy"]);
	tagUpstream(span, stream);
	tags.push(["http.status_code", String(info.responseCode)]);
	if (isGrpcRequest) tagGrpcStatus(span, stream);
	tags.push(["response_flags", formatResponseFlags(info.responseFlags)]);
	if (info.responseCode === 0 || info.responseCode >= 500) setError(span);
}

/** What came of one attempt. */
export interface AttemptOutcome {
	readonly host: string;
	/** 1: the first. */
	readonly number: number;
	/** 0: there was no answer. */
	readonly status: number;
	/** Why there was none; "": it was given up. */
	readonly failure: string;
}

/** Of the span of one attempt. */
export function tagAttempt(span: Span, stream: HttpStream, { host, number, status, failure }: AttemptOutcome): void {
	const { info, isGrpcRequest } = stream;
	const { tags } = span;
	tags.push(["http.protocol", info.upstreamProtocol || "-"]);
	if (host !== "") tags.push(["upstream_address", host], ["peer.address", host]);
	tags.push(["component", "proxy"]);
	tagUpstream(span, stream);
	tags.push(["http.status_code", String(status)]);
	if (isGrpcRequest) tagGrpcStatus(span, stream);
	tags.push(["response_flags", formatResponseFlags(info.responseFlags)]);
	if (status === 0 || status >= 500) setError(span);
	if (failure !== "") tags.push(["error.reason", failure]);
	if (number > 1) tags.push(["retry.count", String(number - 1)]);
}

function tagUpstream({ tags }: Span, { info, router }: HttpStream): void {
	if (router.cluster === undefined) return;
	tags.push(["upstream_cluster", info.upstreamCluster], ["upstream_cluster.name", router.cluster.config.statName || info.upstreamCluster]);
}

function setError(span: Span): void {
	if (span.isError) return;
	span.isError = true;
	span.tags.push(["error", "true"]);
}

/** As the client asked for it, before the route rewrote it. */
function urlOf({ request }: HttpStream, pathLengthMax: number): string {
	const path = request.get("x-envoy-original-path") ?? request.path;
	return `${request.get("x-forwarded-proto") ?? request.scheme}://${request.authority}${path.slice(0, pathLengthMax)}`;
}

function tagGrpcRequest({ tags }: Span, { request }: HttpStream): void {
	tags.push(["grpc.path", request.path], ["grpc.authority", request.authority], ["grpc.content_type", request.get("content-type") ?? ""]);
	const timeout = request.get("grpc-timeout");
	if (timeout !== undefined) tags.push(["grpc.timeout", timeout]);
}

/** UNKNOWN, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE, DATA_LOSS: the server's fault. */
const serverFaults = new Set([2, 4, 12, 13, 14, 15]);

function tagGrpcStatus(span: Span, { info }: HttpStream): void {
	const status = grpcStatusOf(info);
	if (status === undefined) return;
	span.tags.push(["grpc.status_code", String(status)]);
	const message = info.responseTrailers?.get("grpc-message") ?? info.response?.get("grpc-message");
	if (message !== undefined) span.tags.push(["grpc.message", message]);
	if (serverFaults.has(status)) setError(span);
}
