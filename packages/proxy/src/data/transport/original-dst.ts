import type { Connection } from "./connection.ts";
import type { SocketCalls } from "./socket-calls.ts";

export type OriginalDst = (connection: Connection) => { readonly address: string; readonly port: number } | undefined;

// SO_ORIGINAL_DST and IP6T_SO_ORIGINAL_DST have the same number; linux/netfilter_ipv4.h.
const soOriginalDst = 80;
const v4 = { level: 0, bytes: 16 };
const v6 = { level: 41, bytes: 28 };

/**
 * What a connection was made to before iptables redirected it. A connection that TPROXY handed over has that as its own
 * local address, and so has one that nobody redirected: nothing to restore.
 */
export function createOriginalDst(calls: SocketCalls | undefined): OriginalDst {
	if (calls === undefined) return () => undefined;
	return (connection) => {
		if (connection.fd < 0) return undefined;
		const isSix = connection.localAddress.includes(":");
		const { level, bytes } = isSix ? v6 : v4;
		const name = calls.getOption(connection.fd, level, soOriginalDst, bytes);
		if (name === undefined || name.length < bytes) return undefined;
		const port = name.readUInt16BE(2);
		const address = isSix ? formatIpv6(name.subarray(8, 24)) : name.subarray(4, 8).join(".");
		return address === connection.localAddress && port === connection.localPort ? undefined : { address, port };
	};
}

/** As the system writes it, the longest run of zeros left out, so that equal addresses are equal texts (RFC 5952). */
export function formatIpv6(bytes: Uint8Array): string {
	const groups = Array.from({ length: 8 }, (_, i) => (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16));
	let best = { at: -1, length: 1 };
	for (let at = 0; at < 8; at++) {
		let length = 0;
		while (groups[at + length] === "0") length++;
		if (length > best.length) best = { at, length };
	}
	if (best.at < 0) return groups.join(":");
	return `${groups.slice(0, best.at).join(":")}::${groups.slice(best.at + best.length).join(":")}`;
}
