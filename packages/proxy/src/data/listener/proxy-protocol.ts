import { isIPv4, isIPv6, SocketAddress } from "node:net";
import type { ProxyProtocolOptions } from "../../config/listeners.ts";
import type { ProxyTlv } from "../log/stream-info.ts";
import type { proxyProtocolCounters } from "../stats/families.ts";

/** What is counted of a verdict. */
export type ProxyProtocolStat = keyof typeof proxyProtocolCounters.index;

export type ProxyProtocolVerdict =
	| { readonly kind: "incomplete" }
	| { readonly kind: "invalid"; readonly stat: ProxyProtocolStat }
	/** There is none, and there need not be one. */
	| { readonly kind: "absent"; readonly stat: ProxyProtocolStat }
	/** `source` and `destination` undefined: the proxy speaks for itself (LOCAL, UNKNOWN). */
	| {
			readonly kind: "header";
			readonly stat: ProxyProtocolStat;
			readonly length: number;
			readonly source: Endpoint | undefined;
			readonly destination: Endpoint | undefined;
			readonly tlvs: readonly ProxyTlv[];
	  };

export interface Endpoint {
	readonly address: string;
	readonly port: number;
}

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
/** Its line end included. */
const v1BytesMax = 107;
const incomplete = { kind: "incomplete" } as const;
const absent = { kind: "absent", stat: "not_found_allowed" } as const;
const missing = { kind: "invalid", stat: "not_found_disallowed" } as const;
const invalidV1 = { kind: "invalid", stat: "versions.v1.error" } as const;
const invalidV2 = { kind: "invalid", stat: "versions.v2.error" } as const;
const both: ProxyProtocolOptions = { allowWithout: false, versions: ["v1", "v2"] };

/** HAProxy's PROXY protocol, both versions (haproxy.org/download/1.8/doc/proxy-protocol.txt). */
export function readProxyProtocol(bytes: Buffer, { allowWithout, versions } = both): ProxyProtocolVerdict {
	if (bytes.length === 0) return incomplete;
	const common = Math.min(bytes.length, signature.length);
	if (bytes.subarray(0, common).equals(signature.subarray(0, common))) {
		if (!versions.includes("v2")) return allowWithout ? absent : { kind: "invalid", stat: "versions.v2.disallowed" };
		return bytes.length < 16 ? incomplete : readV2(bytes);
	}
	if (!"PROXY ".startsWith(bytes.latin1Slice(0, Math.min(bytes.length, 6)))) return allowWithout ? absent : missing;
	const takesV1 = versions.includes("v1");
	if (!takesV1 && allowWithout) return absent;
	const end = bytes.subarray(0, v1BytesMax).indexOf("\r\n");
	if (end < 0) return bytes.length >= v1BytesMax ? invalidV1 : incomplete;
	if (!takesV1) return { kind: "invalid", stat: "versions.v1.disallowed" };
	return readV1(bytes.latin1Slice(0, end), end + 2);
}

const none: readonly ProxyTlv[] = [];

/** Type, length in two bytes, value, and so on. undefined: one of them is cut off. */
function readTlvs(bytes: Buffer): readonly ProxyTlv[] | undefined {
	if (bytes.length === 0) return none;
	const tlvs: ProxyTlv[] = [];
	for (let at = 0; at < bytes.length; ) {
		const end = at + 3 <= bytes.length ? at + 3 + bytes.readUInt16BE(at + 1) : Number.POSITIVE_INFINITY;
		if (end > bytes.length) return undefined;
		// The bytes of its own: the connection may last.
		tlvs.push({ type: bytes[at] as number, value: Buffer.from(bytes.subarray(at + 3, end)) });
		at = end;
	}
	return tlvs;
}

function readV1(line: string, length: number): ProxyProtocolVerdict {
	if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { kind: "header", stat: "versions.v1.found", length, source: undefined, destination: undefined, tlvs: none };
	const match = /^PROXY TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (\d{1,5}) (\d{1,5})$/.exec(line);
	if (match === null) return invalidV1;
	const family = match[1] === "4" ? "ipv4" : "ipv6";
	const source = endpointOf(family, match[2] as string, Number(match[4]));
	const destination = endpointOf(family, match[3] as string, Number(match[5]));
	return source === undefined || destination === undefined ? invalidV1 : { kind: "header", stat: "versions.v1.found", length, source, destination, tlvs: none };
}

/** In its canonical text (RFC 5952), so that equal addresses are equal strings; undefined: it is none of that family. */
function endpointOf(family: "ipv4" | "ipv6", address: string, port: number): Endpoint | undefined {
	if (port > 65_535 || !(family === "ipv4" ? isIPv4(address) : isIPv6(address))) return undefined;
	return { address: family === "ipv4" ? address : new SocketAddress({ family, address }).address, port };
}

/** Address family and transport → what the addresses are; TCP and UDP are one. */
const families: ReadonlyMap<number, "ipv4" | "ipv6"> = new Map([
	[0x11, "ipv4"],
	[0x12, "ipv4"],
	[0x21, "ipv6"],
	[0x22, "ipv6"],
]);

function readV2(bytes: Buffer): ProxyProtocolVerdict {
	const version = bytes[12] as number;
	const command = version & 15;
	const length = 16 + bytes.readUInt16BE(14);
	if (version >> 4 !== 2 || command > 1) return invalidV2;
	const kind = bytes[13] as number;
	const family = families.get(kind);
	// LOCAL, and a family that is not said: the proxy speaks for itself. Sockets of other families are not known here.
	if (command === 1 && kind !== 0 && family === undefined) return invalidV2;
	if (bytes.length < length) return incomplete;
	if (command === 0 || family === undefined)
		return { kind: "header", stat: "versions.v2.found", length, source: undefined, destination: undefined, tlvs: none };
	const size = family === "ipv4" ? 4 : 16;
	const ports = 16 + 2 * size;
	if (length < ports + 4) return invalidV2;
	const tlvs = readTlvs(bytes.subarray(ports + 4, length));
	if (tlvs === undefined) return invalidV2;
	const source = endpointOf(family, textOf(bytes.subarray(16, 16 + size)), bytes.readUInt16BE(ports));
	const destination = endpointOf(family, textOf(bytes.subarray(16 + size, ports)), bytes.readUInt16BE(ports + 2));
	return { kind: "header", stat: "versions.v2.found", length, source, destination, tlvs };
}

function textOf(ip: Buffer): string {
	return ip.length === 4 ? Array.from(ip).join(".") : (ip.toString("hex").match(/.{4}/g) ?? []).join(":");
}
