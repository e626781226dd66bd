/** The system calls that a ring is made and driven by. Linux alone. */
export interface RingCalls {
	/** By `struct io_uring_params`, which is filled in. Gives the ring's descriptor, < 0: refused. */
	setup(entries: number, parameters: ArrayBuffer): number;
	register(ring: number, operation: number, argument: ArrayBuffer, count: number): number;
	/** Takes `count` submissions and lets what is ready complete. Gives how many it took, < 0: none. */
	enter(ring: number, count: number, flags: number): number;
	/** Memory that the process shares with the ring; undefined: refused. */
	map(ring: number, bytes: number, offset: number): ArrayBuffer | undefined;
	/** Gives `map`'s memory back; its buffer is detached. */
	unmap(memory: ArrayBuffer): void;
	/** Where memory lies. It must be referenced while the kernel uses it. */
	address(memory: ArrayBuffer): number;
	/** A counter that can be polled; < 0: refused. */
	eventDescriptor(): number;
	close(descriptor: number): void;
}

/** https://nodejs.org/docs/latest-v26.x/api/ffi.html */
interface Ffi {
	readonly DynamicLibrary: new (path: null) => { getFunctions(signatures: object): unknown };
	getRawPointer(memory: ArrayBuffer): bigint;
	toArrayBuffer(pointer: bigint, length: number, copy: boolean): ArrayBuffer;
}

interface Plain {
	readonly mmap: (address: bigint, length: bigint, protection: number, flags: number, descriptor: number, offset: bigint) => bigint;
	readonly munmap: (address: bigint, length: bigint) => number;
	readonly eventfd: (initial: number, flags: number) => number;
	readonly close: (descriptor: number) => number;
}
type Enter = { readonly syscall: (number: number, ring: number, count: number, complete: number, flags: number, signals: number) => number };
type WithMemory = { readonly syscall: (number: bigint, first: bigint, second: bigint, memory: bigint, count: bigint) => bigint };

// asm-generic/unistd.h: the same on every architecture.
const numbers = { setup: 425n, enter: 426, register: 427n } as const;
/** PROT_READ | PROT_WRITE */
const readWrite = 3;
/** MAP_SHARED | MAP_POPULATE */
const sharedPopulated = 0x8001;
/** EFD_NONBLOCK | EFD_CLOEXEC */
const eventFlags = 0x80800;
const mapFailed = 0xffff_ffff_ffff_ffffn;

/** Through node:ffi; undefined where there is none. */
export async function loadRingCalls(): Promise<RingCalls | undefined> {
	if (process.platform !== "linux") return undefined;
	try {
		const name = "node:ffi";
		const ffi = (await import(name)) as Ffi;
		// Each signature of the one variadic function needs a library of its own.
		const load = (signatures: object) => new ffi.DynamicLibrary(null).getFunctions(signatures);
		const [int, count, long, pointer] = ["i32", "u32", "i64", "pointer"];
		const plain = load({
			mmap: { arguments: ["u64", "u64", int, int, int, long], return: "u64" },
			munmap: { arguments: ["u64", "u64"], return: int },
			eventfd: { arguments: [count, int], return: int },
			close: { arguments: [int], return: int },
		}) as Plain;
		const { syscall: enter } = load({ syscall: { arguments: [int, int, count, count, count, int], return: int } }) as Enter;
		const { syscall } = load({ syscall: { arguments: [long, long, long, pointer, long], return: long } }) as WithMemory;
		return {
			setup: (entries, parameters) => Number(syscall(numbers.setup, BigInt(entries), ffi.getRawPointer(parameters), 0n, 0n)),
			register: (ring, operation, argument, length) =>
				Number(syscall(numbers.register, BigInt(ring), BigInt(operation), ffi.getRawPointer(argument), BigInt(length))),
			enter: (ring, length, flags) => enter(numbers.enter, ring, length, 0, flags, 0),
			map(ring, bytes, offset) {
				const at = plain.mmap(0n, BigInt(bytes), readWrite, sharedPopulated, ring, BigInt(offset));
				return at === mapFailed ? undefined : ffi.toArrayBuffer(at, bytes, false);
			},
			unmap(memory) {
				const at = ffi.getRawPointer(memory);
				const { byteLength } = memory;
				// Whoever still looks at it sees nothing instead of ending the process.
				memory.transfer(0);
				plain.munmap(at, BigInt(byteLength));
			},
			address: (memory) => Number(ffi.getRawPointer(memory)),
			eventDescriptor: () => plain.eventfd(0, eventFlags),
			close: (descriptor) => void plain.close(descriptor),
		};
	} catch {
		// This Node has none, or was built without it.
		return undefined;
	}
}
