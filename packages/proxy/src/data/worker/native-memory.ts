import { readFileSync } from "node:fs";

/** First wait; each further one is twice as long, up to the last. */
const firstDelayMs = 2_000;
const lastDelayMs = 120_000;

/** The C library's: gives the memory that was freed back to the system. */
export type TrimNative = () => void;

/**
 * The engine's compilers take tens of megabytes beside the heap while code becomes hot, and the C library keeps what
 * they free. Gives that back: often at first, when most is compiled, then seldom. Stops when `signal` does.
 */
export function keepTrimmed(trim: TrimNative, signal: AbortSignal): void {
	let delayMs = firstDelayMs;
	let timer: NodeJS.Timeout;
	const wait = () => {
		timer = setTimeout(() => {
			trim();
			delayMs = Math.min(delayMs * 2, lastDelayMs);
			wait();
		}, delayMs);
		timer.unref();
	};
	wait();
	signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
}

interface Native {
	readonly malloc_trim: (pad: bigint) => number;
	readonly madvise: (address: bigint, length: bigint, advice: number) => number;
}

/** Through node:ffi; undefined where there is none, or another C library than glibc. */
export async function loadTrim(): Promise<TrimNative | undefined> {
	if (process.platform !== "linux") return undefined;
	try {
		const name = "node:ffi";
		const ffi = (await import(name)) as { readonly dlopen: (path: null, symbols: object) => { readonly functions: Native } };
		const { functions } = ffi.dlopen(null, {
			malloc_trim: { arguments: ["u64"], return: "i32" },
			madvise: { arguments: ["u64", "u64", "i32"], return: "i32" },
		});
		const unwritten = unwrittenMappings(readFileSync("/proc/self/smaps", "utf8"), process.execPath);
		return () => {
			functions.malloc_trim(0n);
			for (const { start, length } of unwritten) functions.madvise(start, length, dontNeed);
		};
	} catch {
		return undefined;
	}
}

/** MADV_DONTNEED: the pages go from this process alone. What is still used comes back from the page cache when it is touched. */
const dontNeed = 4;

export interface Mapping {
	readonly start: bigint;
	/** Bytes. */
	readonly length: bigint;
}

/**
 * Where the program file is mapped and nothing was ever written: half of a sidecar's resident memory is Node's own code, most of
 * it for starting up. A mapping with pages of its own (relocated at start) has to be left alone: those are nowhere else.
 * `smaps`: https://man7.org/linux/man-pages/man5/proc_pid_smaps.5.html
 */
export function unwrittenMappings(smaps: string, file: string): readonly Mapping[] {
	const found: Mapping[] = [];
	for (const block of smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)) {
		const head = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ +(.*)$/m.exec(block);
		const [, from, to, permissions = "", path] = head ?? [];
		if (from === undefined || to === undefined || path !== file || permissions.includes("w")) continue;
		if (/^Anonymous: +(\d+) kB$/m.exec(block)?.[1] !== "0") continue;
		const start = BigInt(`0x${from}`);
		found.push({ start, length: BigInt(`0x${to}`) - start });
	}
	return found;
}
