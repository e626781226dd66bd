import type { StreamInfo } from "./stream-info.ts";

/** When a line is written; Envoy's words. `NotSet`: by a listener, of a connection. */
export type LogType = "NotSet" | "TcpUpstreamConnected" | "TcpPeriodic" | "TcpConnectionEnd" | "DownstreamEnd";

/** At the end, of a request or of a connection, unless whoever logs says otherwise. */
export function logTypeOf({ request, logType }: StreamInfo): LogType {
	return logType ?? (request === undefined ? "TcpConnectionEnd" : "DownstreamEnd");
}
