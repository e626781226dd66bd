import type { TlvChoice } from "../../config/listeners.ts";
import type { ProxyTlv } from "../log/stream-info.ts";
import { parseIp } from "../match/cidr.ts";

/** `ip:port`, IPv6 in brackets. */
export interface ProxiedAddresses {
	readonly source: string;
	readonly destination: string;
}

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]);
const local = 0x20;
const proxied = 0x21;
const tcp4 = 0x11;
const tcp6 = 0x21;

/**
 * What precedes everything else on a connection that names its client by HAProxy's PROXY protocol. undefined: the proxy
 * speaks for itself. https://www.haproxy.org/download/1.8/doc/proxy-protocol.txt
 */
export function buildProxyHeader(
	version: "v1" | "v2",
	addresses: ProxiedAddresses | undefined,
	tlvs: readonly { readonly type: number; readonly value: Uint8Array }[] = [],
): Buffer {
	const source = addresses && split(addresses.source);
	const destination = addresses && split(addresses.destination);
	if (source === undefined || destination === undefined) {
		return version === "v1" ? Buffer.from("PROXY UNKNOWN\r\n") : Buffer.concat([signature, Buffer.from([local, 0, 0, 0])]);
	}
	const isSix = source.bytes.length === 16 || destination.bytes.length === 16;
	if (version === "v1") return Buffer.from(`PROXY TCP${isSix ? 6 : 4} ${source.text} ${destination.text} ${source.port} ${destination.port}\r\n`);
	const body = Buffer.concat([
		widen(source.bytes, isSix),
		widen(destination.bytes, isSix),
		portBytes(source.port),
		portBytes(destination.port),
		...tlvs.map(tlvBytes),
	]);
	return Buffer.concat([signature, Buffer.from([proxied, isSix ? tcp6 : tcp4, body.length >> 8, body.length & 255]), body]);
}

function tlvBytes({ type, value }: { readonly type: number; readonly value: Uint8Array }): Buffer {
	return Buffer.concat([Buffer.from([type, value.length >> 8, value.length & 255]), value]);
}

/** Those of these types. */
export function chooseTlvs(tlvs: readonly ProxyTlv[], choice: TlvChoice): readonly ProxyTlv[] {
	return choice === "all" ? tlvs : tlvs.filter(({ type }) => choice.includes(type));
}

interface Parsed {
	readonly text: string;
	readonly bytes: Uint8Array;
	readonly port: number;
}

/** undefined: a pipe, which has no address. */
function split(address: string): Parsed | undefined {
	const match = /^\[?([0-9a-fA-F:.]+?)\]?:(\d{1,5})$/.exec(address);
	const text = match?.[1] ?? "";
	const bytes = parseIp(text);
	return bytes === undefined ? undefined : { text, bytes: Uint8Array.from(bytes), port: Number(match?.[2]) };
}

/** Both addresses are of one family: IPv4 is shown as `::ffff:a.b.c.d` beside IPv6. */
function widen(bytes: Uint8Array, isSix: boolean): Uint8Array {
	return isSix && bytes.length === 4 ? Uint8Array.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, ...bytes]) : bytes;
}

function portBytes(port: number): Uint8Array {
	return Uint8Array.from([port >> 8, port & 255]);
}
