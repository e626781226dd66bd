import type { ResponseHead } from "../codec/response-head.ts";
import { grpcStatusOfHttp } from "../headers/grpc-status.ts";
import { textOf } from "./local-reply-rewrite.ts";
import type { HttpStream } from "./stream.ts";

/** An answer of the proxy's own. */
export interface LocalReply {
	readonly status: number;
	/** text/plain unless `headers` say otherwise. */
	readonly body: string | Uint8Array;
	/** Bits of log/response-flags.ts. */
	readonly flags: number;
	/** As in Envoy, what makes the answer does not see the flags yet. */
	readonly isFlaggedLate?: boolean;
	/** Envoy's response code detail. */
	readonly details: string;
	/** Lower-case name, value, name, value … */
	readonly headers?: readonly string[];
	/** The route's own answer: its mutations see `headers`, which of others' answers stand in place of what they made. */
	readonly isOfRoute?: boolean;
	/** Changes the head when the route has, before the configured rewriting and the filters see it. */
	readonly mutateHead?: (() => void) | undefined;
	/** The connection cannot be used any further. */
	readonly isClose?: boolean;
	/** The gRPC status when it is not that of the HTTP status. */
	readonly grpcStatus?: number;
}

function percentEncode(message: string): string {
	return message.replace(/[^\u0020-\u0024\u0026-\u007e]/g, (character) =>
		Array.from(Buffer.from(character, "utf8"), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
	);
}

/** As in Envoy, a JSON body loses its line end on the way into a header; a text has it only where its format says so. */
function grpcMessage(body: Buffer, isJson: boolean): string {
	const text = body.toString("utf8");
	return isJson ? text.replace(/\n$/, "") : text;
}

/** Envoy replaces control characters and spaces, so that the detail stays one word in a log. */
function cleanDetails(details: string): string {
	return details.replace(/\s/g, "_");
}

function putAll(response: ResponseHead, headers: readonly string[] = []): void {
	for (let i = 0; i < headers.length; i += 2) response.remove(headers[i] as string);
	for (let i = 0; i < headers.length; i += 2) response.append(headers[i] as string, headers[i + 1] as string);
}

/**
 * The one place where the proxy answers by itself. Once the response has begun, all that is left is to break the
 * connection off.
 */
export function sendLocalReply(stream: HttpStream, reply: LocalReply): void {
	const { info, response } = stream;
	if (reply.isFlaggedLate !== true || stream.isResponseStarted) info.responseFlags |= reply.flags;
	if (stream.isResponseStarted) {
		info.responseCodeDetails = cleanDetails(reply.details);
		stream.breakOff();
		return;
	}
	info.responseCodeDetails = cleanDetails(reply.details);
	info.localReplyBody = textOf(reply.body);
	response.clear();
	const isGrpc = stream.isGrpcRequest;
	// As in Envoy: what was wrong with this message may be wrong with where the next one is taken to begin.
	const isClose = reply.isClose === true || (reply.status === 400 && stream.request.version !== 20);
	if (reply.isOfRoute === true) putAll(response, reply.headers);
	stream.finishLocalHead();
	if (reply.isOfRoute !== true) putAll(response, reply.headers);
	reply.mutateHead?.();
	info.responseCode = reply.status;
	const ownType = response.get("content-type");
	const rewritten = stream.manager.rewriteReply?.(info, response, reply.body, isGrpc);
	info.responseFlags |= reply.flags;
	const { status, body: content } = rewritten ?? reply;
	response.status = isGrpc ? 200 : status;
	const body = typeof content === "string" ? Buffer.from(content, "utf8") : Buffer.from(content.buffer, content.byteOffset, content.byteLength);
	if (isGrpc) {
		response.set("content-type", "application/grpc");
		if (!response.has("grpc-status")) response.append("grpc-status", String(reply.grpcStatus ?? grpcStatusOfHttp(status)));
		if (body.length > 0) response.append("grpc-message", percentEncode(grpcMessage(body, rewritten?.contentType === "application/json")));
		stream.respondLocally(undefined, isClose);
		return;
	}
	// That there is none, the codec says in its own way.
	response.remove("content-length");
	if (body.length > 0 && response.status !== 204 && response.status >= 200) response.appendOwn("content-length", String(body.length));
	// Another body is of the type that its format says, unless the mapper's headers say more.
	const isRetyped = content !== reply.body && response.get("content-type") === ownType;
	if (body.length === 0) response.remove("content-type");
	else if (isRetyped || !response.has("content-type")) response.set("content-type", rewritten?.contentType || "text/plain");
	stream.respondLocally(body, isClose);
}
