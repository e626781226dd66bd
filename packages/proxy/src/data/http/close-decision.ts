import { hasToken, type HeadError } from "../codec/head-parser.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { httpStat } from "./http-stats.ts";
import type { HttpStream } from "./stream.ts";
import type { WorkerContext } from "../worker/context.ts";

/** Whether a response given now is to be its connection's last because the process or its health check drains. */
export function drainsNow({ context, direction }: CompiledManager): boolean {
	return context.healthcheckFailed || (context.drain !== undefined && isDrawn(context, direction));
}

/** Whether a response given now is to be its connection's last because connections are too many. */
export function isKeepaliveDisabled({ bypassesOverload, context: { overload } }: CompiledManager): boolean {
	return overload !== undefined && !bypassesOverload && overload.disablesKeepalive;
}

/** What an HTTP/1 codec answers that is not to read on. */
export const overloaded: HeadError = { status: 500, details: "overload" };

/** Whether a request over HTTP/1 is refused before it is looked at. */
export function abortsDispatch({ bypassesOverload, context: { overload } }: CompiledManager): boolean {
	return overload !== undefined && !bypassesOverload && overload.sheds("http1_server_abort_dispatch");
}

/** Graceful: the later in the drain, the likelier, so that clients come back spread out. */
function isDrawn({ drain, random, nowMs }: WorkerContext, direction: CompiledManager["direction"]): boolean {
	if (drain === undefined || (drain.inboundOnly && direction !== "inbound")) return false;
	if (!drain.graceful) return true;
	return random() * Math.max(drain.deadlineMs, 1) < nowMs() - drain.startedAt;
}

/**
 * Whether a response is to be the last of its HTTP/1 connection, which has had so many `requests`. `asked`: the request's
 * `connection`; `isEnding`: the connection has lived long enough, or its listener has.
 */
export function mustCloseAfter({ manager, request, upgrade }: HttpStream, asked: string | undefined, requests: number, isEnding: boolean): boolean {
	const { maxRequestsPerConnection } = manager.config;
	if (maxRequestsPerConnection > 0 && requests >= maxRequestsPerConnection) {
		manager.count(httpStat.downstream_cx_max_requests_reached);
		return true;
	}
	if (isEnding) return true;
	if (drainsNow(manager)) {
		if (!manager.context.healthcheckFailed) manager.count(httpStat.downstream_cx_drain_close);
		return true;
	}
	if (isKeepaliveDisabled(manager)) {
		manager.count(httpStat.downstream_cx_overload_disable_keepalive);
		return true;
	}
	return upgrade !== "" || wantsClose(request.version, asked);
}

function wantsClose(version: number, asked: string | undefined): boolean {
	if (asked === undefined) return version === 10;
	return hasToken(asked, "close") || (version === 10 && !hasToken(asked, "keep-alive"));
}
