import type { ProxyProtocolOptions } from "../../config/listeners.ts";
import type { SocketAddress } from "../../config/sockets.ts";
import { type ConnectionInfo, createConnectionInfo, type ProxyTlv } from "../log/stream-info.ts";
import type { Connection } from "../transport/connection.ts";
import { chooseTlvs } from "../upstream/proxy-protocol-header.ts";

/** `localAddress`: where the client wanted to go, when it was captured or the PROXY protocol says so. */
export function createServerInfo(
	connection: Connection,
	requestedServerName: string,
	filterChainName: string,
	listenerMetadata: ConnectionInfo["listenerMetadata"],
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
		listenerMetadata,
	});
}

export function joinAddress(address: string, port: number): string {
	return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** What of the client's TLVs may be passed on, and what becomes metadata. */
export function keepTlvs(info: ConnectionInfo, tlvs: readonly ProxyTlv[], { keptTlvs, tlvMetadata = [] }: ProxyProtocolOptions): void {
	if (keptTlvs !== undefined) info.proxyTlvs = chooseTlvs(tlvs, keptTlvs);
	const metadata: Record<string, Record<string, unknown>> = {};
	for (const { key, namespace, type } of tlvMetadata) {
		const found = tlvs.find((tlv) => tlv.type === type);
		if (found !== undefined) (metadata[namespace] ??= {})[key] = found.value.toString("utf8");
	}
	if (Object.keys(metadata).length > 0) info.dynamicMetadata = metadata;
}

/** `0.0.0.0:80` → `0.0.0.0_80`, as in stat names. */
export function formatStatAddress(address: SocketAddress): string {
	return address.kind === "pipe" ? address.path.replaceAll(":", "_") : joinAddress(address.address, address.port).replaceAll(":", "_");
}
