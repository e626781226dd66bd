const unitMs: Readonly<Record<string, number>> = { h: 3_600_000, m: 60_000, s: 1_000, ms: 1, us: 1e-3, µs: 1e-3, μs: 1e-3, ns: 1e-6 };

/** Longest duration that proto3 allows (https://protobuf.dev/reference/protobuf/google.protobuf/#duration), about 10 000 years. */
const durationMsMax = 315_576_000_000_000;
const lengthMax = 64;

/**
 * A duration in Go's form (`1h2m`, `1.5s`, `100ms`, `-1s`, `0`), which includes proto3 JSON's (`1.5s`).
 * Gives milliseconds, fractions kept to the nanosecond, or undefined where the text is none.
 * https://pkg.go.dev/time#ParseDuration
 */
export function parseDurationMs(text: string): number | undefined {
	if (text.length === 0 || text.length > lengthMax) return undefined;
	const sign = text.startsWith("-") ? -1 : 1;
	const body = text.replace(/^[+-]/, "");
	if (body === "0") return 0;
	const part = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|h|m|s)/y;
	let totalMs = 0;
	while (part.lastIndex < body.length) {
		const hit = part.exec(body);
		if (!hit) return undefined;
		totalMs += Number(hit[1]) * (unitMs[hit[2] ?? ""] ?? Number.NaN);
	}
	if (body.length === 0 || !(totalMs <= durationMsMax)) return undefined;
	return totalMs === 0 ? 0 : (sign * Math.round(totalMs * 1e6)) / 1e6;
}
