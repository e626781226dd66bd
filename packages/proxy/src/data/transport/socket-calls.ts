/** The system calls that Node has no words for. Linux alone. */
export interface SocketCalls {
	/** A TCP socket that libuv can take over; -1: refused. */
	open(family: 4 | 6): number;
	/** False: refused by the system. */
	setOption(fd: number, level: number, name: number, value: Uint8Array): boolean;
	/** The option's bytes, valid until the next call; undefined: refused. */
	getOption(fd: number, level: number, name: number, size: number): Buffer | undefined;
	/** Another descriptor of the same socket; -1: refused. */
	duplicate(fd: number): number;
	close(fd: number): void;
}

interface Functions {
	readonly socket: (domain: number, type: number, protocol: number) => number;
	readonly setsockopt: (fd: number, level: number, name: number, value: Buffer, length: number) => number;
	readonly getsockopt: (fd: number, level: number, name: number, value: Buffer, length: Buffer) => number;
	readonly fcntl: (fd: number, command: number, argument: number) => number;
	readonly close: (fd: number) => number;
}

const families = { 4: 2, 6: 10 } as const;
/** SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC */
const streamType = 0x1 | 0x800 | 0x80000;
/** F_DUPFD_CLOEXEC: a program that a probe starts is not to inherit it. */
const duplicateCommand = 1030;
const valueBytesMax = 2048;

const libraries = { "node:ffi": loadFromNode, koffi: loadFromKoffi } as const;

/** By node:ffi, or by koffi where it is installed and Node is too old for that; undefined: neither, or not Linux. */
export async function loadSocketCalls(
	wanted: readonly (keyof typeof libraries)[] = ["node:ffi", "koffi"],
): Promise<(SocketCalls & { readonly library: string }) | undefined> {
	if (process.platform !== "linux") return undefined;
	for (const library of wanted) {
		const functions = await libraries[library]();
		if (functions !== undefined) return { ...wrap(functions), library };
	}
	return undefined;
}

/** https://nodejs.org/docs/latest-v26.x/api/ffi.html */
async function loadFromNode(): Promise<Functions | undefined> {
	try {
		const name = "node:ffi";
		const ffi = (await import(name)) as { readonly dlopen: (path: null, symbols: object) => { readonly functions: Functions } };
		const int = "i32";
		return ffi.dlopen(null, {
			socket: { arguments: [int, int, int], return: int },
			setsockopt: { arguments: [int, int, int, "pointer", int], return: int },
			getsockopt: { arguments: [int, int, int, "pointer", "pointer"], return: int },
			fcntl: { arguments: [int, int, int], return: int },
			close: { arguments: [int], return: int },
		}).functions;
	} catch {
		// This Node has none, or was built without it.
		return undefined;
	}
}

/** https://koffi.dev */
async function loadFromKoffi(): Promise<Functions | undefined> {
	try {
		const name = "koffi";
		type Library = { readonly func: (declaration: string) => never };
		const { default: koffi } = (await import(name)) as { readonly default: { readonly load: (path: null) => Library } };
		const libc = koffi.load(null);
		return {
			socket: libc.func("int socket(int, int, int)"),
			setsockopt: libc.func("int setsockopt(int, int, int, void *, int)"),
			getsockopt: libc.func("int getsockopt(int, int, int, void *, void *)"),
			fcntl: libc.func("int fcntl(int, int, int)"),
			close: libc.func("int close(int)"),
		};
	} catch {
		return undefined;
	}
}

function wrap({ socket, setsockopt, getsockopt, fcntl, close }: Functions): SocketCalls {
	// Typed arrays up to 64 bytes live on the moving heap: memory that C reads or writes must be larger, and stay referenced.
	const memory = Buffer.from(new ArrayBuffer(2 * valueBytesMax));
	const value = memory.subarray(0, valueBytesMax);
	const length = memory.subarray(valueBytesMax);
	return {
		open: (family) => socket(families[family], streamType, 0),
		setOption(fd, level, name, bytes) {
			if (bytes.length > valueBytesMax) return false;
			value.set(bytes);
			return setsockopt(fd, level, name, value, bytes.length) === 0;
		},
		getOption(fd, level, name, size) {
			length.writeUInt32LE(size, 0);
			return getsockopt(fd, level, name, value, length) === 0 ? value.subarray(0, Math.min(length.readUInt32LE(0), size)) : undefined;
		},
		duplicate: (fd) => fcntl(fd, duplicateCommand, 0),
		close: (fd) => void close(fd),
	};
}
