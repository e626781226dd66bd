import type { RequestView } from "./headers-view.ts";

/** The first cookie of a name in all `cookie` lines, as Envoy reads them: without quotes around its value; undefined: there is none. */
export function cookieOf(head: RequestView, name: string): string | undefined {
	const joined = head.get("cookie");
	if (joined === undefined || !joined.includes(",")) return joined && findCookie(joined, name);
	// Perhaps several lines; a comma may also be part of a value.
	let found: string | undefined;
	head.forEach((line, value) => {
		if (line === "cookie") found ??= findCookie(value, name);
	});
	return found;
}

function findCookie(line: string, name: string): string | undefined {
	for (const cookie of line.split(";")) {
		const text = cookie.replace(/^ +/, "");
		if (text.startsWith(name) && text.charCodeAt(name.length) === 61) return text.slice(name.length + 1).replace(/^"(.*)"$/, "$1");
	}
	return undefined;
}
