import { isIP } from "node:net";
import type { ProxyProtocolOptions } from "../../config/runtime-config.ts";
import type { ProxyTlv } from "../log/stream-info.ts";

export type ProxyProtocolVerdict =
	| { readonly kind: "incomplete" }
	| { readonly kind: "invalid" }
	/** There is none, and there need not be one. */
	| { readonly kind: "absent" }
	/** `source` and `destination` undefined: the proxy speaks for itself (LOCAL, UNKNOWN). */
	| {
			readonly kind: "header";
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
const invalid = { kind: "invalid" } as const;
const absent = { kind: "absent" } as const;
const both: ProxyProtocolOptions = { allowWithout: false, versions: ["v1", "v2"] };

/** HAProxy's PROXY protocol, both versions (haproxy.org/download/1.8/doc/proxy-protocol.txt). */
export function readProxyProtocol(bytes: Buffer, { allowWithout, versions } = both): ProxyProtocolVerdict {
	if (bytes.length === 0) return incomplete;
	const without = allowWithout ? absent : invalid;
	const common = Math.min(bytes.length, signature.length);
	if (bytes.subarray(0, common).equals(signature.subarray(0, common))) {
		if (!versions.includes("v2")) return without;
		return bytes.length < 16 ? incomplete : readV2(bytes);
	}
	if (!versions.includes("v1") || !"PROXY ".startsWith(bytes.latin1Slice(0, Math.min(bytes.length, 6)))) return without;
	const end = bytes.subarray(0, v1BytesMax).indexOf("\r\n");
	if (end < 0) return bytes.length >= v1BytesMax ? invalid : incomplete;
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
	if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { kind: "header", length, source: undefined, destination: undefined, tlvs: none };
	const match = /^PROXY TCP([46]) ([0-9a-fA-F:.]+) ([0-9a-fA-F:.]+) (\d{1,5}) (\d{1,5})$/.exec(line);
	if (match === null) return invalid;
	const [, family, source = "", destination = "", sourcePort, destinationPort] = match;
	if (isIP(source) !== Number(family) || isIP(destination) !== Number(family)) return invalid;
	if (Number(sourcePort) > 65_535 || Number(destinationPort) > 65_535) return invalid;
	return {
		kind: "header",
		length,
		source: { address: source, port: Number(sourcePort) },
		destination: { address: destination, port: Number(destinationPort) },
		tlvs: none,
	};
}

function readV2(bytes: Buffer): ProxyProtocolVerdict {
	const version = bytes[12] as number;
	const family = bytes[13] as number;
	const length = 16 + bytes.readUInt16BE(14);
	if (version >> 4 !== 2 || (version & 15) > 1) return invalid;
	if (bytes.length < length) return incomplete;
	if ((version & 15) === 0) return { kind: "header", length, source: undefined, destination: undefined, tlvs: none };
	const isKnown = (family === 0x11 && length >= 28) || (family === 0x21 && length >= 52);
	const tlvs = isKnown ? readTlvs(bytes.subarray(family === 0x11 ? 28 : 52, length)) : none;
	if (tlvs === undefined) return invalid;
	if (family === 0x11 && length >= 28) {
		const ip = (at: number) => Array.from(bytes.subarray(at, at + 4)).join(".");
		return {
			kind: "header",
			length,
			source: { address: ip(16), port: bytes.readUInt16BE(24) },
			destination: { address: ip(20), port: bytes.readUInt16BE(26) },
			tlvs,
		};
	}
	if (family === 0x21 && length >= 52) {
		const ip = (at: number) =>
			(
				bytes
					.subarray(at, at + 16)
					.toString("hex")
					.match(/.{4}/g) ?? []
			).join(":");
		return {
			kind: "header",
			length,
			source: { address: ip(16), port: bytes.readUInt16BE(48) },
			destination: { address: ip(32), port: bytes.readUInt16BE(50) },
			tlvs,
		};
	}
	return { kind: "header", length, source: undefined, destination: undefined, tlvs: none };
}
