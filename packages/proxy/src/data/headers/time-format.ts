/** Epoch milliseconds (with fraction) → text. */
export type TimeFormat = (timeMs: number) => string;

type Part = (date: Date, timeMs: number) => string;

const days = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"] as const;
const months = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"] as const;
const pad = (value: number, width = 2) => String(value).padStart(width, "0");
const hour12 = (date: Date) => date.getUTCHours() % 12 || 12;
const dayOfYear = (date: Date) => Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear(), 0, 1)) / 86_400_000) + 1;

/** strftime in UTC, with Envoy's `%s`, `%3f`, `%6f`, `%9f` and `%f`. */
const specifiers: Readonly<Record<string, Part>> = {
	Y: (d) => String(d.getUTCFullYear()),
	y: (d) => pad(d.getUTCFullYear() % 100),
	m: (d) => pad(d.getUTCMonth() + 1),
	d: (d) => pad(d.getUTCDate()),
	e: (d) => String(d.getUTCDate()).padStart(2),
	H: (d) => pad(d.getUTCHours()),
	I: (d) => pad(hour12(d)),
	M: (d) => pad(d.getUTCMinutes()),
	S: (d) => pad(d.getUTCSeconds()),
	p: (d) => (d.getUTCHours() < 12 ? "AM" : "PM"),
	j: (d) => pad(dayOfYear(d), 3),
	a: (d) => (days[d.getUTCDay()] ?? "").slice(0, 3),
	A: (d) => days[d.getUTCDay()] ?? "",
	b: (d) => (months[d.getUTCMonth()] ?? "").slice(0, 3),
	B: (d) => months[d.getUTCMonth()] ?? "",
	F: (d) => `${d.getUTCFullYear()}-${pad(d.getUTCMonth() + 1)}-${pad(d.getUTCDate())}`,
	T: (d) => `${pad(d.getUTCHours())}:${pad(d.getUTCMinutes())}:${pad(d.getUTCSeconds())}`,
	z: () => "+0000",
	Z: () => "UTC",
	s: (_d, timeMs) => String(Math.floor(timeMs / 1000)),
	n: () => "\n",
	t: () => "\t",
	"%": () => "%",
};

export function compileTimeFormat(format: string): TimeFormat {
	if (format === "") return createIsoFormat();
	const parts = (format.match(/%[1-9]?[a-zA-Z%]|[^%]+|%/g) ?? []).map((token): Part => {
		if (!token.startsWith("%") || token === "%") return () => token;
		const fraction = /^%([1-9])?f$/.exec(token);
		if (fraction) return (_d, timeMs) => fractionOf(timeMs, Number(fraction[1] ?? 9));
		return specifiers[token.slice(1)] ?? (() => token);
	});
	return (timeMs) => {
		const date = new Date(timeMs);
		return parts.map((part) => part(date, timeMs)).join("");
	};
}

function fractionOf(timeMs: number, digits: number): string {
	const nanoseconds = Math.floor((timeMs % 1000) * 1e6);
	return pad(nanoseconds, 9).slice(0, digits);
}

/** `2026-01-02T03:04:05.678Z`; the text of a second is made once, since thousands of log lines share it. */
function createIsoFormat(): TimeFormat {
	let [second, text] = [Number.NaN, ""];
	return (timeMs) => {
		const now = Math.floor(timeMs / 1000);
		if (now !== second) {
			text = new Date(now * 1000).toISOString().slice(0, 20);
			second = now;
		}
		return `${text}${pad(Math.floor(timeMs) - now * 1000, 3)}Z`;
	};
}
