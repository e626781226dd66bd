import { createRequire } from "node:module";

/**
 * The libuv handles under node:net. They are not public; everything that touches them is in this folder, and
 * `transport.ts` tests at start whether they behave as expected.
 */

export interface RawHandle {
	onread: ((this: RawHandle) => void) | undefined;
	owner?: unknown;
	readonly fd: number;
	useUserBuffer(buffer: Uint8Array): void;
	readStart(): number;
	readStop(): number;
	writeBuffer(request: RawWrite, bytes: Uint8Array): number;
	shutdown(request: object): number;
	close(callback?: () => void): void;
	/** Whether it keeps the event loop from ending. */
	ref(): void;
	unref(): void;
	/** Of TCP alone: closes with RST. Not 0: it could not. */
	reset?(callback?: () => void): number;
}

export interface RawTcp extends RawHandle {
	onconnection: ((this: RawTcp, status: number, handle: RawTcp) => void) | undefined;
	open(fd: number): number;
	bind(address: string, port: number, flags: number): number;
	bind6(address: string, port: number, flags: number): number;
	listen(backlog: number): number;
	connect(request: RawConnect, address: string, port: number): number;
	connect6(request: RawConnect, address: string, port: number): number;
	setNoDelay(on: boolean): number;
	setKeepAlive(on: boolean, seconds: number): number;
	getsockname(out: SocketName): number;
	getpeername(out: SocketName): number;
}

export interface RawPipe extends RawHandle {
	onconnection: ((this: RawPipe, status: number, handle: RawPipe) => void) | undefined;
	open(fd: number): number;
	bind(path: string): number;
	listen(backlog: number): number;
	connect(request: RawConnect, path: string): number;
}

export interface SocketName {
	address?: string;
	family?: string;
	port?: number;
}

export interface RawWrite {
	oncomplete: ((status: number, handle: RawHandle, error: unknown) => void) | undefined;
	/** Keeps the bytes alive while libuv sends from them. */
	buffer?: Uint8Array | undefined;
	owner?: unknown;
}

export interface RawConnect {
	oncomplete: ((status: number) => void) | undefined;
}

export interface RawBindings {
	readonly TCP: new (kind: number) => RawTcp;
	readonly TCPConnectWrap: new () => RawConnect;
	readonly Pipe: new (kind: number) => RawPipe;
	readonly PipeConnectWrap: new () => RawConnect;
	readonly WriteWrap: new () => RawWrite;
	readonly ShutdownWrap: new () => { oncomplete?: (status: number) => void; handle?: RawHandle };
	readonly tcp: { readonly SOCKET: number; readonly SERVER: number; readonly UV_TCP_IPV6ONLY: number; readonly UV_TCP_REUSEPORT: number };
	readonly pipe: { readonly SOCKET: number; readonly SERVER: number };
	/** Results of the last stream call. */
	readonly state: Int32Array;
	readonly readBytesOrError: number;
	readonly lastWriteWasAsync: number;
	readonly errorName: (code: number) => string;
}

export const endOfFile = -4095;

/** undefined when this Node does not hand them out. */
export function loadRawBindings(): RawBindings | undefined {
	const binding = (process as unknown as { binding?: (name: string) => Record<string, unknown> }).binding;
	if (typeof binding !== "function") return undefined;
	try {
		const tcp = binding.call(process, "tcp_wrap");
		const stream = binding.call(process, "stream_wrap");
		const pipe = binding.call(process, "pipe_wrap");
		const util = createRequire(import.meta.url)("node:util") as typeof import("node:util");
		const found = {
			TCP: tcp["TCP"],
			TCPConnectWrap: tcp["TCPConnectWrap"],
			Pipe: pipe["Pipe"],
			PipeConnectWrap: pipe["PipeConnectWrap"],
			WriteWrap: stream["WriteWrap"],
			ShutdownWrap: stream["ShutdownWrap"],
			tcp: tcp["constants"],
			pipe: pipe["constants"],
			state: stream["streamBaseState"],
			readBytesOrError: stream["kReadBytesOrError"],
			lastWriteWasAsync: stream["kLastWriteWasAsync"],
			errorName: (code: number) => util.getSystemErrorName(code),
		};
		const missing = Object.values(found).some((value) => value === undefined);
		return missing ? undefined : (found as unknown as RawBindings);
	} catch {
		return undefined;
	}
}
