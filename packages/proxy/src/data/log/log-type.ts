import type { StreamInfo } from "./stream-info.ts";

/** When a line is written: at the end, of a request or of a connection. */
export function logTypeOf({ request }: StreamInfo): "DownstreamEnd" | "TcpConnectionEnd" {
	return request === undefined ? "TcpConnectionEnd" : "DownstreamEnd";
}
