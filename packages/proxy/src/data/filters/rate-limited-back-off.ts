import type { RateLimitedBackOff } from "../../config/retry-policy.ts";
import type { HeadersView } from "../headers/headers-view.ts";

/** How long a response asks to be waited for, in ms; undefined: it does not say, or longer than is waited. `nowMs`: since 1970. */
export function askedBackOffMs({ headers, maxMs }: RateLimitedBackOff, head: HeadersView, nowMs: number): number | undefined {
	for (const { name, format } of headers) {
		const text = head.get(name);
		if (text === undefined || !/^\d{1,15}$/.test(text)) continue;
		const ms = Number(text) * 1000 - (format === "unixTimestamp" ? Math.floor(nowMs / 1000) * 1000 : 0);
		if (ms > 1 && ms <= maxMs) return ms;
	}
	return undefined;
}
