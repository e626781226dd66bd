import type { Address, CidrRange } from "@weft/xds/generated/envoy/config/core/v3/address.ts";
import type { SocketAddress } from "../sockets.ts";
import { type At, report } from "./issues.ts";

export function decodeAddress(at: At, address: Address | undefined): SocketAddress {
	if (address?.pipe !== undefined) return { kind: "pipe", path: address.pipe.path };
	const socket = address?.socketAddress;
	if (socket === undefined) {
		report(at, address?.envoyInternalAddress ? "internal addresses are not implemented" : "address is missing");
		return { kind: "ip", address: "", port: 0 };
	}
	if (socket.protocol === 1) report(at, "UDP is not implemented");
	if (socket.namedPort !== undefined) report(at, "named_port is not implemented");
	if (socket.resolverName !== "") report(at, `resolver ${socket.resolverName} is not implemented`);
	return { kind: "ip", address: socket.address, port: socket.portValue ?? 0, ...(socket.ipv4Compat ? { ipv4Compat: true } : {}) };
}

/** `10.0.0.0/8`; without a prefix length: the one address. */
export function decodeCidr(range: CidrRange): string {
	return `${range.addressPrefix}/${range.prefixLen ?? 0}`;
}
