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

/** Through node:ffi; undefined where there is none, or another C library than glibc. */
export async function loadTrim(): Promise<TrimNative | undefined> {
	if (process.platform !== "linux") return undefined;
	try {
		const name = "node:ffi";
		const ffi = (await import(name)) as { readonly dlopen: (path: null, symbols: object) => { readonly functions: { readonly malloc_trim: unknown } } };
		const { functions } = ffi.dlopen(null, { malloc_trim: { arguments: ["u64"], return: "i32" } });
		const trim = functions.malloc_trim;
		return typeof trim === "function" ? () => void trim(0n) : undefined;
	} catch {
		return undefined;
	}
}
