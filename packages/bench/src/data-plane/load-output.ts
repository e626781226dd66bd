export type LoadResult = {
	readonly requests: number;
	readonly requestsPerSecond: number;
	/** NaN where the tool tells no percentiles. */
	readonly p50Us: number;
	readonly p99Us: number;
	/** Answers other than 2xx and 3xx, and socket errors of any kind. */
	readonly failed: number;
};

const unitUs: Readonly<Record<string, number>> = { us: 1, ms: 1_000, s: 1_000_000, m: 60_000_000 };

/** Reads what h2load prints, which knows no percentiles; undefined when a figure is missing. */
export function decodeH2load(output: string): LoadResult | undefined {
	const rate = /finished in [\d.]+m?s, ([\d.]+) req\/s/.exec(output)?.[1];
	const counts = /requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout/.exec(output);
	if (rate === undefined || counts === null) return undefined;
	const [done = 0, succeeded = 0, , errored = 0, timeouts = 0] = counts.slice(1).map(Number);
	return { requests: done, requestsPerSecond: Number(rate), p50Us: Number.NaN, p99Us: Number.NaN, failed: done - succeeded + errored + timeouts };
}

/** Reads the latencies of a file that h2load wrote with `--log-file`: start, status and duration in µs of each request. NaN for none. */
export function decodeH2loadLog(log: string): { readonly p50Us: number; readonly p99Us: number } {
	const durations = log
		.split("\n")
		.map((line) => Number(line.split("\t")[2] ?? Number.NaN))
		.filter((duration) => !Number.isNaN(duration));
	const sorted = Float64Array.from(durations).sort();
	const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
	return { p50Us: at(0.5), p99Us: at(0.99) };
}

/** Reads what wrk prints with `--latency`; undefined when a figure is missing. */
export function decodeWrk(output: string): LoadResult | undefined {
	const requests = /(\d+) requests in/.exec(output)?.[1];
	const rate = /Requests\/sec:\s+([\d.]+)/.exec(output)?.[1];
	const [p50Us, p99Us] = [50, 99].map((percent) => {
		const found = new RegExp(`${percent}%\\s+([\\d.]+)(us|ms|s|m)\\b`).exec(output);
		return found === null ? undefined : Number(found[1]) * (unitUs[found[2] ?? ""] ?? Number.NaN);
	});
	if (requests === undefined || rate === undefined || p50Us === undefined || p99Us === undefined) return undefined;
	const statuses = Number(/Non-2xx or 3xx responses: (\d+)/.exec(output)?.[1] ?? 0);
	const sockets = /Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)/.exec(output);
	const socketErrors = (sockets ?? []).slice(1).reduce((sum, count) => sum + Number(count), 0);
	return { requests: Number(requests), requestsPerSecond: Number(rate), p50Us, p99Us, failed: statuses + socketErrors };
}
