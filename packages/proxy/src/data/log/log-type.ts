import type { StreamInfo } from "./stream-info.ts";

/** When a line is written; Envoy's words. `NotSet`: by a listener, of a connection; or nothing is logged yet. */
export type LogType = "NotSet" | "TcpUpstreamConnected" | "TcpPeriodic" | "TcpConnectionEnd" | "DownstreamEnd";

/** At the end, of a request or of a connection, unless whoever logs says otherwise. */
export function logTypeOf({ endAt, request, logType }: StreamInfo): LogType {
	if (endAt < 0) return logType ?? "NotSet";
	return logType ?? (request === undefined ? "TcpConnectionEnd" : "DownstreamEnd");
}
