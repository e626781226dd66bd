import { errorCode } from "../data/http2/protocol.ts";
import { grpcStatusName } from "../data/headers/grpc-status.ts";
import type { ResetReason } from "../data/upstream/exchange.ts";

/** gRPC's status codes (grpc/doc/statuscodes.md). */
export const grpcCode = {
	ok: 0,
	cancelled: 1,
	unknown: 2,
	invalidArgument: 3,
	deadlineExceeded: 4,
	permissionDenied: 7,
	resourceExhausted: 8,
	unimplemented: 12,
	internal: 13,
	unavailable: 14,
	unauthenticated: 16,
} as const;

/** How a call ended. */
export interface GrpcStatus {
	/** 0: well. */
	readonly code: number;
	readonly message: string;
	/** The server has not looked at the call: it may be made again, whatever it does (RFC 9113 §8.7). */
	readonly isUnprocessed: boolean;
}

/** For logs. */
export function statusText({ code, message }: GrpcStatus): string {
	const name = grpcStatusName(code, true);
	return message === "" ? name : `${name}: ${message}`;
}

export function grpcStatus(code: number, message: string): GrpcStatus {
	return { code, message, isUnprocessed: false };
}

/** Of an answer that is not gRPC's (grpc/doc/http-grpc-status-mapping.md). */
export function codeOfHttpStatus(status: number): number {
	switch (status) {
		case 400:
			return grpcCode.internal;
		case 401:
			return grpcCode.unauthenticated;
		case 403:
			return grpcCode.permissionDenied;
		case 404:
			return grpcCode.unimplemented;
		case 429:
		case 502:
		case 503:
		case 504:
			return grpcCode.unavailable;
		default:
			return grpcCode.unknown;
	}
}

const words: Readonly<Record<ResetReason, string>> = {
	connectionTermination: "the connection was closed",
	protocolError: "the server broke the rules of HTTP/2",
	localReset: "the call was reset",
	remoteReset: "the server reset the call",
	remoteRefused: "the server refused the call",
	unprocessed: "the server is going away",
};

/** Of a call that was broken off; `http2Code`: of the peer's RST_STREAM (grpc/doc/PROTOCOL-HTTP2.md, "Errors"). */
export function statusOfReset(reason: ResetReason, http2Code: number, detail: string): GrpcStatus {
	const isUnprocessed = reason === "remoteRefused" || reason === "unprocessed";
	const message = detail === "" ? words[reason] : `${words[reason]}: ${detail}`;
	return { code: isUnprocessed || reason === "connectionTermination" ? grpcCode.unavailable : codeOfReset(reason, http2Code), message, isUnprocessed };
}

function codeOfReset(reason: ResetReason, http2Code: number): number {
	if (reason !== "remoteReset") return grpcCode.internal;
	switch (http2Code) {
		case errorCode.cancel:
			return grpcCode.cancelled;
		case errorCode.enhanceYourCalm:
			return grpcCode.resourceExhausted;
		case errorCode.inadequateSecurity:
			return grpcCode.permissionDenied;
		default:
			return grpcCode.internal;
	}
}

/** `grpc-status` and `grpc-message` as they came. */
export function statusOfFields(status: string, message: string): GrpcStatus {
	if (!/^\d{1,3}$/.test(status)) return grpcStatus(grpcCode.unknown, `the server gave the status ${JSON.stringify(status)}`);
	return grpcStatus(Number(status), decodeMessage(message));
}

/** Percent-encoded UTF-8; what is not well encoded stays as it is, as gRPC asks for. */
function decodeMessage(text: string): string {
	if (!text.includes("%")) return text;
	try {
		return decodeURIComponent(text);
	} catch {
		return text;
	}
}
