import { type ConnectionInfo, createConnectionInfo } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";

/** `localAddress`: where the client wanted to go, when it was captured or the PROXY protocol says so. */
export function createServerInfo(
	connection: Connection,
	requestedServerName: string,
	filterChainName: string,
	localAddress = joinAddress(connection.localAddress, connection.localPort),
): ConnectionInfo {
	const remoteAddress = joinAddress(connection.remoteAddress, connection.remotePort);
	return createConnectionInfo({
		id: connection.id,
		localAddress,
		remoteAddress,
		directRemoteAddress: remoteAddress,
		requestedServerName,
		filterChainName,
	});
}

export function joinAddress(address: string, port: number): string {
	return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
