import { clientPreface, errorCode, Http2ConnectionError } from "../http2/protocol.ts";
import type { OverloadState } from "../overload/overload-state.ts";
import type { ConnectionHandler } from "../transport/connection.ts";
import type { CompiledManager } from "./connection-manager.ts";
import { Http1ServerConnection } from "./http1-server-connection.ts";
import type { Http2ServerConnection } from "./http2-server-connection.ts";
import { httpStat } from "./http-stats.ts";

type HttpServer = Http1ServerConnection | Http2ServerConnection;

/** Of the overload manager, on the way from a client's bytes to its codec. */
const points = ["hcm_ondata_creating_codec", "http2_server_go_away_on_dispatch", "http2_server_go_away_and_close_on_dispatch"] as const;

/**
 * Stands between a connection and its codec where one of the points is configured, so that others pay nothing. `hasCodec`: the
 * first bytes have passed here already, for a codec of the other protocol.
 */
export function guardDispatch(server: HttpServer, { bypassesOverload, context: { overload } }: CompiledManager, hasCodec: boolean): void {
	if (overload === undefined || bypassesOverload || !points.some((point) => overload.hasPoint(point))) return;
	server.connection.handler = createGuard(server, overload, hasCodec);
}

function createGuard(server: HttpServer, overload: OverloadState, hasCodec: boolean): ConnectionHandler {
	let isFirst = !hasCodec;
	let isShed = false;
	return {
		onData(bytes, start, end) {
			if (isShed) return;
			if (isFirst && overload.sheds("hcm_ondata_creating_codec")) {
				isShed = true;
				server.manager.count(httpStat.downstream_rq_overload_close);
				return server.connection.destroy(new Error("overload"));
			}
			// HTTP/2 that is not known for it yet is judged once it is.
			const isUndecided = isFirst && server instanceof Http1ServerConnection && startsHttp2(bytes, start, end);
			isFirst = false;
			if (!isUndecided && overload.sheds("http2_server_go_away_and_close_on_dispatch")) {
				isShed = true;
				return close(server);
			}
			if (!isUndecided && overload.sheds("http2_server_go_away_on_dispatch")) server.drain(false);
			server.onData(bytes, start, end);
		},
		onEnd: () => server.onEnd(),
		onBlocked: () => server.onBlocked(),
		onDrain: () => server.onDrain(),
		onClose: (error) => server.onClose(error),
	};
}

function startsHttp2(bytes: Buffer, start: number, end: number): boolean {
	const length = Math.min(end - start, clientPreface.length);
	return bytes.compare(clientPreface, 0, length, start, start + length) === 0;
}

/** HTTP/2 says so first; over HTTP/1 there is nothing to say it with. */
function close(server: HttpServer): void {
	if (server instanceof Http1ServerConnection) return server.connection.destroy(new Error("overload"));
	server.drain(false);
	server.session.fail(new Http2ConnectionError(errorCode.noError, "overload"));
}
