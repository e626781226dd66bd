import { isIP } from "node:net";

export interface ResolvConf {
	readonly servers: readonly string[];
	readonly search: readonly string[];
}

/** https://man7.org/linux/man-pages/man5/resolv.conf.5.html: the last `search` or `domain` counts. */
export function parseResolvConf(text: string): ResolvConf {
	const servers: string[] = [];
	let search: readonly string[] = [];
	for (const line of text.split("\n")) {
		const [keyword, ...values] = line.trim().split(/\s+/);
		if (keyword === "nameserver" && values[0] !== undefined && isIP(values[0].replace(/%.*$/, "")) !== 0) servers.push(values[0]);
		if (keyword === "search" || keyword === "domain") search = values.map((value) => value.toLowerCase().replace(/\.$/, "")).filter((value) => value !== "");
	}
	return { servers, search };
}
