import type { HeaderMutation } from "../../config/header-operations.ts";

/** The headers of a probe, lower-case name, value, name, value …, after what the check adds and removes. */
export function probeHeaders(
	authority: string,
	own: readonly string[],
	add: readonly HeaderMutation[],
	remove: readonly string[] = [],
): { readonly authority: string; readonly headers: readonly string[] } {
	const headers = new Map<string, string[]>();
	for (let i = 0; i < own.length; i += 2) headers.set(own[i] as string, [own[i + 1] as string]);
	for (const name of remove) headers.delete(name);
	let host = authority;
	for (const { name, value, action, keepEmpty } of add) {
		if (value === "" && !keepEmpty) continue;
		if (name === "host" || name === ":authority") {
			host = value;
			continue;
		}
		const known = headers.get(name);
		if (known === undefined && action !== "overwriteIfExists") headers.set(name, [value]);
		else if (known !== undefined && action === "append") known.push(value);
		else if (known !== undefined && action !== "addIfAbsent") headers.set(name, [value]);
	}
	return { authority: host, headers: [...headers].flatMap(([name, values]) => values.flatMap((value) => [name, value])) };
}
