/** Where a sample of CPU time was taken. */
export const cpuClasses = ["kernel", "program", "JavaScript", "V8", "garbage collection", "compiler", "Node and libuv", "OpenSSL", "libc and others"] as const;
export type CpuClass = (typeof cpuClasses)[number];

export type CpuShare = { readonly cpuClass: CpuClass; readonly symbol: string /** 0 to 1. */; readonly share: number };

// Names in Node's own binary, tried in order. Builtins are what compiled JavaScript calls for its own operations.
const nodeSymbols: readonly (readonly [CpuClass, RegExp])[] = [
	["JavaScript", /^(?:Builtins_|RegExp\.)/],
	["compiler", /compiler|maglev|baseline|interpreter::|turboshaft|Bytecode|Parser|Scanner/i],
	["garbage collection", /Scaveng|Marking|MarkCompact|Sweep|GCTracer|Evacuat|heap::|IterateObject|RootVisitor|MemoryChunk/],
	["OpenSSL", /^(?:EVP_|SSL_|ssl3?_|tls\d*_|ossl_|aes|gcm_|sha\d|CRYPTO_|BIO_|OPENSSL|BN_|bn_|ec_|EC_|x25519|fe64|x86_64_)/],
	["Node and libuv", /node::|^uv_/],
	["V8", /v8::/],
];

/**
 * Reads what `perf report --no-children --sort dso,symbol` prints.
 * @param program the peer's own file name; of Node's, names tell V8, Node and OpenSSL apart
 */
export function readCpuShares(report: string, program: string): readonly CpuShare[] {
	return report.split("\n").flatMap((line) => {
		const [, percent, object = "", place, symbol = ""] = /^\s*([\d.]+)%\s+(.+?)\s+\[([.k])\]\s+(.*?)\s*(?:-\s+-\s*)?$/.exec(line) ?? [];
		return percent === undefined ? [] : [{ cpuClass: classify(object, place === "k", symbol, program), symbol, share: Number(percent) / 100 }];
	});
}

function classify(object: string, inKernel: boolean, symbol: string, program: string): CpuClass {
	if (inKernel) return "kernel";
	// Compiled code is in pages of no file.
	if (/JIT|^\/\/anon|^\[unknown\]$|^perf-\d+\.map$/.test(object)) return "JavaScript";
	if (/^lib(?:ssl|crypto)/.test(object)) return "OpenSSL";
	if (object !== program) return "libc and others";
	return program === "node" ? (nodeSymbols.find(([, pattern]) => pattern.test(symbol))?.[0] ?? "libc and others") : "program";
}

/** Adds the shares of each class up; the classes without any are left out. */
export function sumByClass(shares: readonly CpuShare[]): ReadonlyMap<CpuClass, number> {
	const sums = new Map<CpuClass, number>();
	for (const { cpuClass, share } of shares) sums.set(cpuClass, (sums.get(cpuClass) ?? 0) + share);
	return sums;
}
