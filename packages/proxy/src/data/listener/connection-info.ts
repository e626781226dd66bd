import { type ConnectionInfo, createConnectionInfo } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";

export function createServerInfo(connection: Connection, requestedServerName: string, filterChainName: string): ConnectionInfo {
	const remoteAddress = joinAddress(connection.remoteAddress, connection.remotePort);
	return createConnectionInfo({
		id: connection.id,
		localAddress: joinAddress(connection.localAddress, connection.localPort),
		remoteAddress,
		directRemoteAddress: remoteAddress,
		requestedServerName,
		filterChainName,
	});
}

export function joinAddress(address: string, port: number): string {
	return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
