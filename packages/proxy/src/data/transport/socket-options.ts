import type { SocketOption, SocketOptions } from "../../config/sockets.ts";
import type { SocketCalls } from "./socket-calls.ts";

// linux/in.h, linux/in6.h, asm-generic/socket.h
const levels = { ip: 0, socket: 1, ipv6: 41 } as const;
const ipTransparent = 19;
const ipv6Transparent = 75;
const ipFreebind = 15;
const ipv6Freebind = 78;
const soMark = 36;

function int(value: number): Uint8Array {
	const bytes = new Uint8Array(4);
	new DataView(bytes.buffer).setInt32(0, value, true);
	return bytes;
}

const one = int(1);

/** What a connection that shows its client's own address needs: the right to bind it, and the mark by which answers find back. */
export function sourceOptions(mark: number): SocketOptions {
	const custom: readonly SocketOption[] = mark === 0 ? [] : [{ level: levels.socket, name: soMark, value: int(mark), state: "prebind" }];
	return { transparent: true, freebind: false, custom };
}

/** undefined: done; else which option the system refused. */
export function applySocketOptions(calls: SocketCalls, fd: number, family: 4 | 6, options: SocketOptions, state: SocketOption["state"]): string | undefined {
	const { custom, freebind, transparent } = options;
	if (state === "prebind") {
		if (transparent && !setTransparent(calls, fd, family)) return "IP_TRANSPARENT (it needs CAP_NET_ADMIN)";
		if (freebind && !setBoth(calls, fd, family, ipFreebind, ipv6Freebind)) return "IP_FREEBIND";
	}
	for (const option of custom) {
		if (option.state !== state || calls.setOption(fd, option.level, option.name, option.value)) continue;
		return option.level === levels.socket && option.name === soMark ? "SO_MARK (it needs CAP_NET_ADMIN)" : `socket option ${option.level}/${option.name}`;
	}
	return undefined;
}

function setTransparent(calls: SocketCalls, fd: number, family: 4 | 6): boolean {
	return setBoth(calls, fd, family, ipTransparent, ipv6Transparent);
}

/** An IPv6 socket may carry IPv4 as well: it wants both. */
function setBoth(calls: SocketCalls, fd: number, family: 4 | 6, v4: number, v6: number): boolean {
	if (family === 4) return calls.setOption(fd, levels.ip, v4, one);
	return calls.setOption(fd, levels.ipv6, v6, one) && calls.setOption(fd, levels.ip, v4, one);
}

export function noSocketCalls(): Error {
	return new Error("transparent sockets, marks and other socket options need Linux, and node:ffi (Node 26) or the package koffi");
}
