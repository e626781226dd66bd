import type { OriginalDst } from "./listener-manager.ts";
import type { Connection } from "../transport/connection.ts";

const solIp = 0;
const solIpv6 = 41;
const soOriginalDst = 80;
/** Typed arrays up to 64 bytes live on the moving heap: memory that C writes to must be larger (and stay referenced). */
const memory = Buffer.from(new ArrayBuffer(4096));
const lengthAt = 2048;

type GetSockOpt = (fd: number, level: number, option: number, value: Buffer, length: Buffer) => number;

/** SO_ORIGINAL_DST of connections that iptables redirected, through node:ffi; where that is not to be had, nobody has one. */
export async function createOriginalDst(): Promise<OriginalDst> {
	const getsockopt = process.platform === "linux" ? await loadGetSockOpt() : undefined;
	if (getsockopt === undefined) return () => undefined;
	return (connection) => readOriginalDst(getsockopt, connection);
}

async function loadGetSockOpt(): Promise<GetSockOpt | undefined> {
	try {
		const name = "node:ffi";
		const ffi = (await import(name)) as { readonly dlopen: (path: null, symbols: object) => { readonly functions: { readonly getsockopt: unknown } } };
		const { functions } = ffi.dlopen(null, { getsockopt: { arguments: ["i32", "i32", "i32", "pointer", "pointer"], return: "i32" } });
		return typeof functions.getsockopt === "function" ? (functions.getsockopt as GetSockOpt) : undefined;
	} catch {
		return undefined;
	}
}

function readOriginalDst(getsockopt: GetSockOpt, connection: Connection): { readonly address: string; readonly port: number } | undefined {
	if (connection.fd < 0) return undefined;
	const isSix = connection.localAddress.includes(":");
	const size = isSix ? 28 : 16;
	const length = memory.subarray(lengthAt, lengthAt + 128);
	length.writeUInt32LE(size, 0);
	const status = getsockopt(connection.fd, isSix ? solIpv6 : solIp, soOriginalDst, memory.subarray(0, 128), length);
	if (status !== 0) return undefined;
	const port = memory.readUInt16BE(2);
	const address = isSix
		? (memory.subarray(8, 24).toString("hex").match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16)).join(":")
		: Array.from(memory.subarray(4, 8)).join(".");
	// A connection that was not redirected has its own local address: nothing to restore.
	return address === connection.localAddress && port === connection.localPort ? undefined : { address, port };
}
