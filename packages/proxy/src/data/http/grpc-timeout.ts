import type { RouteAction } from "../../config/routes.ts";
import { known } from "../codec/known-names.ts";
import type { RequestHead } from "../codec/request-head.ts";
import { isGrpc } from "../match/route-table.ts";
import type { HttpStream } from "./stream.ts";

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

/** Most digits that gRPC allows, in the units that are tried one after the other. */
const timeoutMax = 99_999_999;
const coarserUnits = [
	["m", 1],
	["S", 1000],
	["M", 60_000],
	["H", 3_600_000],
] as const;

export function formatGrpcTimeout(ms: number): string {
	for (const [unit, unitMs] of coarserUnits) if (Math.floor(ms / unitMs) <= timeoutMax) return `${Math.floor(ms / unitMs)}${unit}`;
	return `${timeoutMax}H`;
}

/** How long the whole stream may last by its route; a caller's own deadline counts where the route lets it. gRPC callees are told. */
export function limitStream({ request, timers }: HttpStream, { grpcDeadline, maxStreamDurationMs }: RouteAction): void {
	const asked = grpcDeadline !== undefined && request.hasKnown(known["grpc-timeout"]) ? parseGrpcTimeout(request.get("grpc-timeout")) : undefined;
	if (asked !== undefined && grpcDeadline !== undefined) {
		const { maxMs, offsetMs } = grpcDeadline;
		const limitMs = Math.max(0, (maxMs !== 0 && asked > maxMs ? maxMs : asked) - offsetMs);
		timers.endAfter(limitMs);
		return tellDeadline(request, limitMs);
	}
	if (maxStreamDurationMs === undefined) return;
	timers.setMaxDuration(maxStreamDurationMs);
	if (maxStreamDurationMs > 0) tellDeadline(request, maxStreamDurationMs);
}

function tellDeadline(request: RequestHead, ms: number): void {
	if (request.hasKnown(known["content-type"]) && isGrpc(request)) request.set("grpc-timeout", formatGrpcTimeout(ms));
}
