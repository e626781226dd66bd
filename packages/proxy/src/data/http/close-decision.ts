import type { HeadError } from "../codec/head-parser.ts";
import type { WorkerContext } from "../worker/context.ts";
import type { CompiledManager } from "./connection-manager.ts";

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
