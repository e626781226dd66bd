import type { StreamInfo } from "../log/stream-info.ts";

const names = [
	"OK",
	"Canceled",
	"Unknown",
	"InvalidArgument",
	"DeadlineExceeded",
	"NotFound",
	"AlreadyExists",
	"PermissionDenied",
	"ResourceExhausted",
	"FailedPrecondition",
	"Aborted",
	"OutOfRange",
	"Unimplemented",
	"Internal",
	"Unavailable",
	"DataLoss",
	"Unauthenticated",
] as const;

/** The gRPC status of a response: its trailers', else its headers' (trailers-only), else undefined. */
export function grpcStatusOf(info: StreamInfo): number | undefined {
	const text = info.responseTrailers?.get("grpc-status") ?? info.response?.get("grpc-status");
	return text !== undefined && /^\d{1,3}$/.test(text) ? Number(text) : undefined;
}

export function grpcStatusName(status: number, snake: boolean): string {
	const name = names[status];
	if (name === undefined) return String(status);
	if (!snake) return name;
	return name === "Canceled" ? "CANCELLED" : name === "OK" ? "OK" : name.replace(/(?<=.)([A-Z])/g, "_$1").toUpperCase();
}

/** Statuses that Envoy maps to 5xx: the service failed, not the call. */
export function isGrpcServerError(status: number): boolean {
	return status === 2 || status === 4 || (status >= 12 && status <= 15);
}

/** HTTP status → gRPC status, as Envoy maps them (grpc/grpc http-grpc-status-mapping). */
export function grpcStatusOfHttp(status: number): number {
	switch (status) {
		case 400:
			return 13;
		case 401:
			return 16;
		case 403:
			return 7;
		case 404:
			return 12;
		case 429:
		case 502:
		case 503:
		case 504:
			return 14;
		default:
			return 2;
	}
}
