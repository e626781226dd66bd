/** An address as its bytes: 4 or 16. IPv4-mapped IPv6 is IPv4. */
export type IpBytes = readonly number[];

export interface CidrRange {
	readonly bytes: IpBytes;
	readonly prefixBits: number;
}

export function parseIp(text: string): IpBytes | undefined {
	return text.includes(":") ? parseIpv6(text) : parseIpv4(text);
}

function parseIpv4(text: string): IpBytes | undefined {
	const parts = text.split(".");
	if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255)) return undefined;
	return parts.map(Number);
}

function parseIpv6(text: string): IpBytes | undefined {
	const bare = text.replace(/^\[|\]$/g, "").replace(/%.*$/, "");
	const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(bare);
	const tail = dotted ? parseIpv4(dotted[2] ?? "") : [];
	if (!tail) return undefined;
	const halves = (dotted ? (dotted[1] ?? "").replace(/([^:]):$/, "$1") : bare).split("::");
	if (halves.length > 2) return undefined;
	const [head, rest] = halves.map(parseGroups);
	if (!head || (halves.length === 2 && !rest)) return undefined;
	const missing = 16 - tail.length - head.length - (rest?.length ?? 0);
	if (halves.length === 2 ? missing < 0 : missing !== 0) return undefined;
	const bytes = [...head, ...new Array<number>(missing).fill(0), ...(rest ?? []), ...tail];
	const isMapped = bytes.slice(0, 10).every((b) => b === 0) && bytes[10] === 255 && bytes[11] === 255;
	return isMapped ? bytes.slice(12) : bytes;
}

function parseGroups(text: string): readonly number[] | undefined {
	if (text === "") return [];
	const groups = text.split(":");
	if (!groups.every((group) => /^[0-9a-fA-F]{1,4}$/.test(group))) return undefined;
	return groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]);
}

/** `10.0.0.0/8`, `::1/128`, or an address alone. */
export function parseCidr(text: string): CidrRange | undefined {
	const slash = text.indexOf("/");
	const bytes = parseIp(slash < 0 ? text : text.slice(0, slash));
	if (!bytes) return undefined;
	const bits = slash < 0 ? bytes.length * 8 : Number(text.slice(slash + 1));
	return Number.isInteger(bits) && bits >= 0 && bits <= bytes.length * 8 && text !== "" ? { bytes, prefixBits: bits } : undefined;
}

/** The range of so many bits that holds the address, in its shortest form (RFC 5952). */
export function formatRange(ip: IpBytes, prefixBits: number): string {
	const bits = Math.min(prefixBits, ip.length * 8);
	const masked = ip.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))) & 0xff);
	if (masked.length === 4) return `${masked.join(".")}/${bits}`;
	const groups = Array.from({ length: 8 }, (_, i) => (((masked[2 * i] ?? 0) << 8) | (masked[2 * i + 1] ?? 0)).toString(16));
	const zeros = [...groups.join(":").matchAll(/(?<![^:])0(?::0)+(?![^:])/g)].reduce((longest, [run]) => (run.length > longest.length ? run : longest), "");
	const text = groups.join(":");
	if (zeros === "") return `${text}/${bits}`;
	const at = text.search(new RegExp(`(?<![^:])${zeros}(?![^:])`));
	return `${text.slice(0, at).replace(/:$/, "")}::${text.slice(at + zeros.length).replace(/^:/, "")}/${bits}`;
}

export function matchCidr({ bytes, prefixBits }: CidrRange, ip: IpBytes): boolean {
	if (bytes.length !== ip.length) return false;
	const whole = prefixBits >> 3;
	for (let i = 0; i < whole; i++) if (bytes[i] !== ip[i]) return false;
	const rest = prefixBits & 7;
	return rest === 0 || ((bytes[whole] ?? 0) ^ (ip[whole] ?? 0)) >> (8 - rest) === 0;
}

/** As in Envoy: 127.0.0.1 or ::1, not all of 127.0.0.0/8. */
export function isLoopback(ip: IpBytes): boolean {
	if (ip.length === 4) return ip[0] === 127 && ip[1] === 0 && ip[2] === 0 && ip[3] === 1;
	return ip[15] === 1 && ip.slice(0, 15).every((b) => b === 0);
}
