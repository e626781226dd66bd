import type { RouteAction } from "../../config/routes.ts";
import { known } from "../codec/known-names.ts";
import type { RequestHead } from "../codec/request-head.ts";
import { isGrpc } from "../match/route-table.ts";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };

/** `grpc-timeout` as gRPC writes it: up to eight digits and a unit; whole milliseconds, rounded up. undefined: not one. */
export function parseGrpcTimeout(text: string | undefined): number | undefined {
	const match = text === undefined ? null : /^(\d{1,8})([HMSmun])$/.exec(text);
	return match === null ? undefined : Math.ceil(Number(match[1]) * (unitMs[match[2] as string] as number));
}

/** How long the whole request may take; 0: for ever. gRPC callers say it themselves where the route lets them (`max_grpc_timeout`). */
export function resolveTimeoutMs(config: RouteAction, request: RequestHead): number {
	const maxMs = config.grpcTimeoutMaxMs;
	if (maxMs === undefined || !request.hasKnown(known["content-type"]) || !isGrpc(request)) return config.timeoutMs;
	const askedMs = parseGrpcTimeout(request.get("grpc-timeout")) ?? 0;
	return maxMs !== 0 && (askedMs === 0 || askedMs > maxMs) ? maxMs : askedMs;
}
